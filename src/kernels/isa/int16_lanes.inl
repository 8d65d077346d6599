// The int16 kernels that are the same for any width of registers, written against F32 and these, of as many lanes:
//     Ints, Mask, load_words, store_words, zero_words
//     all_words(w)               w in every lane
//     add_products(sum, a, b)    sum + the products of both halves of each word
//     to_float(i), rounded(x)    to even
//     pairs(even, odd)           the low halves of both, those of odd above
//     greater(a, b), equal(a, b), all(mask), choose(mask, yes, no)
// kRows: rows of one tile of sums; kFetched: lines of Ahead for each. Included inside the anonymous namespace of an
// instruction set, as body.inl is.

constexpr int kVectors = kLanes / F32::lanes;
static_assert(kVectors * F32::lanes == kLanes, "whole registers of lanes");

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

void fetch(Ahead& ahead) noexcept {  // a cached tile is fetched while the one before is multiplied once
  for (int i = 0; i < kFetched && ahead.at < ahead.end; ++i, ahead.at += 64) _mm_prefetch(ahead.at, _MM_HINT_T1);
}

void multiply(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
              const float* lane_scale, bool add, Ahead& ahead, float* c) noexcept {
  int64_t i = 0;
  for (; i + kRows <= n_rows; i += kRows, a.data += kRows * a.row, c += kRows * kLanes) {
    fetch(ahead);
    multiply_fixed<kRows>(words, a, b, row_scale, row_stride, lane_scale, add, c);
    if (row_scale != nullptr) row_scale += kRows * row_stride;
  }
  multiply_last(n_rows - i, words, a, b, row_scale, row_stride, lane_scale, add, c,
                std::make_integer_sequence<int, kRows - 1>{});
}

// The scaled and masked scores of one register of lanes, written back; returns the largest of each.
F32 scale_scores(float* s, int64_t n, const int32_t* visible, float scale) noexcept {
  const F32 lowest = F32::all(-__builtin_inff()), factor = F32::all(scale);
  const Ints end = load_words(visible);
  F32 largest = lowest;
  for (int64_t j = 0; j < n; ++j, s += kLanes) {
    const Mask sees = greater(end, all_words(static_cast<uint32_t>(j)));
    const F32 x = choose(sees, F32::load(s) * factor, lowest);
    x.store(s);
    largest = max(x, largest);  // NaN: the largest so far stays
  }
  return largest;
}

bool softmax(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept {
  bool changed = false;
  for (int64_t v = 0; v < kLanes; v += F32::lanes) {
    const F32 largest = scale_scores(s + v, n, visible + v, scale), before = F32::load(state.shift + v);
    const F32 shift = choose(greater(largest, before + F32::all(kShiftSlack)), largest, before);
    const F32 base = choose(equal(shift, F32::all(-__builtin_inff())), F32::zero(), shift);
    F32 sum = F32::zero(), top = F32::zero();
    float* at = s + v;
    for (int64_t j = 0; j < n; ++j, at += kLanes) {
      const F32 p = exp(F32::load(at) - base);
      p.store(at);
      sum = sum + p;
      top = max(p, top);
    }
    const F32 keep = exp(before - base);
    fma(F32::load(state.sum + v), keep, sum).store(state.sum + v);
    shift.store(state.shift + v);
    keep.store(state.keep + v);
    top.store(state.top + v);
    changed = changed || !all(equal(keep, F32::all(1.0f)));
  }
  return changed;
}

void round_weights(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                   uint32_t* words) noexcept {
  const auto code = [&](int64_t j, int64_t v) {
    return rounded(F32::load(p + j * kLanes + v) * F32::all(scales[j * stride]) * F32::load(inverse + v));
  };
  for (int64_t j = 0; j < n; j += 2, words += kLanes)
    for (int64_t v = 0; v < kLanes; v += F32::lanes)
      store_words(pairs(code(j, v), j + 1 < n ? code(j + 1, v) : zero_words()), words + v);
}

void scale_lanes(float* z, int64_t n, const float* keep) noexcept {
  for (int64_t i = 0; i < n; ++i, z += kLanes)
    for (int64_t v = 0; v < kLanes; v += F32::lanes) (F32::load(z + v) * F32::load(keep + v)).store(z + v);
}
