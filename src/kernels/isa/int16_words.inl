// Scores and sums as products of words: a word is 32 bits, two int16 that follow each other in depth. A register holds
// words of one operand, each word of the other meets all of them.
//     scores   (cells, lanes)   = keys (cells, words of the width) . queries (words of the width, lanes)
//     sums     (lanes, columns) = weights (lanes, words of two cells) . values (words of two cells, columns)
// Keys are read where they are stored. Values too: the rows of two cells are interleaved in registers, which leaves the
// columns of a block in another order; unpack_sums puts them right.
// Written against F32, what int16_lanes.inl needs, and
//     store_words, zero_words, in_register
//     add_products(sum, a, b)    sum + the products of both halves of each word
//     to_float(i), rounded(x)    to even
//     pairs(even, odd)           the low halves of both, those of odd above
//     load_wide(p), load_narrow(p)            kColumns codes, int16 or widened from int8
//     load_wide(p, n), load_narrow(p, n)      the first n of them, n >= 0, the others zero and not read
//     interleave_low, interleave_high(a, b)   a and b code by code, the halves of each 128 bits
//     store_columns(low, high, n, out)        the first n of kColumns floats that were interleaved so, in order
// kCells: cells of one tile of scores; kSumLanes: lanes of one tile of sums. Included inside the anonymous namespace
// of an instruction set, as body.inl is.

constexpr int kVectors = kLanes / F32::lanes;
constexpr int64_t kColumns = 2 * F32::lanes;  // a block of them is one register of codes and two of sums
static_assert(kVectors * F32::lanes == kLanes && kLanes % kSumLanes == 0, "whole registers of lanes, tiles of lanes");

// While a tile is multiplied with one query tile the next is fetched, a line at a time: many lines at once would hold
// up the loads of the products. So many words of a tile of scores or pairs of cells of a tile of sums lie between two.
constexpr int64_t kFetchEvery = 2;

// What one call has in its scratch: keys of a narrow group, the weights of a query tile.
struct WordScratch {
  int16_t keys[kTileCells * kGroup];
  uint32_t weights[kTileCells / 2 * kLanes];
};
static_assert(sizeof(WordScratch) <= kKernelScratch);

int64_t half(int64_t n) noexcept { return (n + 1) / 2; }

// In its own register: otherwise gcc 12 moves sums to and fro in every round and keeps some in memory.
void add_to(Ints& sum, Ints a, Ints b) noexcept { sum = in_register(add_products(sum, a, b)); }

template <bool kNarrow>
Ints load_codes(const std::byte* row) noexcept {
  return kNarrow ? load_narrow(row) : load_wide(row);
}
template <bool kNarrow>
Ints load_codes(const std::byte* row, int64_t n) noexcept {
  return kNarrow ? load_narrow(row, n) : load_wide(row, n);
}

void pack_query(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  for (int64_t w = 0; w < half(n); ++w) {
    const uint32_t low = static_cast<uint16_t>(codes[2 * w]), high = static_cast<uint16_t>(codes[2 * w + 1]);
    words[w * kLanes + lane] = low | high << 16;
  }
}

// ---- Scores. ----

// Cells of a group, to be multiplied with the queries of one query tile.
struct ScoreBlock {
  const std::byte* keys = nullptr;  // int16
  int64_t stride = 0, words = 0;    // bytes from cell to cell; words of a cell
  const uint32_t* queries = nullptr;
  const float* key_scales = nullptr;
  int64_t key_scale_stride = 0;
  const float* query_scales = nullptr;
  const uint32_t* begins = nullptr;  // (kLanes): what sums of bytes begin with
  bool add = false;
  float* scores = nullptr;

  void skip(int64_t cells) noexcept {
    keys += cells * stride;
    key_scales += cells * key_scale_stride;
    scores += cells * kLanes;
  }
};

struct OfWords {
  static Ints begin(const ScoreBlock&, int64_t) noexcept { return zero_words(); }
  static void add(Ints& sum, Ints lanes, Ints word) noexcept { add_to(sum, lanes, word); }
};

