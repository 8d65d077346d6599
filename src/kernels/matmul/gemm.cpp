#include "kernels/matmul/gemm.h"

#include <algorithm>
#include <vector>

#include "base/round.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

// Depth of one round: so many words, or fewer where a block of a (kernel.block_bytes) would have too few rows: b is
// read again for each block.
constexpr int64_t kMaxRoundWords = 1024, kFewBlockRows = 128;
constexpr int64_t kPackDepth = kPiece;              // elements of depth that one packing task takes
constexpr int64_t kPackedWords = int64_t{1} << 24;  // of b, packed at a time: 64 MB
constexpr int64_t kTasksPerThread = 4;              // fewer leave threads idle at the end
constexpr int64_t kMinTaskCols = 256;               // fewer make packing a again for each task cost too much
constexpr int64_t kStoredCols = 512;                // of c, summed in tiles before their rows are written
constexpr int64_t kSumInPlace = 1 << 17;            // floats of c, all rows of a task: half a megabyte
constexpr int64_t kMaxTaskRows = 256;               // so that these tiles (512 KB) too stay in the second level cache
constexpr int64_t kSerialWork = 1 << 16;            // multiply-adds below which waking the threads costs more

int64_t blocks(int64_t n, int64_t size) noexcept { return (n + size - 1) / size; }

// Elements of depth first .. first+depth-1 of a problem, in one round.
struct Round {
  int64_t first = 0, depth = 0;
  int64_t words = 0;         // of the kernel
  int64_t padded_words = 0;  // in whole blocks
};

// Whole micro-panels, so that rounds give the bits of all at once.
int64_t round_words(const GemmKernel& kernel) noexcept {
  const int64_t panels = kernel.block_bytes / 4 / kFewBlockRows / kernel.panel_words;
  return std::clamp(panels * kernel.panel_words, kernel.panel_words, kMaxRoundWords);
}

Round round_of(const GemmKernel& kernel, int64_t k, int64_t index) noexcept {
  const int64_t depth = round_words(kernel) * kernel.per_word;
  Round r;
  r.first = index * depth;
  r.depth = std::min(k - r.first, depth);
  r.words = blocks(r.depth, kernel.per_word);
  r.padded_words = rounded_up(r.words, kWordBlock);
  return r;
}
int64_t count_rounds(const GemmKernel& kernel, int64_t k) noexcept {
  return blocks(k, round_words(kernel) * kernel.per_word);
}

// Grows, is never given back: the next product needs it again.
template <class T>
T* reserve(Buffer<T>& scratch, int64_t n) {
  if (scratch.size() < n) scratch = Buffer<T>(n);
  return scratch.data();
}
thread_local Buffer<uint32_t> scratch_a, scratch_b, scratch_panel;
thread_local Buffer<float> scratch_c;

// Tasks are taken as threads become free; several at a time, so that taking them costs nothing beside doing them.
template <class Task>
void run_tasks(ThreadPool* pool, int64_t n_tasks, int64_t work, Task&& task) {
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) task(i);
  };
  if (pool == nullptr || work <= kSerialWork) return range(0, n_tasks);
  pool->parallel_for_dynamic(n_tasks, std::max<int64_t>(1, n_tasks / (16 * pool->size())), range);
}

// Which problem a task of the whole list belongs to, and its number there.
class TaskList {
 public:
  void add(int64_t n_tasks) { first_.push_back(first_.back() + n_tasks); }
  int64_t size() const noexcept { return first_.back(); }
  std::pair<size_t, int64_t> find(int64_t task) const noexcept {
    const auto next = std::upper_bound(first_.begin(), first_.end(), task);
    return {static_cast<size_t>(next - first_.begin()) - 1, task - *(next - 1)};
  }

 private:
  std::vector<int64_t> first_ = {0};
};

// ---- packing b

// Tasks of one round: blocks of kPackDepth elements of depth by strips of columns. A strip is one micro-panel when its
// columns are rows of the matrix, else one piece (WeightRows) of its rows.
int64_t strip_cols(const GemmKernel& kernel, bool transposed) noexcept { return transposed ? kernel.cols : kPiece; }
int64_t count_pack_tasks(const GemmKernel& kernel, bool transposed, int64_t n, const Round& r) noexcept {
  return blocks(n, strip_cols(kernel, transposed)) * blocks(r.depth, kPackDepth);
}

