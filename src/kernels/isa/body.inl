// The kernels, written once against the register type F32 of simd/ and compiled once for each instruction set, inside
// its anonymous namespace. Contracts: kernel_table.h; definitions: ref/.

// ---- dot products and axpy

// Four chains: with one, every fma waits four cycles for the one before.
float dot(const float* a, const float* x, int64_t n) noexcept {
  constexpr int64_t W = F32::lanes;
  F32 s0 = F32::zero(), s1 = F32::zero(), s2 = F32::zero(), s3 = F32::zero();
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W) {
    s0 = fma(F32::load(a + i), F32::load(x + i), s0);
    s1 = fma(F32::load(a + i + W), F32::load(x + i + W), s1);
    s2 = fma(F32::load(a + i + 2 * W), F32::load(x + i + 2 * W), s2);
    s3 = fma(F32::load(a + i + 3 * W), F32::load(x + i + 3 * W), s3);
  }
  for (; i + W <= n; i += W) s0 = fma(F32::load(a + i), F32::load(x + i), s0);
  float sum = reduce_add((s0 + s1) + (s2 + s3));
  for (; i < n; ++i) sum = __builtin_fmaf(a[i], x[i], sum);  // fewer than a vector left
  return sum;
}

void axpy(float alpha, const float* x, float* y, int64_t n) noexcept {
  constexpr int64_t W = F32::lanes;
  const F32 factor = F32::all(alpha);
  int64_t i = 0;
  for (; i + W <= n; i += W) fma(factor, F32::load(x + i), F32::load(y + i)).store(y + i);
  for (; i < n; ++i) y[i] = __builtin_fmaf(alpha, x[i], y[i]);
}

void scale(float alpha, float* x, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) x[i] *= alpha;
}

// ---- tiles

#include "kernels/simd/unroll.h"

// R rows of w times C rows of x, R * C partial sums in registers. k is a multiple of the lanes.
template <int R, int C, class Element>
void dot_tile_fixed(const Element* w, int64_t w_stride, const float* x, int64_t x_stride, int64_t k, float* acc,
                    int64_t acc_stride) noexcept {
  constexpr int64_t W = F32::lanes;
  F32 sum[C][R];
  unroll<C>([&](int c) { unroll<R>([&](int r) { sum[c][r] = F32::load(acc + c * acc_stride + r * W); }); });
  for (int64_t i = 0; i < k; i += W) {
    F32 token[C];
    unroll<C>([&](int c) { token[c] = F32::load(x + c * x_stride + i); });
    unroll<R>([&](int r) {
      F32 weight = F32::load(w + r * w_stride + i);
      if constexpr (C > 1) weight = in_register(weight);
      unroll<C>([&](int c) { sum[c][r] = fma(weight, token[c], sum[c][r]); });
    });
  }
  unroll<C>([&](int c) { unroll<R>([&](int r) { sum[c][r].store(acc + c * acc_stride + r * W); }); });
}

// All rows of w with C rows of x: eight at a time where the sums fit the registers (with C inputs and a weight), then
// four, then one. Stored weights with one row of x, and vectors that are as fast as memory though each waits for the
// one before: one row after the other, for of one stream memory gives most (Zen 4, two cores: 31 GB/s, of four rows
// side by side 24).
template <int C, class Element>
void dot_tile_tokens(const Element* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t k,
                     float* acc, int64_t acc_stride) noexcept {
  constexpr int64_t W = F32::lanes;
  constexpr bool kOneStream = C == 1 && W >= 16 && sizeof(Element) == 2;
  int64_t r = 0;
  if constexpr (8 * C + C + 1 <= F32::registers && !kOneStream)
    for (; r + 8 <= n_rows; r += 8)
      dot_tile_fixed<8, C>(w + r * w_stride, w_stride, x, x_stride, k, acc + r * W, acc_stride);
  for (; r + 4 <= n_rows && !kOneStream; r += 4)
    dot_tile_fixed<4, C>(w + r * w_stride, w_stride, x, x_stride, k, acc + r * W, acc_stride);
  for (; r < n_rows; ++r) dot_tile_fixed<1, C>(w + r * w_stride, w_stride, x, x_stride, k, acc + r * W, acc_stride);
}

