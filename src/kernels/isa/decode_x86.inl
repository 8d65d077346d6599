// Decoders of the element types that models are shipped in, for AVX2 and wider: codes are unpacked 32 at a time as
// bytes, then become floats. Block layouts: quant/formats.h, which may not be included here (its inline functions would
// be compiled for this instruction set and shared); the sizes and offsets are repeated below. The float operations, and
// so the bits, are those of quant/decode.cpp.

// ---- bytes
// ----------------------------------------------------------------------------------------------------------------------------

// Weights come from memory in the order in which they lie, but between decoding there is other work: the hardware does
// not look far enough ahead. Past the end of the weight this does nothing.
constexpr int64_t kPrefetchBytes = 2048;
void prefetch(const std::byte* p) noexcept { __builtin_prefetch(p + kPrefetchBytes); }
template <int Bytes>
void prefetch_block(const std::byte* p) noexcept {
  for (int i = 0; i < Bytes; i += 64) prefetch(p + i);
}

float half(const std::byte* p) noexcept {
  uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return _cvtsh_ss(bits);
}
__m128i load16(const std::byte* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
__m256i load32(const std::byte* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
__m256i low_halves(__m256i b) noexcept { return _mm256_and_si256(b, _mm256_set1_epi8(15)); }
__m256i high_halves(__m256i b) noexcept { return low_halves(_mm256_srli_epi16(b, 4)); }

// 16 bytes: the low halves are codes 0 .. 15, the high halves 16 .. 31 (q4_0 and its kin).
__m256i codes4(const std::byte* p) noexcept {
  const __m128i b = load16(p);
  return low_halves(_mm256_set_m128i(_mm_srli_epi16(b, 4), b));
}

// Byte i is 16 where bit i of the 32 is set: the fifth bits of q5_0 and q5_1.
__m256i fifth_bits(const std::byte* p) noexcept {
  int bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  const __m256i which_byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), which_byte);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit), _mm256_set1_epi8(16));
}

// ---- codes to floats
// ------------------------------------------------------------------------------------------------------------------

// out[0 .. 31] = f(codes, 0 for the first sixteen and 1 for the others), f on vectors. Codes are signed bytes.
template <class F>
void store_codes(__m256i codes, float* out, F f) noexcept {
  const __m128i part[2] = {_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1)};
  for (int h = 0; h < 2; ++h) {
    f(F32::from_int8(part[h]), h).store(out + 16 * h);
    if constexpr (F32::lanes == 8) f(F32::from_int8(_mm_unpackhi_epi64(part[h], part[h])), h).store(out + 16 * h + 8);
  }
}
void store_scaled(__m256i codes, float d, float* out) noexcept {
  store_codes(codes, out, [d = F32::all(d)](F32 q, int) { return d * q; });
}
void store_scaled_plus(__m256i codes, float d, float m, float* out) noexcept {
  store_codes(codes, out, [d = F32::all(d), m = F32::all(m)](F32 q, int) { return d * q + m; });
}
void store_scaled_minus(__m256i codes, float d, float m, float* out) noexcept {
  store_codes(codes, out, [d = F32::all(d), m = F32::all(m)](F32 q, int) { return d * q - m; });
}

// ---- plain types
// ----------------------------------------------------------------------------------------------------------------------

void decode_f32(const std::byte* p, int64_t n, float* out) noexcept {
  __builtin_memcpy(out, p, static_cast<size_t>(n) * sizeof(float));
}

// Whole vectors by f(pointer to lanes elements), the rest by way of a copy. Size: bytes of an element.
template <int Size, class F>
void decode_vectors(const std::byte* p, int64_t n, float* out, F f) noexcept {
  constexpr int64_t W = F32::lanes;
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    prefetch(p + i * Size);
    f(p + i * Size).store(out + i);
  }
  if (i == n) return;
  std::byte rest[W * Size] = {};
  __builtin_memcpy(rest, p + i * Size, static_cast<size_t>((n - i) * Size));
  f(rest).store(out + i, n - i);
}

void decode_f16(const std::byte* p, int64_t n, float* out) noexcept {
  decode_vectors<2>(p, n, out, [](const std::byte* q) { return F32::from_half(reinterpret_cast<const uint16_t*>(q)); });
}
void decode_bf16(const std::byte* p, int64_t n, float* out) noexcept {
  decode_vectors<2>(p, n, out, [](const std::byte* q) { return F32::load(reinterpret_cast<const uint16_t*>(q)); });
}