void pack_strip_transposed(const GemmKernel& kernel, const WeightRows& b, int64_t col, int64_t n, int64_t k,
                           int64_t depth, uint32_t* panel) noexcept {
  if (const uint16_t* stored = b.bf16_row(col))
    return kernel.bf16.b_transposed(stored + k, b.row_bytes() / 2, n, depth, panel);
  alignas(64) float decoded[kMaxPanelCols * kPackDepth];
  int64_t stride;
  const float* piece = b.piece(col, n, k, depth, decoded, stride);
  kernel.f32.b_transposed(piece, stride, n, depth, panel);
}

// `micro-panels`: of the round, padded_words of them for each micro-panel; word: where in the micro-panels this depth
// starts.
void pack_strip_rows(const GemmKernel& kernel, const WeightRows& b, int64_t col, int64_t n, int64_t k, int64_t depth,
                     uint32_t* panels, int64_t padded_words) noexcept {
  constexpr int64_t kRows = 32;  // decoded at a time; whole blocks of words
  alignas(64) float decoded[kRows * kPiece];
  for (int64_t row = 0; row < depth; row += kRows) {
    const int64_t n_rows = std::min(kRows, depth - row);
    const auto pack = [&](const auto& packing, const auto* piece, int64_t stride) {
      for (int64_t j = 0; j < n; j += kernel.cols)
        packing.b(piece + j, stride, std::min(kernel.cols, n - j), n_rows,
                  panels + (j * padded_words + row / kernel.per_word * kernel.cols));
    };
    if (const uint16_t* stored = b.bf16_row(k + row)) {
      pack(kernel.bf16, stored + col, b.row_bytes() / 2);
    } else {
      int64_t stride;
      const float* piece = b.piece(k + row, n_rows, col, n, decoded, stride);
      pack(kernel.f32, piece, stride);
    }
  }
}

// Elements of depth k .. k+depth-1 of the round, depth <= kPackDepth, of columns col .. col+n-1, one strip.
void pack_strip(const GemmKernel& kernel, const WeightRows& b, bool transposed, int64_t col, int64_t n, const Round& r,
                int64_t k, uint32_t* panels) noexcept {
  const int64_t depth = std::min(kPackDepth, r.depth - k);
  uint32_t* to = panels + k / kernel.per_word * kernel.cols;
  if (transposed)
    pack_strip_transposed(kernel, b, col, n, r.first + k, depth, to);
  else
    pack_strip_rows(kernel, b, col, n, r.first + k, depth, to, r.padded_words);
}

void pack_task(const GemmKernel& kernel, const WeightRows& b, bool transposed, int64_t n, const Round& r, int64_t task,
               uint32_t* packed) noexcept {
  const int64_t strip = strip_cols(kernel, transposed), depth_blocks = blocks(r.depth, kPackDepth);
  const int64_t col = task / depth_blocks * strip, k = task % depth_blocks * kPackDepth;
  pack_strip(kernel, b, transposed, col, std::min(strip, n - col), r, k, packed + col * r.padded_words);
}

// One micro-panel, into scratch of the calling thread.
const uint32_t* pack_strip(const GemmKernel& kernel, const GemmProblem& p, const Round& r, int64_t col) {
  uint32_t* panel = reserve(scratch_panel, kernel.cols * r.padded_words);
  for (int64_t k = 0; k < r.depth; k += kPackDepth)
    pack_strip(kernel, p.b, p.b_transposed, col, std::min(kernel.cols, p.n - col), r, k, panel);
  return panel;
}

int64_t packed_round_words(const GemmKernel& kernel, int64_t n, const Round& r) noexcept {
  return rounded_up(n, kernel.cols) * r.padded_words;
}

// ---- multiplying

// How c is cut into tasks: all problems alike, so that a task is found by arithmetic.
struct TaskShape {
  int64_t rows, cols;
};

int64_t count_tasks(const GemmProblem& p, const TaskShape& t) noexcept {
  return blocks(p.m, t.rows) * blocks(p.n, t.cols);
}