// The first n lanes, the others zero.
F32 first_of(const float* p, int64_t n) noexcept { return F32::load(p, n); }
F32 first_of(const uint16_t* bf16, int64_t n) noexcept {
  uint16_t all[F32::lanes] = {};
  for (int64_t i = 0; i < n; ++i) all[i] = bf16[i];
  return F32::load(all);
}
// The last columns, fewer than a vector: rows that no vector divides are rare.
template <class Element>
void dot_tile_rest(const Element* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride,
                   int64_t n_tokens, int64_t n, float* acc, int64_t acc_stride) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t r = 0; r < n_rows; ++r) {
      float* sum = acc + t * acc_stride + r * F32::lanes;
      fma(first_of(w + r * w_stride, n), F32::load(x + t * x_stride, n), F32::load(sum)).store(sum);
    }
}

template <class Element>
void dot_tile(const Element* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
              int64_t k, float* acc, int64_t acc_stride) noexcept {
  const int64_t rest = k % F32::lanes, whole = k - rest;
  int64_t t = 0;
  for (; t + 3 <= n_tokens; t += 3)
    dot_tile_tokens<3>(w, w_stride, n_rows, x + t * x_stride, x_stride, whole, acc + t * acc_stride, acc_stride);
  if (n_tokens - t == 2)
    dot_tile_tokens<2>(w, w_stride, n_rows, x + t * x_stride, x_stride, whole, acc + t * acc_stride, acc_stride);
  else if (n_tokens - t == 1)
    dot_tile_tokens<1>(w, w_stride, n_rows, x + t * x_stride, x_stride, whole, acc + t * acc_stride, acc_stride);
  if (rest != 0) dot_tile_rest(w + whole, w_stride, n_rows, x + whole, x_stride, n_tokens, rest, acc, acc_stride);
}

void reduce_lanes(const float* acc, int64_t count, float* out) noexcept {
  constexpr int64_t W = F32::lanes;
  int64_t j = 0;
  for (; j + W <= count; j += W) reduce_add_each(acc + j * W).store(out + j);
  for (; j < count; ++j) out[j] = reduce_add(F32::load(acc + j * W));
}

// C rows of y by V vectors of columns stay in registers while all rows of w pass.
template <int C, int V>
void axpy_tile_fixed(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, float* y,
                     int64_t y_stride) noexcept {
  constexpr int64_t W = F32::lanes;
  F32 sum[C][V];
  unroll<C>([&](int c) { unroll<V>([&](int v) { sum[c][v] = F32::load(y + c * y_stride + v * W); }); });
  for (int64_t r = 0; r < n_rows; ++r) {
    F32 weight[V];
    unroll<V>([&](int v) { weight[v] = in_register(F32::load(w + r * w_stride + v * W)); });
    unroll<C>([&](int c) {
      const F32 factor = F32::all(x[c * x_stride + r]);
      unroll<V>([&](int v) { sum[c][v] = fma(factor, weight[v], sum[c][v]); });
    });
  }
  unroll<C>([&](int c) { unroll<V>([&](int v) { sum[c][v].store(y + c * y_stride + v * W); }); });
}

// The last columns, fewer than a vector.
void axpy_tile_rest(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t n, float* y) noexcept {
  F32 sum = F32::load(y, n);
  for (int64_t r = 0; r < n_rows; ++r) sum = fma(F32::all(x[r]), F32::load(w + r * w_stride, n), sum);
  sum.store(y, n);
}

template <int C>
void axpy_tile_tokens(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t k,
                      float* y, int64_t y_stride) noexcept {
  constexpr int64_t W = F32::lanes;
  int64_t i = 0;
  for (; i + 4 * W <= k; i += 4 * W) axpy_tile_fixed<C, 4>(w + i, w_stride, n_rows, x, x_stride, y + i, y_stride);
  for (; i + W <= k; i += W) axpy_tile_fixed<C, 1>(w + i, w_stride, n_rows, x, x_stride, y + i, y_stride);
  if (i == k) return;
  for (int c = 0; c < C; ++c) axpy_tile_rest(w + i, w_stride, n_rows, x + c * x_stride, k - i, y + c * y_stride + i);
}

void axpy_tile(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
               int64_t k, float* y, int64_t y_stride) noexcept {
  constexpr int C = F32::registers >= 32 ? 4 : 2;  // C * 4 sums, 4 weights and a factor
  int64_t t = 0;
  for (; t + C <= n_tokens; t += C)
    axpy_tile_tokens<C>(w, w_stride, n_rows, x + t * x_stride, x_stride, k, y + t * y_stride, y_stride);
  for (; t < n_tokens; ++t)
    axpy_tile_tokens<1>(w, w_stride, n_rows, x + t * x_stride, x_stride, k, y + t * y_stride, y_stride);
}