// E4M3's exponent and mantissa moved into a half's give the value / 256, subnormals too; 0x7F, the only NaN, is set
// apart.
void decode_f8_e4m3(const std::byte* p, int64_t n, float* out) noexcept {
  constexpr int64_t W = F32::lanes;
  const auto convert = [](const std::byte* bytes) {
    __m256i b;
    if constexpr (W == 16)
      b = _mm256_cvtepu8_epi16(load16(bytes));
    else
      b = _mm256_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
    const __m256i magnitude = _mm256_and_si256(b, _mm256_set1_epi16(0x7F));
    const __m256i nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7F));
    __m256i h = _mm256_slli_epi16(magnitude, 7);
    h = _mm256_or_si256(h, _mm256_slli_epi16(_mm256_and_si256(b, _mm256_set1_epi16(0x80)), 8));
    h = _mm256_or_si256(h, _mm256_and_si256(nan, _mm256_set1_epi16(0x7E00)));
    uint16_t halves[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(halves), h);
    return F32::from_half(halves) * F32::all(256.0f);
  };
  decode_vectors<1>(p, n, out, convert);
}

// ---- blocks of 32
// ---------------------------------------------------------------------------------------------------------------------

void decode_q8_0(const std::byte* p, int64_t n, float* out) noexcept {  // d, 32 bytes
  for (const float* end = out + n; out != end; out += 32, p += 34) {
    prefetch(p);
    store_scaled(load32(p + 2), half(p), out);
  }
}
void decode_q4_0(const std::byte* p, int64_t n, float* out) noexcept {  // d, 16 bytes
  for (const float* end = out + n; out != end; out += 32, p += 18) {
    prefetch(p);
    const auto value = [d = F32::all(half(p))](F32 code) { return d * (code - F32::all(8.0f)); };
    store_halves(p + 2, value, value, out, out + 16);
  }
}
void decode_q4_1(const std::byte* p, int64_t n, float* out) noexcept {  // d, m, 16 bytes
  for (const float* end = out + n; out != end; out += 32, p += 20) {
    prefetch(p);
    const auto value = [d = F32::all(half(p)), m = F32::all(half(p + 2))](F32 code) { return d * code + m; };
    store_halves(p + 4, value, value, out, out + 16);
  }
}
void decode_q5_0(const std::byte* p, int64_t n, float* out) noexcept {  // d, 4 bytes of fifth bits, 16 bytes
  for (const float* end = out + n; out != end; out += 32, p += 22) {
    prefetch(p);
    const __m256i codes = _mm256_or_si256(codes4(p + 6), fifth_bits(p + 2));
    store_scaled(_mm256_sub_epi8(codes, _mm256_set1_epi8(16)), half(p), out);
  }
}
void decode_q5_1(const std::byte* p, int64_t n, float* out) noexcept {  // d, m, 4 bytes of fifth bits, 16 bytes
  for (const float* end = out + n; out != end; out += 32, p += 24) {
    prefetch(p);
    store_scaled_plus(_mm256_or_si256(codes4(p + 8), fifth_bits(p + 4)), half(p), half(p + 2), out);
  }
}

// What the codes of iq4_nl and iq4_xs stand for (quant/formats.h, kIq4Levels), in both halves of a register.
__m256i iq4_levels(__m256i codes) noexcept {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13,
                                                                       25, 38, 53, 69, 89, 113)),
                             codes);
}
void decode_iq4_nl(const std::byte* p, int64_t n, float* out) noexcept {  // d, 16 bytes
  for (const float* end = out + n; out != end; out += 32, p += 18) {
    prefetch(p);
    store_scaled(iq4_levels(codes4(p + 2)), half(p), out);
  }
}

// ---- blocks of 256
// --------------------------------------------------------------------------------------------------------------------

// The 8 scales and 8 mins of q4_k and q5_k, 6 bits each in 12 bytes: out[0 .. 7] and out[8 .. 15].
void unpack_scales(const std::byte* p, uint8_t* out) noexcept {
  uint32_t a, b, c;
  __builtin_memcpy(&a, p, 4);
  __builtin_memcpy(&b, p + 4, 4);
  __builtin_memcpy(&c, p + 8, 4);
  const uint32_t packed[4] = {a & 0x3F3F3F3F, (c & 0x0F0F0F0F) | (a >> 6 & 0x03030303) << 4, b & 0x3F3F3F3F,
                              (c >> 4 & 0x0F0F0F0F) | (b >> 6 & 0x03030303) << 4};
  __builtin_memcpy(out, packed, 16);
}