// Rows fill the block of a; columns are split only when there are too few tasks for the threads, then rows.
TaskShape task_shape(const GemmKernel& kernel, std::span<const GemmProblem* const> problems, int64_t words,
                     int threads) {
  int64_t m = 0, n = 0;
  for (const GemmProblem* p : problems) {
    m = std::max(m, p->m);
    n = std::max(n, p->n);
  }
  const int64_t fitting =
      std::min(kernel.block_bytes / 4 / std::max<int64_t>(words, 1), kMaxTaskRows) / kernel.rows * kernel.rows;
  TaskShape t{std::min(rounded_up(m, kernel.rows), std::max(kernel.rows, fitting)), rounded_up(n, kernel.cols)};
  if (threads == 1) return t;
  const auto tasks = [&] {
    int64_t count = 0;
    for (const GemmProblem* p : problems) count += count_tasks(*p, t);
    return count;
  };
  const int64_t wanted = kTasksPerThread * threads;
  while (tasks() < wanted && t.cols > kMinTaskCols) t.cols = rounded_up(t.cols / 2, kernel.cols);
  while (tasks() < wanted && t.rows > kernel.rows) t.rows = rounded_up(t.rows / 2, kernel.rows);
  return t;
}

// Some rows of a: packed micro-panels, or the matrix itself. Word w, a multiple of kWordBlock, of row i, a multiple of
// the micro-panel's: words + i * row_step + w * word_step.
struct RowBlock {
  const uint32_t* words;
  RowLayout layout;
  int64_t row_step, word_step;
};

// Rows whose stride is a multiple of a page would share few lines of the first level cache; and rows must consist of
// whole words.
bool reads_in_place(const GemmKernel& kernel, const GemmProblem& p) noexcept {
  const int64_t bytes = p.a.element_bytes();
  return kernel.rows_in_place == bytes && !p.a_transposed && p.a.stride() * bytes % 4096 != 0 &&
         p.a.stride() % kernel.per_word == 0 && p.k % kernel.per_word == 0 &&
         reinterpret_cast<uintptr_t>(p.a.at(0, 0)) % alignof(uint32_t) == 0;
}

// n_rows rows of a, whose first element of the round is `first`, micro-panel by micro-panel; a transposed, in the order
// in which it lies in memory.
template <class Element>
void pack_block(const GemmKernel& kernel, const GemmPacking<Element>& packing, const Element* first,
                const GemmProblem& p, const Round& r, int64_t n_rows, uint32_t* a) noexcept {
  const int64_t stride = p.a.stride();
  const int64_t step = p.a_transposed ? kWordBlock * kernel.per_word : r.depth;
  for (int64_t k = 0; k < r.depth; k += step)
    for (int64_t i = 0; i < n_rows; i += kernel.rows) {
      const int64_t n = std::min(kernel.rows, n_rows - i), depth = std::min(step, r.depth - k);
      uint32_t* to = a + i * r.padded_words + k / kernel.per_word * kernel.rows;
      if (p.a_transposed)
        packing.a_transposed(first + k * stride + i, stride, n, depth, to);
      else
        packing.a(first + i * stride, stride, n, depth, to);
    }
}

// Where a strip of columns is summed, rows `stride` floats apart: in c itself, whose edges cut tiles off (n_cols
// columns, the rows there are), or in scratch, which has room for whole ones.
struct Strip {
  float* data;
  int64_t stride, n_cols;
  bool in_c;
};

// A tile at the edge of c.
void multiply_edge(const GemmKernel& kernel, int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b,
                   float* c, int64_t stride, int64_t n_rows, int64_t n_cols, bool add) noexcept {
  alignas(64) float tile[kMaxPanelRows * kMaxPanelCols];
  if (add) kernel.copy(c, stride, tile, kernel.cols, n_rows, n_cols);
  kernel.multiply(words, a, layout, b, tile, kernel.cols, n_rows, add, nullptr);
  kernel.copy(tile, kernel.cols, c, stride, n_rows, n_cols);
}

RowBlock block_of(const GemmKernel& kernel, const GemmProblem& p, const Round& r, int64_t row, int64_t n_rows,
                  int64_t task_rows) {
  if (reads_in_place(kernel, p)) {
    const int64_t words = p.a.stride() / kernel.per_word;
    return {static_cast<const uint32_t*>(p.a.at(row, r.first)), {words, kWordBlock, 1}, words, 1};
  }
  uint32_t* a = reserve(scratch_a, task_rows * r.padded_words);
  const int64_t i = p.a_transposed ? r.first : row, j = p.a_transposed ? row : r.first;
  if (p.a.is_bf16())
    pack_block(kernel, kernel.bf16, p.a.bf16(i, j), p, r, n_rows, a);
  else
    pack_block(kernel, kernel.f32, p.a.f32(i, j), p, r, n_rows, a);
  return {a, p.a_transposed ? kernel.transposed : row_after_row(kernel.rows), r.padded_words, kernel.rows};
}

