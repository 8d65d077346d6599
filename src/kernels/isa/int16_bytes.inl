// Groups whose codes, queries and probabilities have 8 bits: a word is four bytes that follow each other in depth, half
// as many products as of int16 (int16_words.inl) and the same whole numbers. One operand of vpdpbusd has no sign:
//     scores   of keys: they count from -128, and the sums begin with -128 times the sum of the query's codes
//     sums     of probabilities
// Values are transposed once for all query tiles: words of four cells, the columns of 32 as interleaving pairs of int16
// leaves them, so that scale_sums and unpack_sums are the same. Included after int16_words.inl.

constexpr int64_t kFour = 4;  // bytes of a word

// What one call has in its scratch: the keys of a group, or its values; the weights of a query tile.
struct ByteScratch {
  alignas(64) uint8_t keys[kTileCells * kGroup];
  alignas(64) int8_t values[kTileCells * kGroup];  // (cells / 4, columns, 4)
  uint32_t weights[kTileCells / kFour * kLanes];
};
static_assert(sizeof(ByteScratch) <= kKernelScratch);

int64_t fours(int64_t n) noexcept { return (n + kFour - 1) / kFour; }

// Where in the words of a group stand the numbers that sums begin with: after all of its bytes.
int64_t begins_of(int64_t n) noexcept { return group_words(n) / 2; }

__mmask64 first_bytes(int64_t n) noexcept { return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1; }

// Codes after the last are zero up to kGroup.
void pack_query8(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  int32_t sum = 0;
  for (int64_t w = 0; w < fours(n); ++w) {
    uint32_t word = 0;
    for (int64_t i = 0; i < kFour; ++i) {
      const int16_t code = codes[kFour * w + i];
      sum += code;
      word |= static_cast<uint32_t>(static_cast<uint8_t>(code)) << (8 * i);
    }
    words[w * kLanes + lane] = word;
  }
  words[begins_of(n) * kLanes + lane] = static_cast<uint32_t>(-128 * sum);
}

struct OfBytes {
  static Ints begin(const ScoreBlock& b, int64_t lane) noexcept { return load_words(b.begins + lane); }
  static void add(Ints& sum, Ints lanes, Ints word) noexcept {
    sum = in_register(_mm512_dpbusd_epi32(sum, word, lanes));
  }
};

void score_bytes(const CodeGroup& group, int64_t g, int64_t first_word, int64_t n, const ScoreTile* query_tiles,
                 int64_t n_query_tiles, Prefetch& ahead, void* scratch) noexcept {
  uint8_t* keys = static_cast<ByteScratch*>(scratch)->keys;
  for (int64_t j = 0; j < n && !group.biased; ++j)
    for (int64_t i = 0; i < group.n; i += 64) {
      const __m512i codes = _mm512_maskz_loadu_epi8(first_bytes(group.n - i), group.codes + j * group.stride + i);
      _mm512_store_si512(keys + j * kGroup + i, _mm512_xor_si512(codes, _mm512_set1_epi8(-128)));
    }
  const ScoreBlock all{.keys = group.biased ? group.codes : reinterpret_cast<const std::byte*>(keys),
                       .stride = group.biased ? group.stride : kGroup,
                       .words = fours(group.n),
                       .key_scales = group.scales,
                       .key_scale_stride = group.scale_stride,
                       .add = g > 0};
  score_keys<OfBytes>(all, n, g, first_word, begins_of(group.n), query_tiles, n_query_tiles, ahead);
}

// 64 columns of four cells as words: each 128 bits of a row hold those that meet in one 128 bits of the four results.
void transpose_fours(const CodeGroup& group, int64_t n, int64_t cell, int64_t column, int8_t* out) noexcept {
  const __m512i sign = _mm512_set1_epi8(group.biased ? -128 : 0);
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const auto load = [&](int64_t i) {
    const std::byte* codes = group.codes + (cell + i) * group.stride + column;
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(first_bytes(group.n - column), codes), sign);
  };
  __m512i row[kFour];
  for (int64_t i = 0; i < kFour; ++i)
    row[i] = cell + i < n ? _mm512_permutexvar_epi64(order, load(i)) : _mm512_setzero_si512();
  const __m512i a = _mm512_unpacklo_epi8(row[0], row[1]), b = _mm512_unpacklo_epi8(row[2], row[3]),
                c = _mm512_unpackhi_epi8(row[0], row[1]), d = _mm512_unpackhi_epi8(row[2], row[3]);
  _mm512_store_si512(out, _mm512_unpacklo_epi16(a, b));
  _mm512_store_si512(out + 64, _mm512_unpackhi_epi16(a, b));
  _mm512_store_si512(out + 128, _mm512_unpacklo_epi16(c, d));
  _mm512_store_si512(out + 192, _mm512_unpackhi_epi16(c, d));
}

// words[j / 4 * kLanes + l]: the weights of cells j .. j + 3, those from n on zero.
void round_weights8(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                    uint32_t* words) noexcept {
  const F32 to_codes = F32::load(inverse);
  for (int64_t j = 0; j < n; j += kFour, words += kLanes) {
    Ints word = zero_words();
    for (int64_t i = 0; i < kFour && j + i < n; ++i) {
      const Ints code = rounded(F32::load(p + (j + i) * kLanes) * F32::all(scales[(j + i) * stride]) * to_codes);
      const Ints byte = _mm512_and_si512(code, _mm512_set1_epi32(255));  // not finite: 2^31, of which zeros stay
      word = _mm512_or_si512(word, _mm512_sll_epi32(byte, _mm_cvtsi64_si128(8 * i)));
    }
    store_words(word, words);
  }
}

// kSumLanes lanes of 32 columns.
void sum_fours(const int8_t* values, const SumBlock& b, Prefetch& ahead) noexcept {
  Ints sum[kSumLanes][2];
  unroll<kSumLanes>([&](int l) { sum[l][0] = sum[l][1] = zero_words(); });
  const uint32_t* weight = b.weights;
  Prefetch next = ahead;
  for (int64_t j = 0; j < b.n; j += kFour, values += kFour * kGroup, weight += kLanes) {
    fetch(next, 1);
    const Ints low = load_words(values), high = load_words(values + 64);
    unroll<kSumLanes>([&](int l) {
      const Ints word = in_register(all_words(weight[l]));
      sum[l][0] = in_register(_mm512_dpbusd_epi32(sum[l][0], word, low));
      sum[l][1] = in_register(_mm512_dpbusd_epi32(sum[l][1], word, high));
    });
  }
  ahead = next;
  finish_sums(sum, b);
}

void add_bytes(const CodeGroup& group, int64_t g, int64_t column, int64_t n, const ValueTile* query_tiles,
               int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept {
  auto& s = *static_cast<ByteScratch*>(scratch);
  for (int64_t j = 0; j < n; j += kFour)
    for (int64_t i = 0; i < group.n; i += 64) transpose_fours(group, n, j, i, s.values + j * kGroup + i * kFour);
  for (const ValueTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
    if (n_query_tiles > 1 || g == 0)  // groups share their scales (byte_probs), and so a query tile's weights
      round_weights8(p->probabilities, n, group.scales, group.scale_stride, p->inverse, s.weights);
    for (int64_t i = 0; i < group.n; i += kColumns)
      for (int64_t l = 0; l < kLanes; l += kSumLanes)
        sum_fours(s.values + i * kFour,
                  {.n = n,
                   .weights = s.weights + l,
                   .factor = p->factor + g * kLanes + l,
                   .add = add,
                   .sums = p->sums + (column + i) * kLanes + l * kColumns},
                  ahead);
  }
}
