#include "kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/weight_rows.h"

namespace fathom {
namespace {

// One task: kBlockRows rows of w with up to kBlockTokens rows of x. The piece of w that dot_tile works on (8 rows)
// stays in the first level cache, the partial sums and the piece of x in the second; w is decoded once for every
// kBlockTokens rows.
constexpr int64_t kBlockRows = 16, kBlockTokens = 128, kBlockK = 2 * kPiece;
static_assert(kBlockRows % kTileWeights == 0);

constexpr int64_t kTransposedTokens = 16, kTransposedRows = 32;

// Below this many multiply-adds waking the threads costs more than they save (a few microseconds).
constexpr int64_t kSerialWork = 1 << 15;

int64_t blocks(int64_t n, int64_t size) noexcept { return (n + size - 1) / size; }

// y (n_tokens, n_rows at most kBlockRows) = x times rows first_row .. of w.
void matmul_block(const KernelTable& k, MatView<const float> x, const WeightRows& w, int64_t first_row, int64_t n_rows,
                  MatView<float> y) noexcept {
  alignas(64) float partial[kBlockRows * kBlockTokens * kMaxLanes];
  alignas(64) float scratch[kTileWeights * kBlockK];
  std::fill_n(partial, x.rows * n_rows * k.lanes, 0.0f);
  for (int64_t i = 0; i < w.cols(); i += kBlockK) {
    const int64_t n = std::min(kBlockK, w.cols() - i);
    for (int64_t r = 0; r < n_rows; r += kTileWeights) {
      const int64_t tile_rows = std::min(kTileWeights, n_rows - r);
      int64_t stride;
      const float* piece = w.piece(first_row + r, tile_rows, i, n, scratch, stride);
      k.dot_tile(piece, stride, tile_rows, x.data + i, x.stride, x.rows, n, partial + r * k.lanes, n_rows * k.lanes);
    }
  }
  for (int64_t t = 0; t < x.rows; ++t) k.reduce_lanes(partial + t * n_rows * k.lanes, n_rows, y.row(t) + first_row);
}

int64_t count_tasks(int64_t n_tokens, int64_t n_rows) noexcept {
  return blocks(n_tokens, kBlockTokens) * blocks(n_rows, kBlockRows);
}

// Task `task` of the count_tasks(x.rows, w.rows()) that make up y = x W^T.
void matmul_task(const KernelTable& k, MatView<const float> x, const WeightRows& w, MatView<float> y,
                 int64_t task) noexcept {
  const int64_t token_blocks = blocks(x.rows, kBlockTokens);
  const int64_t row = task / token_blocks * kBlockRows, token = task % token_blocks * kBlockTokens;
  const int64_t n_tokens = std::min(kBlockTokens, x.rows - token);
  matmul_block(k, x.sub_rows(token, n_tokens), w, row, std::min(kBlockRows, w.rows() - row),
               y.sub_rows(token, n_tokens));
}

void matmul_all(MatView<const float> x, const WeightRows& w, MatView<float> y) noexcept {
  check(x.cols == w.cols() && y.rows == x.rows && y.cols == w.rows(), "matmul: x (T, K), w (N, K), y (T, N)");
  for (int64_t task = 0; task < count_tasks(x.rows, w.rows()); ++task) matmul_task(kernels(), x, w, y, task);
}

// y[:, first .. first+n-1] += x W[:, first .. first+n-1], n at most kPiece
void matmul_transposed_block(const KernelTable& k, MatView<const float> x, const WeightRows& w, int64_t first,
                             int64_t n, MatView<float> y) noexcept {
  alignas(64) float scratch[kTransposedRows * kPiece];
  for (int64_t row = 0; row < w.rows(); row += kTransposedRows) {
    const int64_t n_rows = std::min(kTransposedRows, w.rows() - row);
    int64_t stride;
    const float* piece = w.piece(row, n_rows, first, n, scratch, stride);
    k.axpy_tile(piece, stride, n_rows, x.data + row, x.stride, x.rows, n, y.data + first, y.stride);
  }
}

void fill_zero(MatView<float> y) noexcept {
  for (int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), y.cols, 0.0f);
}

void matmul_transposed_add(MatView<const float> x, const WeightRows& w, MatView<float> y) noexcept {
  check(x.cols == w.rows() && y.rows == x.rows && y.cols == w.cols(),
        "matmul_transposed: x (T, N), w (N, K), y (T, K)");
  for (int64_t i = 0; i < w.cols(); i += kPiece)
    matmul_transposed_block(kernels(), x, w, i, std::min(kPiece, w.cols() - i), y);
}

// Tasks are taken as threads become free; several at a time, so that taking them costs nothing beside doing them.
template <class Task>
void run_tasks(ThreadPool& pool, int64_t n_tasks, int64_t work, Task&& task) noexcept {
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) task(i);
  };
  if (work <= kSerialWork) return range(0, n_tasks);
  pool.parallel_for_dynamic(n_tasks, std::max<int64_t>(1, n_tasks / (8 * pool.size())), range);
}

}  // namespace