// d * scale and dmin * min of the 8 groups of q4_k and q5_k, whose block starts at p: factors[0 .. 7] and [8 .. 15].
void group_factors(const std::byte* p, float* factors) noexcept {
  const float d = half(p), dmin = half(p + 2);
  uint8_t scales[16];
  unpack_scales(p + 4, scales);
  for (int g = 0; g < 16; ++g) factors[g] = (g < 8 ? d : dmin) * static_cast<float>(scales[g]);
}

void decode_q4_k(const std::byte* p, int64_t n, float* out) noexcept {  // d, dmin, 12 bytes of scales, 128 bytes
  for (const float* end = out + n; out != end; out += 256, p += 144) {
    prefetch_block<144>(p);
    float factors[16];
    group_factors(p, factors);
    for (int g = 0; g < 8; g += 2) {
      const auto value = [&factors](int group) {
        return [d = F32::all(factors[group]), m = F32::all(factors[8 + group])](F32 code) { return d * code - m; };
      };
      const auto low = value(g), high = value(g + 1);
      store_halves(p + 16 + 16 * g, low, high, out + 32 * g, out + 32 * g + 32);
      store_halves(p + 32 + 16 * g, low, high, out + 32 * g + 16, out + 32 * g + 48);
    }
  }
}

void decode_q5_k(const std::byte* p, int64_t n,
                 float* out) noexcept {  // as q4_k with 32 bytes of fifth bits before the codes
  const __m256i one = _mm256_set1_epi8(1);
  for (const float* end = out + n; out != end; out += 256, p += 176) {
    prefetch_block<176>(p);
    float factors[16];
    group_factors(p, factors);
    __m256i fifth = load32(p + 16);  // bit g of byte i belongs to code i of group g: shifted down as the groups pass
    for (int g = 0; g < 8; g += 2) {
      const __m256i b = load32(p + 48 + 16 * g);
      const __m256i low = _mm256_or_si256(low_halves(b), _mm256_slli_epi16(_mm256_and_si256(fifth, one), 4));
      fifth = _mm256_srli_epi16(fifth, 1);
      const __m256i high = _mm256_or_si256(high_halves(b), _mm256_slli_epi16(_mm256_and_si256(fifth, one), 4));
      fifth = _mm256_srli_epi16(fifth, 1);
      store_scaled_minus(low, factors[g], factors[8 + g], out + 32 * g);
      store_scaled_minus(high, factors[g + 1], factors[9 + g], out + 32 * g + 32);
    }
  }
}

// 32 codes of two groups of 16: out = d * code, or d * code - m.
void store_two_groups(__m256i codes, float d0, float d1, float* out) noexcept {
  const F32 d[2] = {F32::all(d0), F32::all(d1)};
  store_codes(codes, out, [&](F32 q, int group) { return d[group] * q; });
}
void store_two_groups(__m256i codes, float d0, float d1, float m0, float m1, float* out) noexcept {
  const F32 d[2] = {F32::all(d0), F32::all(d1)}, m[2] = {F32::all(m0), F32::all(m1)};
  store_codes(codes, out, [&](F32 q, int group) { return d[group] * q - m[group]; });
}

void decode_q6_k(const std::byte* p, int64_t n, float* out) noexcept {  // 128 bytes low, 64 bytes high, 16 scales, d
  const __m256i two_bits = _mm256_set1_epi8(0x30), zero_code = _mm256_set1_epi8(32);
  for (const float* end = out + n; out != end; out += 256, p += 210) {
    prefetch_block<210>(p);
    const float d = half(p + 208);
    int8_t scales[16];
    __builtin_memcpy(scales, p + 192, 16);
    for (int h = 0; h < 2; ++h) {
      const __m256i high = load32(p + 128 + 32 * h);
      const __m256i low[2] = {load32(p + 64 * h), load32(p + 64 * h + 32)};
      const __m256i upper[4] = {_mm256_slli_epi16(high, 4), _mm256_slli_epi16(high, 2), high,
                                _mm256_srli_epi16(high, 2)};
      for (int k = 0; k < 4; ++k) {
        const __m256i four = k < 2 ? low_halves(low[k]) : high_halves(low[k - 2]);
        const __m256i codes = _mm256_or_si256(four, _mm256_and_si256(upper[k], two_bits));
        const int g = 8 * h + 2 * k;
        store_two_groups(_mm256_sub_epi8(codes, zero_code), d * static_cast<float>(scales[g]),
                         d * static_cast<float>(scales[g + 1]), out + 16 * g);
      }
    }
  }
}