// One micro-panel of b with a block of a. When there is a next micro-panel, each call fetches a part of it.
void multiply_strip(const GemmKernel& kernel, const Round& r, const RowBlock& a, const uint32_t* b, int64_t n_rows,
                    bool add, bool has_next, const Strip& strip) noexcept {
  const int64_t panel = r.padded_words * kernel.cols;
  int64_t fetched = has_next ? 0 : panel;
  for (int64_t w = 0; w < r.words; w += kernel.panel_words) {
    const int64_t words = std::min(kernel.panel_words, r.words - w);
    for (int64_t i = 0; i < n_rows; i += kernel.rows) {
      const uint32_t *a_panel = a.words + i * a.row_step + w * a.word_step, *b_panel = b + w * kernel.cols;
      const int64_t rows = std::min(kernel.rows, n_rows - i);
      float* c = strip.data + i * strip.stride;
      if (strip.in_c && (strip.n_cols < kernel.cols || rows < kernel.rows)) {
        multiply_edge(kernel, words, a_panel, a.layout, b_panel, c, strip.stride, rows, strip.n_cols, add || w > 0);
        continue;
      }
      const uint32_t* ahead = fetched < panel ? b + panel + fetched : nullptr;
      fetched += blocks(words, kWordBlock) * kPrefetchWords;
      kernel.multiply(words, a_panel, a.layout, b_panel, c, strip.stride, rows, add || w > 0, ahead);
    }
  }
}

// Columns col .. of c between the matrix and its tiles (strips of kernel.cols columns, t.rows rows each): some rows
// whole, then the next, as they lie in memory.
enum class Copy : uint8_t { to_tiles, from_tiles };
void copy_tiles(const GemmKernel& kernel, Copy direction, MatView<float> c, float* tiles, int64_t strip_rows) noexcept {
  constexpr int64_t kRows = 4;
  for (int64_t i = 0; i < c.rows; i += kRows)
    for (int64_t j = 0; j < c.cols; j += kernel.cols) {
      float *at = c.row(i) + j, *tile = tiles + j * strip_rows + i * kernel.cols;
      const int64_t n_rows = std::min(kRows, c.rows - i), n_cols = std::min(kernel.cols, c.cols - j);
      if (direction == Copy::to_tiles)
        kernel.copy(at, c.stride, tile, kernel.cols, n_rows, n_cols);
      else
        kernel.copy(tile, kernel.cols, at, c.stride, n_rows, n_cols);
    }
}

// b: the packed micro-panels of the round; nullptr: each is packed here, just before it is used.
void multiply_task(const GemmKernel& kernel, const GemmProblem& p, const Round& r, const uint32_t* b,
                   const TaskShape& t, int64_t task) {
  const int64_t col_blocks = blocks(p.n, t.cols);
  const int64_t row = task / col_blocks * t.rows, first_col = task % col_blocks * t.cols;
  const int64_t n_rows = std::min(t.rows, p.m - row), end_col = std::min(p.n, first_col + t.cols);
  const RowBlock a = block_of(kernel, p, r, row, n_rows, t.rows);
  const bool add = p.add || r.first > 0;
  // Rows that are far apart, a cache line or two of each in turn, are slow to write: such c is summed in scratch.
  const bool in_c = n_rows * p.c_stride <= kSumInPlace;
  float* sums = in_c ? nullptr : reserve(scratch_c, t.rows * kStoredCols);
  if (b == nullptr) reserve(scratch_panel, kernel.cols * r.padded_words);  // nothing throws once the kernel is set up
  if (kernel.begin != nullptr) kernel.begin();
  for (int64_t col = first_col; col < end_col; col += kStoredCols) {
    const MatView<float> c(p.c + row * p.c_stride + col, n_rows, std::min(kStoredCols, end_col - col), p.c_stride);
    if (add && !in_c) copy_tiles(kernel, Copy::to_tiles, c, sums, t.rows);
    for (int64_t j = 0; j < c.cols; j += kernel.cols) {
      const int64_t n_cols = std::min(kernel.cols, c.cols - j);
      const Strip strip =
          in_c ? Strip{c.data + j, c.stride, n_cols, true} : Strip{sums + j * t.rows, kernel.cols, n_cols, false};
      const uint32_t* panel = b != nullptr ? b + (col + j) * r.padded_words : pack_strip(kernel, p, r, col + j);
      multiply_strip(kernel, r, a, panel, n_rows, add, b != nullptr && col + j + kernel.cols < end_col, strip);
    }
    if (!in_c) copy_tiles(kernel, Copy::from_tiles, c, sums, t.rows);
  }
  if (kernel.end != nullptr) kernel.end();
}