void matmul(ThreadPool& pool, MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  check(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows, "matmul: x (T, K), w (N, K), y (T, N)");
  const KernelTable& k = kernels();
  const WeightRows rows(k, w);
  run_tasks(pool, count_tasks(x.rows, w.rows), x.rows * w.rows * w.cols,
            [&](int64_t task) { matmul_task(k, x, rows, y, task); });
}

void matmul_transposed(ThreadPool& pool, MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  check(x.cols == w.rows && y.rows == x.rows && y.cols == w.cols, "matmul_transposed: x (T, N), w (N, K), y (T, K)");
  const KernelTable& k = kernels();
  const WeightRows rows(k, w);
  const int64_t token_blocks = blocks(x.rows, kTransposedTokens);
  run_tasks(pool, blocks(w.cols, kPiece) * token_blocks, x.rows * w.rows * w.cols, [&](int64_t task) {
    const int64_t first = task / token_blocks * kPiece, token = task % token_blocks * kTransposedTokens;
    const int64_t n = std::min(kPiece, w.cols - first), n_tokens = std::min(kTransposedTokens, x.rows - token);
    const MatView<float> out = y.sub_rows(token, n_tokens);
    fill_zero(out.sub_cols(first, n));
    matmul_transposed_block(k, x.sub_rows(token, n_tokens), rows, first, n, out);
  });
}

void grouped_matmul(ThreadPool& pool, MatView<const float> x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y) noexcept {
  check(offsets.size() == weights.size() + 1 && offsets.front() == 0 && offsets.back() == x.rows && y.rows == x.rows,
        "grouped_matmul: offsets (E+1) from 0 to the rows of x");
  const KernelTable& k = kernels();
  std::vector<int64_t> first_task(weights.size() + 1, 0);  // of each expert
  for (size_t e = 0; e < weights.size(); ++e) {
    check(weights[e].cols == x.cols && weights[e].rows == y.cols && offsets[e] <= offsets[e + 1],
          "grouped_matmul: x (n_rows, K), weights (N, K), y (n_rows, N), offsets not decreasing");
    first_task[e + 1] = first_task[e] + count_tasks(offsets[e + 1] - offsets[e], weights[e].rows);
  }
  run_tasks(pool, first_task.back(), x.rows * x.cols * y.cols, [&](int64_t task) {
    const auto e =
        static_cast<size_t>(std::upper_bound(first_task.begin(), first_task.end(), task) - first_task.begin()) - 1;
    const int64_t first = offsets[e], n = offsets[e + 1] - first;
    matmul_task(k, x.sub_rows(first, n), WeightRows(k, weights[e]), y.sub_rows(first, n), task - first_task[e]);
  });
}

void matmul_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  matmul_all(x, WeightRows(kernels(), w), y);
}
void matmul_serial(MatView<const float> x, MatView<const float> w, MatView<float> y) noexcept {
  matmul_all(x, WeightRows(kernels(), w), y);
}
void matmul_serial(MatView<const float> x, MatView<const uint16_t> w_bf16, MatView<float> y) noexcept {
  matmul_all(x, WeightRows(kernels(), w_bf16), y);
}

void matmul_transposed_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  fill_zero(y);
  matmul_transposed_add(x, WeightRows(kernels(), w), y);
}
void matmul_transposed_add_serial(MatView<const float> x, MatView<const float> w, MatView<float> y) noexcept {
  matmul_transposed_add(x, WeightRows(kernels(), w), y);
}
void matmul_transposed_add_serial(MatView<const float> x, MatView<const uint16_t> w_bf16, MatView<float> y) noexcept {
  matmul_transposed_add(x, WeightRows(kernels(), w_bf16), y);
}

void gather_rows(const Weight& w, std::span<const int32_t> ids, MatView<float> y) noexcept {
  check(y.rows == static_cast<int64_t>(ids.size()) && y.cols == w.cols, "gather_rows: w (N, K), y (T, K)");
  const WeightRows rows(kernels(), w);
  for (int64_t t = 0; t < y.rows; ++t) {
    const int64_t id = ids[static_cast<size_t>(t)];
    check(id >= 0 && id < w.rows, "gather_rows: ids inside the table");
    rows.decode(id, 0, w.cols, y.row(t));
  }
}

}  // namespace fathom
