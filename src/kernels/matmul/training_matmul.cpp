#include "kernels/matmul/training_matmul.h"

#include <optional>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/matmul/gemm.h"

namespace fathom {
namespace {

enum class Order : uint8_t { normal, transposed };

GemmProblem problem(const AnyRows& a, Order a_order, const WeightRows& b, Order b_order, MatView<float> c, bool add) {
  const bool at = a_order == Order::transposed, bt = b_order == Order::transposed;
  const int64_t m = at ? a.cols() : a.rows(), k = at ? a.rows() : a.cols();
  check((bt ? b.cols() : b.rows()) == k && c.rows == m && c.cols == (bt ? b.rows() : b.cols()),
        "linear: c (M, N), a (M, K), b (K, N)");
  return {.m = m,
          .n = c.cols,
          .k = k,
          .a = a,
          .a_transposed = at,
          .b = b,
          .b_transposed = bt,
          .c = c.data,
          .c_stride = c.stride,
          .add = add};
}

GemmProblem forward(const AnyRows& x, const Weight& w, MatView<float> y) {
  return problem(x, Order::normal, WeightRows(kernels(), w), Order::transposed, y, false);
}
GemmProblem dinput(const AnyRows& dy, const Weight& w, const InputGradient& out) {
  return problem(dy, Order::normal, WeightRows(kernels(), w), Order::normal, out.dx, out.add);
}
GemmProblem dweight(const AnyRows& dy, const AnyRows& x, MatView<float> dw) {
  return problem(dy, Order::transposed, WeightRows(kernels(), x), Order::normal, dw, true);
}

void run(ThreadPool* pool, MatmulPrecision p, const GemmProblem& one) { gemm(pool, gemm_kernel(p), {&one, 1}); }

// of(e, first row, number of rows) is the problem of expert e, or nothing.
template <class Of>
void run_grouped(ThreadPool& pool, MatmulPrecision p, int64_t n_rows, std::span<const int64_t> offsets,
                 size_t n_experts, Of&& of) {
  check(offsets.size() == n_experts + 1 && offsets.front() == 0 && offsets.back() == n_rows,
        "grouped_linear: offsets (E+1) from 0 to the number of rows");
  std::vector<GemmProblem> problems;
  for (size_t e = 0; e < n_experts; ++e) {
    const int64_t n = offsets[e + 1] - offsets[e];
    check(n >= 0, "grouped_linear: offsets do not decrease");
    if (n == 0) continue;
    if (const std::optional<GemmProblem> one = of(e, offsets[e], n)) problems.push_back(*one);
  }
  gemm(&pool, gemm_kernel(p), problems);
}

}  // namespace

void linear(ThreadPool& pool, MatmulPrecision p, const AnyRows& x, const Weight& w, MatView<float> y) {
  run(&pool, p, forward(x, w, y));
}
void linear_dinput(ThreadPool& pool, MatmulPrecision p, const AnyRows& dy, const Weight& w,
                   const InputGradient& out) noexcept {
  run(&pool, p, dinput(dy, w, out));
}
void linear_dweight(ThreadPool& pool, MatmulPrecision p, const AnyRows& dy, const AnyRows& x,
                    MatView<float> dw) noexcept {
  run(&pool, p, dweight(dy, x, dw));
}

void grouped_linear(ThreadPool& pool, MatmulPrecision p, const AnyRows& x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y) {
  check(y.rows == x.rows(), "grouped_linear: x (n_rows, K), y (n_rows, N)");
  run_grouped(pool, p, x.rows(), offsets, weights.size(), [&](size_t e, int64_t first, int64_t n) {
    return forward(x.sub_rows(first, n), weights[e], y.sub_rows(first, n));
  });
}
void grouped_linear_dinput(ThreadPool& pool, MatmulPrecision p, const AnyRows& dy, std::span<const int64_t> offsets,
                           std::span<const Weight> weights, const InputGradient& out) noexcept {
  check(out.dx.rows == dy.rows(), "grouped_linear_dinput: dy (n_rows, N), dx (n_rows, K)");
  run_grouped(pool, p, dy.rows(), offsets, weights.size(), [&](size_t e, int64_t first, int64_t n) {
    return dinput(dy.sub_rows(first, n), weights[e], {out.dx.sub_rows(first, n), out.add});
  });
}
void grouped_linear_dweight(ThreadPool& pool, MatmulPrecision p, const AnyRows& dy, const AnyRows& x,
                            std::span<const int64_t> offsets, std::span<const MatView<float>> dw) noexcept {
  check(dy.rows() == x.rows(), "grouped_linear_dweight: dy (n_rows, N), x (n_rows, K)");
  run_grouped(pool, p, dy.rows(), offsets, dw.size(), [&](size_t e, int64_t first, int64_t n) {
    return dw[e].empty() ? std::nullopt : std::optional(dweight(dy.sub_rows(first, n), x.sub_rows(first, n), dw[e]));
  });
}

void gemm_nt_serial(MatmulPrecision p, const AnyRows& a, const AnyRows& b, MatView<float> c, bool add) noexcept {
  run(nullptr, p, problem(a, Order::normal, WeightRows(kernels(), b), Order::transposed, c, add));
}
void gemm_nn_serial(MatmulPrecision p, const AnyRows& a, const AnyRows& b, MatView<float> c, bool add) noexcept {
  run(nullptr, p, problem(a, Order::normal, WeightRows(kernels(), b), Order::normal, c, add));
}
void gemm_tn_serial(MatmulPrecision p, const AnyRows& a, const AnyRows& b, MatView<float> c, bool add) noexcept {
  run(nullptr, p, problem(a, Order::transposed, WeightRows(kernels(), b), Order::normal, c, add));
}

}  // namespace fathom
