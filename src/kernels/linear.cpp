#include "kernels/linear.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/matmul.h"
#include "kernels/weight_rows.h"

namespace fathom {
namespace {

// A matrix of our own: a rounded, transposed or decoded copy.
struct Copy {
  std::vector<float> data;
  int64_t rows, cols;
  Copy(int64_t r, int64_t c) : data(static_cast<size_t>(r * c)), rows(r), cols(c) {}
  MatView<const float> view() const { return {data.data(), rows, cols}; }
};

float operand(Products p, float f) { return p == Products::bf16 ? bf16_to_f32(f32_to_bf16(f)) : f; }

Copy copy(Products p, MatView<const float> m) {
  Copy c(m.rows, m.cols);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.cols; ++j) c.data[static_cast<size_t>(i * m.cols + j)] = operand(p, m(i, j));
  return c;
}
Copy transposed(Products p, MatView<const float> m) {
  Copy c(m.cols, m.rows);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.cols; ++j) c.data[static_cast<size_t>(j * m.rows + i)] = operand(p, m(i, j));
  return c;
}
Copy decoded(const Weight& w) {
  Copy c(w.rows, w.cols);
  const WeightRows rows(kernels(), w);
  for (int64_t r = 0; r < w.rows; ++r) rows.decode(r, 0, w.cols, c.data.data() + r * w.cols);
  return c;
}

// c (+)= a b, sums over the rows of b in order
void nn(ThreadPool* pool, MatView<const float> a, MatView<const float> b, MatView<float> c, bool add) {
  check(a.cols == b.rows && c.rows == a.rows && c.cols == b.cols, "linear: a (M, K), b (K, N), c (M, N)");
  const auto rows = [&](int64_t begin, int64_t end) {
    const MatView<float> out = c.sub_rows(begin, end - begin);
    if (!add)
      for (int64_t i = 0; i < out.rows; ++i) std::fill_n(out.row(i), out.cols, 0.0f);
    matmul_transposed_add_serial(a.sub_rows(begin, end - begin), b, out);
  };
  if (pool == nullptr)
    rows(0, a.rows);
  else
    pool->parallel_for(a.rows, 1, rows);
}

void check_groups(int64_t n_rows, std::span<const int64_t> offsets, size_t n_experts) {
  check(offsets.size() == n_experts + 1 && offsets.front() == 0 && offsets.back() == n_rows,
        "grouped_linear: offsets (E+1) from 0 to the number of rows");
}

}  // namespace

void linear(ThreadPool& pool, Products p, MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  nn(&pool, copy(p, x).view(), transposed(p, decoded(w).view()).view(), y, false);
}
void linear_dinput(ThreadPool& pool, Products p, MatView<const float> dy, const Weight& w, MatView<float> dx,
                   bool add) noexcept {
  nn(&pool, copy(p, dy).view(), copy(p, decoded(w).view()).view(), dx, add);
}
void linear_dweight(ThreadPool& pool, Products p, MatView<const float> dy, MatView<const float> x,
                    MatView<float> dw) noexcept {
  nn(&pool, transposed(p, dy).view(), copy(p, x).view(), dw, true);
}

void grouped_linear(ThreadPool& pool, Products p, MatView<const float> x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y) noexcept {
  check_groups(x.rows, offsets, weights.size());
  for (size_t e = 0; e < weights.size(); ++e) {
    const int64_t first = offsets[e], n = offsets[e + 1] - first;
    if (n > 0) linear(pool, p, x.sub_rows(first, n), weights[e], y.sub_rows(first, n));
  }
}
void grouped_linear_dinput(ThreadPool& pool, Products p, MatView<const float> dy, std::span<const int64_t> offsets,
                           std::span<const Weight> weights, MatView<float> dx, bool add) noexcept {
  check_groups(dy.rows, offsets, weights.size());
  for (size_t e = 0; e < weights.size(); ++e) {
    const int64_t first = offsets[e], n = offsets[e + 1] - first;
    if (n > 0) linear_dinput(pool, p, dy.sub_rows(first, n), weights[e], dx.sub_rows(first, n), add);
  }
}
void grouped_linear_dweight(ThreadPool& pool, Products p, MatView<const float> dy, MatView<const float> x,
                            std::span<const int64_t> offsets, std::span<const MatView<float>> dw) noexcept {
  check_groups(dy.rows, offsets, dw.size());
  for (size_t e = 0; e < dw.size(); ++e) {
    const int64_t first = offsets[e], n = offsets[e + 1] - first;
    if (n > 0) linear_dweight(pool, p, dy.sub_rows(first, n), x.sub_rows(first, n), dw[e]);
  }
}

void gemm_nt_serial(Products p, MatView<const float> a, MatView<const float> b, MatView<float> c, bool add) noexcept {
  nn(nullptr, copy(p, a).view(), transposed(p, b).view(), c, add);
}
void gemm_nn_serial(Products p, MatView<const float> a, MatView<const float> b, MatView<float> c, bool add) noexcept {
  nn(nullptr, copy(p, a).view(), copy(p, b).view(), c, add);
}
void gemm_tn_serial(Products p, MatView<const float> a, MatView<const float> b, MatView<float> c, bool add) noexcept {
  nn(nullptr, transposed(p, a).view(), copy(p, b).view(), c, add);
}

}  // namespace fathom
