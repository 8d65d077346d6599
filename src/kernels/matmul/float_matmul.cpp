#include "kernels/matmul/float_matmul.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/matmul/weight_rows.h"

namespace fathom {
namespace {

int64_t blocks(int64_t n, int64_t size) noexcept { return (n + size - 1) / size; }

// How y is cut into tasks: `rows` rows of w with `tokens` rows of x. Inside a task, `tile_rows` rows of w are decoded
// at a time, `k` columns of them.
struct Blocking {
  int64_t rows, tokens, tile_rows, k;
};
// Few tokens: w streams from memory once, a few whole rows at a time, so that it is read in the order in which it lies.
constexpr Blocking kFewTokens = {16, 4, 4, 2048};
// Many: the decoded piece of w (16 KB) stays in the first level cache while all tokens of the block pass; partial sums
// (200 KB) and the piece of x (200 KB) in the second. Each weight is decoded once for every 96 tokens.
constexpr Blocking kManyTokens = {32, 96, kTileWeights, 512};

constexpr const Blocking& blocking(int64_t n_tokens) noexcept {
  return n_tokens <= kFewTokens.tokens ? kFewTokens : kManyTokens;
}

constexpr int64_t kTransposedRows = 32;

// Below this many multiply-adds waking the threads costs more than they save (a few microseconds).
constexpr int64_t kSerialWork = 1 << 15;

// y[:, first_row .. first_row+n_rows-1] = x times these rows of w; at most B.rows of them, at most B.tokens rows of x.
template <Blocking B>
void matmul_block(const KernelTable& k, MatView<const float> x, const WeightRows& w, int64_t first_row, int64_t n_rows,
                  MatView<float> y) noexcept {
  alignas(64) float partial[B.rows * B.tokens * kMaxLanes];
  alignas(64) float scratch[B.tile_rows * B.k];
  std::fill_n(partial, x.rows * n_rows * k.lanes, 0.0f);
  for (int64_t i = 0; i < w.cols(); i += B.k) {
    const int64_t n = std::min(B.k, w.cols() - i);
    for (int64_t r = 0; r < n_rows; r += B.tile_rows) {
      const int64_t tile_rows = std::min(B.tile_rows, n_rows - r);
      if (const uint16_t* bf16 = w.bf16_row(first_row + r); B.tokens <= kFewTokens.tokens && bf16 != nullptr) {
        k.dot_tile_bf16(bf16 + i, w.cols(), tile_rows, x.data + i, x.stride, x.rows, n, partial + r * k.lanes,
                        n_rows * k.lanes);
        continue;
      }
      const float* piece = scratch;
      int64_t stride = n;
      if constexpr (B.tokens > kFewTokens.tokens)
        w.decode_rows(first_row + r, tile_rows, i, n, scratch);
      else
        piece = w.piece(first_row + r, tile_rows, i, n, scratch, stride);
      k.dot_tile(piece, stride, tile_rows, x.data + i, x.stride, x.rows, n, partial + r * k.lanes, n_rows * k.lanes);
    }
  }
  for (int64_t t = 0; t < x.rows; ++t) k.reduce_lanes(partial + t * n_rows * k.lanes, n_rows, y.row(t) + first_row);
}

int64_t count_tasks(int64_t n_tokens, int64_t n_rows) noexcept {
  const Blocking& b = blocking(n_tokens);
  return blocks(n_tokens, b.tokens) * blocks(n_rows, b.rows);
}

// Task `task` of the count_tasks(x.rows, w.rows()) that make up y = x W^T. Those with the same rows of x follow each
// other: they find them in the cache.
void matmul_task(const KernelTable& k, MatView<const float> x, const WeightRows& w, MatView<float> y,
                 int64_t task) noexcept {
  const Blocking& b = blocking(x.rows);
  const int64_t row_blocks = blocks(w.rows(), b.rows);
  const int64_t token = task / row_blocks * b.tokens, row = task % row_blocks * b.rows;
  const int64_t n_tokens = std::min(b.tokens, x.rows - token), n_rows = std::min(b.rows, w.rows() - row);
  const auto block = &b == &kFewTokens ? matmul_block<kFewTokens> : matmul_block<kManyTokens>;
  block(k, x.sub_rows(token, n_tokens), w, row, n_rows, y.sub_rows(token, n_tokens));
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

void grouped_matmul(ThreadPool& pool, MatView<const float> x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y) {
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
  check(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows, "matmul: x (T, K), w (N, K), y (T, N)");
  const WeightRows rows(kernels(), w);
  for (int64_t task = 0; task < count_tasks(x.rows, w.rows); ++task) matmul_task(kernels(), x, rows, y, task);
}
void matmul_transposed_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  check(x.cols == w.rows && y.rows == x.rows && y.cols == w.cols, "matmul_transposed: x (T, N), w (N, K), y (T, K)");
  const WeightRows rows(kernels(), w);
  for (int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), y.cols, 0.0f);
  for (int64_t i = 0; i < w.cols; i += kPiece)
    matmul_transposed_block(kernels(), x, rows, i, std::min(kPiece, w.cols - i), y);
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