void decode_q2_k(const std::byte* p, int64_t n, float* out) noexcept {  // 16 scales and mins, 64 bytes, d, dmin
  const __m256i two_bits = _mm256_set1_epi8(3);
  for (const float* end = out + n; out != end; out += 256, p += 84) {
    prefetch_block<84>(p);
    const float d = half(p + 80), dmin = half(p + 82);
    for (int h = 0; h < 2; ++h) {
      const __m256i b = load32(p + 16 + 32 * h);
      const __m256i codes[4] = {b, _mm256_srli_epi16(b, 2), _mm256_srli_epi16(b, 4), _mm256_srli_epi16(b, 6)};
      for (int k = 0; k < 4; ++k) {
        const int g = 8 * h + 2 * k, s0 = static_cast<int>(p[g]), s1 = static_cast<int>(p[g + 1]);
        store_two_groups(_mm256_and_si256(codes[k], two_bits), d * static_cast<float>(s0 & 15),
                         d * static_cast<float>(s1 & 15), dmin * static_cast<float>(s0 >> 4),
                         dmin * static_cast<float>(s1 >> 4), out + 16 * g);
      }
    }
  }
}

// The 16 scales of q3_k, 6 bits each in 12 bytes, less 32.
void unpack_q3_scales(const std::byte* p, int8_t* out) noexcept {
  uint32_t a, b, high;
  __builtin_memcpy(&a, p, 4);
  __builtin_memcpy(&b, p + 4, 4);
  __builtin_memcpy(&high, p + 8, 4);
  const uint32_t low[4] = {a & 0x0F0F0F0F, b & 0x0F0F0F0F, a >> 4 & 0x0F0F0F0F, b >> 4 & 0x0F0F0F0F};
  for (int i = 0; i < 4; ++i) {
    const uint32_t four = low[i] | (high >> (2 * i) & 0x03030303) << 4;
    for (int j = 0; j < 4; ++j) out[4 * i + j] = static_cast<int8_t>(static_cast<int>(four >> (8 * j) & 63) - 32);
  }
}

void decode_q3_k(const std::byte* p, int64_t n,
                 float* out) noexcept {  // 32 bytes of third bits, 64 bytes, 12 of scales, d
  const __m256i two_bits = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1), zero_code = _mm256_set1_epi8(4);
  for (const float* end = out + n; out != end; out += 256, p += 110) {
    prefetch_block<110>(p);
    const float d = half(p + 108);
    int8_t scales[16];
    unpack_q3_scales(p + 96, scales);
    __m256i third = load32(p);  // bit 4 h + k of byte i: shifted down as the quarters pass
    for (int h = 0; h < 2; ++h) {
      __m256i b = load32(p + 32 + 32 * h);
      for (int k = 0; k < 4; ++k) {
        const __m256i bit = _mm256_slli_epi16(_mm256_and_si256(third, one), 2);
        const __m256i codes = _mm256_or_si256(_mm256_and_si256(b, two_bits), bit);
        const int g = 8 * h + 2 * k;
        store_two_groups(_mm256_sub_epi8(codes, zero_code), d * static_cast<float>(scales[g]),
                         d * static_cast<float>(scales[g + 1]), out + 16 * g);
        b = _mm256_srli_epi16(b, 2);
        third = _mm256_srli_epi16(third, 1);
      }
    }
  }
}

void decode_iq4_xs(const std::byte* p, int64_t n, float* out) noexcept {  // d, 2 and 4 bytes of scales, 128 bytes
  for (const float* end = out + n; out != end; out += 256, p += 136) {
    prefetch_block<136>(p);
    const float d = half(p);
    uint16_t high;
    uint32_t low;
    __builtin_memcpy(&high, p + 2, sizeof high);
    __builtin_memcpy(&low, p + 4, sizeof low);
    for (int g = 0; g < 8; ++g) {
      const int scale = static_cast<int>((low >> (4 * g) & 15) | (high >> (2 * g) & 3) << 4) - 32;
      store_scaled(iq4_levels(codes4(p + 8 + 16 * g)), d * static_cast<float>(scale), out + 32 * g);
    }
  }
}