// R cells. Apart from its caller: together they need more registers than there are.
template <int R, class Products>
[[gnu::noinline]] void score_cells(const ScoreBlock& b, Prefetch& ahead) noexcept {
  Ints sum[R][kVectors];
  unroll<R>([&](int i) { unroll<kVectors>([&](int v) { sum[i][v] = Products::begin(b, v * F32::lanes); }); });
  const std::byte* key = b.keys;
  const uint32_t* query = b.queries;
  const int64_t stride = b.stride;
  Prefetch next = ahead;  // a copy, which registers can hold
  for (int64_t w = 0; w < b.words; ++w, key += sizeof(uint32_t), query += kLanes) {
    if (w % kFetchEvery == 0) fetch(next, 1);
    Ints lanes[kVectors];
    unroll<kVectors>([&](int v) { lanes[v] = load_words(query + v * F32::lanes); });
    unroll<R>([&](int i) {
      const Ints word = all_words(*reinterpret_cast<const uint32_t*>(key + i * stride));
      unroll<kVectors>([&](int v) { Products::add(sum[i][v], lanes[v], word); });
    });
  }
  ahead = next;
  unroll<kVectors>([&](int v) {
    const F32 lanes = F32::load(b.query_scales + v * F32::lanes);
    unroll<R>([&](int i) {
      const F32 product = to_float(sum[i][v]) * F32::all(b.key_scales[i * b.key_scale_stride]);
      float* out = b.scores + i * kLanes + v * F32::lanes;
      fma(product, lanes, b.add ? F32::load(out) : F32::zero()).store(out);
    });
  });
}

template <class Products, int... I>
void score_last(int64_t n, const ScoreBlock& b, Prefetch& ahead, std::integer_sequence<int, I...>) noexcept {
  (void)((n == I + 1 && (score_cells<I + 1, Products>(b, ahead), true)) || ...);
}

// A group of keys, which `all` points at, with words of queries from first_word on and scales from group g on. begins:
// where among these words are those that sums begin with.
template <class Products>
void score_keys(const ScoreBlock& all, int64_t n, int64_t g, int64_t first_word, int64_t begins,
                const ScoreTile* query_tiles, int64_t n_query_tiles, Prefetch& ahead) noexcept {
  for (const ScoreTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
    ScoreBlock b = all;
    b.queries = p->queries + first_word * kLanes;
    b.begins = b.queries + begins * kLanes;
    b.query_scales = p->scales + g * kLanes;
    b.scores = p->scores;
    int64_t left = n;
    for (; left >= kCells; left -= kCells, b.skip(kCells)) score_cells<kCells, Products>(b, ahead);
    score_last<Products>(left, b, ahead, std::make_integer_sequence<int, kCells - 1>{});
  }
}

// The keys of a group: where they lie, or widened.
void point_at_keys(const CodeGroup& g, int64_t n, int16_t* wide, ScoreBlock& b) noexcept {
  b.keys = g.codes;
  b.stride = g.stride;
  if (!g.narrow) return;
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < g.n; i += kColumns) {
      const std::byte* from = g.codes + j * g.stride + i;
      store_words(g.n - i >= kColumns ? load_narrow(from) : load_narrow(from, g.n - i), wide + j * kGroup + i);
    }
  b.keys = reinterpret_cast<const std::byte*>(wide);
  b.stride = kGroup * static_cast<int64_t>(sizeof(int16_t));
}

// Group g of the keys.
void score_group(const CodeGroup& group, int64_t g, int64_t first_word, int64_t n, const ScoreTile* query_tiles,
                 int64_t n_query_tiles, Prefetch& ahead, void* scratch) noexcept {
  ScoreBlock all{
      .words = half(group.n), .key_scales = group.scales, .key_scale_stride = group.scale_stride, .add = g > 0};
  point_at_keys(group, n, static_cast<WordScratch*>(scratch)->keys, all);
  score_keys<OfWords>(all, n, g, first_word, 0, query_tiles, n_query_tiles, ahead);
}

// ---- Sums: blocks of kColumns columns, each (lanes, kColumns), its columns as interleaving leaves them. ----

void pack_probs(float*, int64_t) noexcept {}

// words[(j / 2) * kLanes + l] = { w_jl, w of j + 1 or 0 }
void round_weights(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                   uint32_t* words) noexcept {
  const auto code = [&](int64_t j, int64_t v) {
    return rounded(F32::load(p + j * kLanes + v) * F32::all(scales[j * stride]) * F32::load(inverse + v));
  };
  for (int64_t j = 0; j < n; j += 2, words += kLanes)
    for (int64_t v = 0; v < kLanes; v += F32::lanes)
      store_words(pairs(code(j, v), j + 1 < n ? code(j + 1, v) : zero_words()), words + v);
}