// ---- rows

float rmsnorm_row(const float* x, const float* weight, float eps, int64_t n, float* y) noexcept {
  const float rstd = 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * rstd * weight[i];
  return rstd;
}

// ref/exp.h, operation by operation.
F32 exp(F32 x) noexcept {
  x = max(F32::all(-104.0f), min(F32::all(89.0f), x));
  const F32 n = round_to_even(x * F32::all(1.44269504f));
  F32 r = fma(n, F32::all(-0.693145752f), x);
  r = fma(n, F32::all(-1.42860677e-6f), r);
  F32 p = F32::all(1.0f / 5040);
  p = fma(p, r, F32::all(1.0f / 720));
  p = fma(p, r, F32::all(1.0f / 120));
  p = fma(p, r, F32::all(1.0f / 24));
  p = fma(p, r, F32::all(1.0f / 6));
  p = fma(p, r, F32::all(0.5f));
  p = fma(p, r, F32::all(1.0f));
  p = fma(p, r, F32::all(1.0f));
  return times_power_of_two(p, n);
}

F32 swiglu(F32 gate, F32 up) noexcept { return gate / (F32::all(1.0f) + exp(negative(gate))) * up; }

void swiglu_row(const float* gate, const float* up, int64_t n, float* y) noexcept {
  constexpr int64_t W = F32::lanes;
  int64_t i = 0;
  for (; i + W <= n; i += W) swiglu(F32::load(gate + i), F32::load(up + i)).store(y + i);
  if (i < n) swiglu(F32::load(gate + i, n - i), F32::load(up + i, n - i)).store(y + i, n - i);
}

// ref/backward.h, operation by operation.
void swiglu_backward_row(const float* gate, const float* up, const float* dy, int64_t n, float* dgate,
                         float* dup) noexcept {
  const F32 one = F32::all(1.0f);
  for (int64_t i = 0; i < n; i += F32::lanes) {
    const int64_t left = n - i;
    const bool whole = left >= F32::lanes;
    const auto load = [&](const float* p) { return whole ? F32::load(p + i) : F32::load(p + i, left); };
    const auto store = [&](F32 v, float* p) { whole ? v.store(p + i) : v.store(p + i, left); };
    const F32 g = load(gate), u = load(up), d = load(dy), s = one / (one + exp(negative(g)));
    store(d * u * s * (one + g * (one - s)), dgate);
    store(d * g * s, dup);
  }
}

void score_gradient_row(float scale, float inner, const float* p, int64_t n, float* dp) noexcept {
  for (int64_t i = 0; i < n; ++i) dp[i] = scale * (p[i] * (dp[i] - inner));
}

float max_row(const float* x, int64_t n) noexcept {
  constexpr int64_t W = F32::lanes;
  const F32 lowest = F32::all(-__builtin_inff());
  F32 largest = lowest;
  int64_t i = 0;
  for (; i + W <= n; i += W) largest = max(F32::load(x + i), largest);  // NaN in x: the second operand stays
  if (i < n) largest = max(F32::load_or(x + i, n - i, lowest), largest);
  return reduce_max(largest);
}

float exp_row(float* x, float shift, int64_t n) noexcept {
  constexpr int64_t W = F32::lanes;
  const F32 s = F32::all(shift);
  F32 sum = F32::zero();
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    const F32 e = exp(F32::load(x + i) - s);
    e.store(x + i);
    sum = sum + e;
  }
  if (i < n) {
    const F32 e = exp(F32::load(x + i, n - i) - s);
    e.store(x + i, n - i);
    sum = sum + e.keep(n - i);
  }
  return reduce_add(sum);
}

float softmax_row(float* x, int64_t n) noexcept {
  const float sum = exp_row(x, max_row(x, n), n);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
  return sum;
}

// Plain loops: short, and with no fma the same bits everywhere.
void rope_interleaved(float* x, const float* cos, const float* sin, int64_t n_pairs) noexcept {
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}
void rope_half_split(float* x, const float* cos, const float* sin, int64_t n_pairs) noexcept {
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float a = x[i], b = x[i + n_pairs];
    x[i] = a * cos[i] - b * sin[i];
    x[i + n_pairs] = a * sin[i] + b * cos[i];
  }
}
