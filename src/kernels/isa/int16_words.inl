// Scores and sums as products of words: a word is 32 bits, two int16 that follow each other in depth. Each of the other
// operand is multiplied with a word of every lane.
//     scores   (cells, lanes)   = keys (cells, words of the width) . queries (words of the width, lanes)
//     sums     (columns, lanes) = values (columns, words of two cells) . weights (words of two cells, lanes)
// Written against F32, what int16_lanes.inl needs, and
//     store_words, zero_words
//     add_products(sum, a, b)    sum + the products of both halves of each word
//     to_float(i), rounded(x)    to even
//     pairs(even, odd)           the low halves of both, those of odd above
//     widen(bytes, n, codes)     codes[i] = bytes[i]
//     interleave(even, odd, n, words), interleave_bytes: words[i] = { even[i], odd[i] }; odd nullptr: zeros
// kRows: rows of one tile of sums; kFetched: lines that are prefetched for each. Included inside the anonymous
// namespace of an instruction set, as body.inl is.

constexpr int kVectors = kLanes / F32::lanes;
static_assert(kVectors * F32::lanes == kLanes, "whole registers of lanes");

// Where words lie: word w of row i at data[i * row + w * word].
struct Words {
  const uint32_t* data;
  int64_t row, word;
};

// What one call has in its scratch: keys of a narrow group, or values and the weights of a query tile.
struct WordScratch {
  union {
    int16_t keys[kTileCells * kGroup];
    uint32_t values[kTileCells / 2 * kGroup];
  };
  uint32_t weights[kTileCells / 2 * kLanes];
};
static_assert(sizeof(WordScratch) <= kKernelScratch);

template <int R>
void multiply_fixed(int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
                    const float* lane_scale, bool add, float* c) noexcept {
  Ints sum[R][kVectors];
  unroll<R>([&](int i) { unroll<kVectors>([&](int v) { sum[i][v] = zero_words(); }); });
  const uint32_t* p = a.data;
  for (int64_t w = 0; w < words; ++w, p += a.word, b += kLanes) {
    Ints lanes[kVectors];
    unroll<kVectors>([&](int v) { lanes[v] = load_words(b + v * F32::lanes); });
    unroll<R>([&](int i) {
      const Ints row = all_words(p[i * a.row]);
      unroll<kVectors>([&](int v) { sum[i][v] = add_products(sum[i][v], row, lanes[v]); });
    });
  }
  unroll<kVectors>([&](int v) {
    const F32 lanes = F32::load(lane_scale + v * F32::lanes);
    unroll<R>([&](int i) {
      F32 product = to_float(sum[i][v]);
      if (row_scale != nullptr) product = product * F32::all(row_scale[i * row_stride]);
      float* out = c + i * kLanes + v * F32::lanes;
      fma(product, lanes, add ? F32::load(out) : F32::zero()).store(out);
    });
  });
}

template <int... I>
void multiply_last(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale,
                   int64_t row_stride, const float* lane_scale, bool add, float* c,
                   std::integer_sequence<int, I...>) noexcept {
  (void)((n_rows == I + 1 && (multiply_fixed<I + 1>(words, a, b, row_scale, row_stride, lane_scale, add, c), true)) ||
         ...);
}

// c[i * kLanes + l] = (add ? itself : 0) + (sum of dot(a(i, w), b[w * kLanes + l])) * row_scale[i * row_stride] *
// lane_scale[l], for i < n_rows, w < words. row_scale nullptr: ones.
void multiply(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
              const float* lane_scale, bool add, Prefetch& ahead, float* c) noexcept {
  int64_t i = 0;
  for (; i + kRows <= n_rows; i += kRows, a.data += kRows * a.row, c += kRows * kLanes) {
    fetch(ahead, kFetched);
    multiply_fixed<kRows>(words, a, b, row_scale, row_stride, lane_scale, add, c);
    if (row_scale != nullptr) row_scale += kRows * row_stride;
  }
  multiply_last(n_rows - i, words, a, b, row_scale, row_stride, lane_scale, add, c,
                std::make_integer_sequence<int, kRows - 1>{});
}

int64_t half(int64_t n) noexcept { return (n + 1) / 2; }

void pack_query(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  for (int64_t w = 0; w < half(n); ++w) {
    const uint32_t low = static_cast<uint16_t>(codes[2 * w]), high = static_cast<uint16_t>(codes[2 * w + 1]);
    words[w * kLanes + lane] = low | high << 16;
  }
}

// The words of a group of keys: where they lie, or widened.
Words key_words(const CodeGroup& g, int64_t n, int16_t* wide) noexcept {
  if (!g.narrow) return {reinterpret_cast<const uint32_t*>(g.codes), g.stride / 4, 1};
  for (int64_t j = 0; j < n; ++j) {
    widen(reinterpret_cast<const int8_t*>(g.codes + j * g.stride), g.n, wide + j * kGroup);
    if (g.n % 2 != 0) wide[j * kGroup + g.n] = 0;
  }
  return {reinterpret_cast<const uint32_t*>(wide), kGroup / 2, 1};
}

// words[(j / 2) * kGroup + i]: column i of cells j and j + 1.
void value_words(const CodeGroup& g, int64_t n, uint32_t* words) noexcept {
  for (int64_t j = 0; j < n; j += 2, words += kGroup) {
    const std::byte *even = g.codes + j * g.stride, *odd = j + 1 < n ? even + g.stride : nullptr;
    if (g.narrow)
      interleave_bytes(reinterpret_cast<const int8_t*>(even), reinterpret_cast<const int8_t*>(odd), g.n, words);
    else
      interleave(reinterpret_cast<const int16_t*>(even), reinterpret_cast<const int16_t*>(odd), g.n, words);
  }
}

void score(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
           Prefetch& ahead, void* scratch) noexcept {
  int64_t first_word = 0;
  for (int64_t g = 0; g < n_groups; ++g) {
    const CodeGroup& group = keys[g];
    const Words words = key_words(group, n, static_cast<WordScratch*>(scratch)->keys);
    for (const ScoreTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p)
      multiply(n, half(group.n), words, p->queries + first_word * kLanes, group.scales, group.scale_stride,
               p->scales + g * kLanes, g > 0, ahead, p->scores);
    first_word += group_words(group.n);
  }
}

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

void add_values(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept {
  auto* s = static_cast<WordScratch*>(scratch);
  int64_t column = 0;
  for (int64_t g = 0; g < n_groups; column += values[g].n, ++g) {
    const CodeGroup& group = values[g];
    value_words(group, n, s->values);
    for (const ValueTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
      round_weights(p->probabilities, n, group.scales, group.scale_stride, p->inverse + g * kLanes, s->weights);
      multiply(group.n, half(n), {s->values, 1, kGroup}, s->weights, nullptr, 0, p->factor + g * kLanes, add, ahead,
               p->sums + column * kLanes);
    }
  }
}

void scale_sums(float* sums, int64_t n, const float* rescale) noexcept {
  for (int64_t i = 0; i < n; ++i, sums += kLanes)
    for (int64_t v = 0; v < kLanes; v += F32::lanes) (F32::load(sums + v) * F32::load(rescale + v)).store(sums + v);
}