// One round of some problems. A b that several tasks read is packed first, by all threads; one that a single row of
// tasks reads is packed there, micro-panel by micro-panel, and never leaves the cache of its thread.
void run_round(ThreadPool* pool, const GemmKernel& kernel, std::span<const GemmProblem* const> problems,
               int64_t index) {
  std::vector<Round> rounds;
  int64_t deepest = 0, work = 0;
  for (const GemmProblem* p : problems) {
    rounds.push_back(round_of(kernel, p->k, index));
    deepest = std::max(deepest, rounds.back().padded_words);
    work += p->m * p->n * rounds.back().depth;
  }
  const TaskShape shape = task_shape(kernel, problems, deepest, pool && work > kSerialWork ? pool->size() : 1);
  const auto shared = [&](const GemmProblem& p) { return p.m > shape.rows || !(p.b_transposed || p.b.any_column()); };
  TaskList pack, multiply;
  int64_t words = 0, pack_work = 0;
  for (size_t i = 0; i < problems.size(); ++i) {
    const GemmProblem& p = *problems[i];
    multiply.add(count_tasks(p, shape));
    pack.add(shared(p) ? count_pack_tasks(kernel, p.b_transposed, p.n, rounds[i]) : 0);
    if (shared(p)) words += packed_round_words(kernel, p.n, rounds[i]), pack_work += p.n * rounds[i].depth;
  }
  uint32_t* next = words > 0 ? reserve(scratch_b, words) : nullptr;
  std::vector<uint32_t*> packed;
  for (size_t i = 0; i < problems.size(); ++i) {
    const GemmProblem& p = *problems[i];
    packed.push_back(shared(p) ? next : nullptr);
    if (shared(p)) next += packed_round_words(kernel, p.n, rounds[i]);
  }
  run_tasks(pool, pack.size(), pack_work, [&](int64_t task) {
    const auto [i, number] = pack.find(task);
    const GemmProblem& p = *problems[i];
    pack_task(kernel, p.b, p.b_transposed, p.n, rounds[i], number, packed[i]);
  });
  run_tasks(pool, multiply.size(), work, [&](int64_t task) {
    const auto [i, number] = multiply.find(task);
    multiply_task(kernel, *problems[i], rounds[i], packed[i], shape, number);
  });
}

void fill_zero(const GemmProblem& p) noexcept {
  for (int64_t i = 0; i < p.m; ++i) std::fill_n(p.c + i * p.c_stride, p.n, 0.0f);
}

}  // namespace

void gemm(ThreadPool* pool, const GemmKernel& kernel, std::span<const GemmProblem> problems) {
  int64_t depth = 0;
  for (const GemmProblem& p : problems) {
    depth = std::max(depth, p.k);
    if (p.k == 0 && !p.add) fill_zero(p);
  }
  std::vector<const GemmProblem*> batch;
  for (int64_t index = 0; index < count_rounds(kernel, depth); ++index) {
    int64_t words = 0;
    const auto flush = [&] {
      if (!batch.empty()) run_round(pool, kernel, batch, index);
      batch.clear();
      words = 0;
    };
    for (const GemmProblem& p : problems) {
      if (p.m == 0 || p.n == 0 || index >= count_rounds(kernel, p.k)) continue;
      const int64_t more = packed_round_words(kernel, p.n, round_of(kernel, p.k, index));
      if (words > 0 && words + more > kPackedWords) flush();
      batch.push_back(&p);
      words += more;
    }
    flush();
  }
}

}  // namespace fathom
