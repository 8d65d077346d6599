// The softmax of a query tile and what is fetched ahead, the same for any width of registers: written against F32 and
// these, of as many lanes:
//     Ints, Mask, load_words
//     all_words(w)               w in every lane
//     greater(a, b), equal(a, b), all(mask), choose(mask, yes, no)
//     look_up(table, indices)
//     rounded(x)                 to even
//     load_codes8(p), store_codes(i, p)       as many int8, in the low bytes; as int16
// and, of F32, from_int8 and swapped_pairs.
// Included inside the anonymous namespace of an instruction set, as body.inl is.

// query_words() of int16_attention.h, whose functions code of an instruction set may not share.
int64_t group_words(int64_t n) noexcept { return (n + 63) / 64 * 32; }

void fetch(Prefetch& ahead,
           int64_t lines) noexcept {  // a cached tile is fetched while the one before is multiplied once
  for (int64_t i = 0; i < lines && ahead.at < ahead.end; ++i, ahead.at += 64) _mm_prefetch(ahead.at, _MM_HINT_T1);
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
    F32 sum = F32::zero(), top_prob = F32::zero();
    float* at = s + v;
    for (int64_t j = 0; j < n; ++j, at += kLanes) {
      const F32 p = exp(F32::load(at) - base);
      p.store(at);
      sum = sum + p;
      top_prob = max(p, top_prob);
    }
    const F32 rescale = exp(before - base);
    fma(F32::load(state.sum + v), rescale, sum).store(state.sum + v);
    shift.store(state.shift + v);
    rescale.store(state.rescale + v);
    top_prob.store(state.top_prob + v);
    changed = changed || !all(equal(rescale, F32::all(1.0f)));
  }
  return changed;
}

void prob_scales(const float* top_prob, const int32_t* visible, const float* largest, float most, float* factors,
                 float* inverses) noexcept {
  const F32 most_of_all = F32::all(most), least = F32::all(kLeastProbScale);
  for (int64_t l = 0; l < kLanes; l += F32::lanes) {
    const F32 factor = F32::load(top_prob + l) * look_up(largest, load_words(visible + l)) / most_of_all;
    const auto if_it_matters = [&](F32 x) {
      return choose(greater(least, factor), F32::zero(),
                    choose(greater(F32::all(__builtin_inff()), factor), x, F32::zero()));
    };
    choose(equal(factor, factor), if_it_matters(factor), factor).store(factors + l);
    if_it_matters(F32::all(1.0f) / factor).store(inverses + l);
  }
}

void carry_rests(float* p, int64_t n, const float* scales, int64_t scale_stride, const float* factor,
                 const float* inverse) noexcept {
  const F32 most = F32::all(static_cast<float>(kMaxProb8)), round = F32::all(0x1.8p23f);
  for (int64_t v = 0; v < kLanes; v += F32::lanes) {
    const F32 to_codes = F32::load(inverse + v), one = F32::load(factor + v);
    F32 rest = F32::zero();
    for (int64_t j = 0; j < n; ++j) {
      const float scale = scales[j * scale_stride], back = scale > kLeastProbScale ? 1.0f / scale : 0.0f;
      float* at = p + j * kLanes + v;
      const F32 x = F32::load(at) * F32::all(scale) * to_codes + rest;
      const F32 whole = min(most, max(F32::zero(), x + round - round));  // of NaN: NaN
      rest = x - whole;
      (whole * one * F32::all(back)).store(at);
    }
  }
}

void rotate_codes(const int8_t* codes, int64_t n, const float* coarse, const float* fine, float growth,
                  int16_t* out) noexcept {
  int64_t i = 0;
  for (; i + F32::lanes <= n; i += F32::lanes) {
    F32 x = F32::from_int8(load_codes8(codes + i));
    for (const float* turn : {coarse + i, fine + i}) x = x * F32::load(turn) + swapped_pairs(x) * F32::load(turn + n);
    store_codes(rounded(x * F32::all(growth)), out + i);
  }
  for (; i < n; i += 2) {
    float a = codes[i], b = codes[i + 1];
    for (const float* turn : {coarse + i, fine + i}) {
      const float before = a;
      a = a * turn[0] + b * turn[n];
      b = b * turn[1] + before * turn[n + 1];
    }
    out[i] = static_cast<int16_t>(__builtin_nearbyintf(a * growth));
    out[i + 1] = static_cast<int16_t>(__builtin_nearbyintf(b * growth));
  }
}