// kSumLanes lanes of a block.
struct SumBlock {
  const std::byte* values = nullptr;
  int64_t stride = 0, n = 0, columns = 0;  // bytes from cell to cell; cells; columns that are there
  const uint32_t* weights = nullptr;
  const float* factor = nullptr;
  bool add = false;
  float* sums = nullptr;
};

[[gnu::always_inline]] inline void finish_sums(const Ints (&sum)[kSumLanes][2], const SumBlock& b) noexcept {
  unroll<kSumLanes>([&](int l) {
    const F32 factor = F32::all(b.factor[l]);
    unroll<2>([&](int i) {
      float* out = b.sums + l * kColumns + i * F32::lanes;
      fma(to_float(sum[l][i]), factor, b.add ? F32::load(out) : F32::zero()).store(out);
    });
  });
}

template <bool kNarrow, bool kWhole>
void sum_cells(const SumBlock& b, Prefetch& ahead) noexcept {
  Ints sum[kSumLanes][2];
  unroll<kSumLanes>([&](int l) { sum[l][0] = sum[l][1] = zero_words(); });
  const std::byte* value = b.values;
  const uint32_t* weight = b.weights;
  const int64_t stride = b.stride;
  const auto add_pair = [&](const std::byte* odd) {
    const Ints a = kWhole ? load_codes<kNarrow>(value) : load_codes<kNarrow>(value, b.columns);
    const Ints c = kWhole ? load_codes<kNarrow>(odd) : load_codes<kNarrow>(odd, b.columns);
    const Ints low = interleave_low(a, c), high = interleave_high(a, c);
    unroll<kSumLanes>([&](int l) {
      const Ints word = in_register(all_words(weight[l]));
      add_to(sum[l][0], low, word);
      add_to(sum[l][1], high, word);
    });
  };
  Prefetch next = ahead;
  for (int64_t j = 0; j < b.n / 2; ++j, value += 2 * stride, weight += kLanes) {
    if (j % kFetchEvery == 0) fetch(next, 1);
    add_pair(value + stride);
  }
  if (b.n % 2 != 0) add_pair(value);  // the second weight is zero
  ahead = next;
  finish_sums(sum, b);
}

// The values of a group for one query tile; b: its first block and lanes.
template <bool kNarrow>
void sum_group(SumBlock b, Prefetch& ahead) noexcept {
  const auto lanes = [&](auto whole) {
    for (int64_t l = 0; l < kLanes; l += kSumLanes) {
      SumBlock some = b;
      some.weights += l;
      some.factor += l;
      some.sums += l * kColumns;
      sum_cells<kNarrow, decltype(whole)::value>(some, ahead);
    }
  };
  for (; b.columns > 0; b.columns -= kColumns, b.values += kColumns * (kNarrow ? 1 : 2), b.sums += kColumns * kLanes) {
    if (b.columns >= kColumns)
      lanes(std::true_type{});
    else
      lanes(std::false_type{});
  }
}

// Group g of the values, whose first column is `column` of the sums.
void add_group(const CodeGroup& group, int64_t g, int64_t column, int64_t n, const ValueTile* query_tiles,
               int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept {
  uint32_t* weights = static_cast<WordScratch*>(scratch)->weights;
  for (const ValueTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
    round_weights(p->probabilities, n, group.scales, group.scale_stride, p->inverse + g * kLanes, weights);
    const SumBlock first{.values = group.codes,
                         .stride = group.stride,
                         .n = n,
                         .columns = group.n,
                         .weights = weights,
                         .factor = p->factor + g * kLanes,
                         .add = add,
                         .sums = p->sums + column * kLanes};
    (group.narrow ? sum_group<true> : sum_group<false>)(first, ahead);
  }
}

void scale_sums(float* sums, int64_t n, const float* rescale) noexcept {
  for (int64_t i = 0; i < n; i += kColumns)
    for (int64_t l = 0; l < kLanes; ++l)
      for (int v = 0; v < 2; ++v, sums += F32::lanes) (F32::load(sums) * F32::all(rescale[l])).store(sums);
}

void unpack_sums(const float* sums, int64_t n, float* out, int64_t stride) noexcept {
  for (int64_t i = 0; i < n; i += kColumns)
    for (int64_t l = 0; l < kLanes; ++l, sums += kColumns)
      store_columns(F32::load(sums), F32::load(sums + F32::lanes), n - i, out + l * stride + i);
}
