#include "kernels/matmul/packed_matmul.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include "kernels/dispatch.h"
#include "kernels/matmul/packed_schedule.h"

namespace fathom {
namespace {

// From so many rows of activations on a product is limited by its multiply-adds, below by reading the weights (two
// cores of a Zen 4, where 33 GB/s are read: from the cache the kernel takes 36 of q4_0 with five rows and 31 with six,
// and of bfloat16 39 with twelve and 33 with fourteen; of a multiply-add a weight it takes as many rows as bytes
// allow).
constexpr int64_t many_rows(RowForm form, DType dtype) noexcept {
  if (form == RowForm::floats) return 6 * info(dtype).block_bytes;
  return form == RowForm::bf16 ? 14 : 6;
}

void add(PackedSchedule& section, const PackedMatmul& job) { section.add(job.x.n, *job.w); }
void add(PackedSchedule& section, const GatedMatmul& job) { section.add(job.x.n, *job.gate, job.up); }

int64_t many_rows(const PackedMatmul& job) noexcept { return many_rows(job.x.form(), job.w->dtype); }
int64_t many_rows(const GatedMatmul& job) noexcept { return many_rows(job.x.form(), job.gate->dtype); }

// Jobs that threads take runs of tasks from, in order.
struct Queue {
  explicit Queue(size_t n_jobs) : section(n_jobs) {}
  PackedSchedule section;
  std::vector<size_t> jobs = {};  // their numbers
  std::vector<int64_t> runs = {};
  std::atomic<size_t> next = 0;

  // compute(number of the job, begin, end) for every span of tasks of the runs that the calling thread gets.
  template <class Compute>
  void work_off(Compute&& compute) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) + 1 < runs.size();)
      section.for_each_span(runs[i], runs[i + 1],
                            [&](const TaskSpan& span) { compute(jobs[span.job], span.begin, span.end); });
  }
};

// Threads of even number begin with the jobs of many rows, the largest first, the others with those of few: so that
// memory is read all the time, while others multiply.
template <class Job, class Compute>
void run_queues(ThreadPool& pool, std::span<const Job> jobs, Compute compute) {
  std::array<Queue, 2> queues{Queue(jobs.size()), Queue(jobs.size())};
  std::vector<size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t l, size_t r) { return jobs[l].x.n > jobs[r].x.n; });
  for (const size_t job : order) {
    Queue& q = queues[jobs[job].x.n >= many_rows(jobs[job]) ? 0 : 1];
    q.jobs.push_back(job);
    add(q.section, jobs[job]);
  }
  for (Queue& q : queues) q.runs = q.section.runs(pool.size());
  const auto both = [&](int thread) {
    for (const int i : {0, 1}) queues[static_cast<size_t>((thread + i) % 2)].work_off(compute);
  };
  if (queues[0].section.work() + queues[1].section.work() <= PackedSchedule::kSerialWork)
    both(0);
  else
    pool.run(both);
}

// body(job, begin, end): tasks [begin, end) of it. With several nodes threads first take those whose weights lie near
// them.
template <class Job, class Body>
void run_jobs(ThreadPool& pool, std::span<const Job> jobs, Body body) {
  if (pool.n_nodes() == 1)
    return run_queues(pool, jobs, [&](size_t job, int64_t begin, int64_t end) { body(jobs[job], begin, end); });
  PackedSchedule section(jobs.size());
  for (const Job& job : jobs) add(section, job);
  const int64_t n = section.n_tasks(), at_a_time = section.grain(pool.size());
  const auto compute = [&](const TaskSpan& run) { body(jobs[run.job], run.begin, run.end); };
  if (at_a_time < n) return pool.for_each_queued(section.node_queues(at_a_time, pool.n_nodes()), compute);
  section.for_each_span(0, n, compute);
}

void check_weight(const Weight& w, int64_t cols, RowForm form) noexcept {
  check(w.packed != nullptr && w.cols == cols && row_form(w.dtype) == form,
        "a packed weight, as wide as the activations and for their form");
}

// Rounds n numbers, a multiple of kPackedBlock, into row t of a tile from block `block` on.
void round_into(const KernelTable& k, const float* x, int64_t n, const QuantisedRows& tile, int64_t block, int64_t t) {
  const int64_t at = block * tile.n + t, stride = tile.n * kPackedBlock;
  switch (tile.form()) {
    case RowForm::bytes:
      return k.quantise_row(x, n, tile.codes + at * kPackedBlock, stride, tile.sums + at, tile.n);
    case RowForm::bf16:
      return bf16_kernel()->round_row(x, n, tile.bf16 + at * kPackedBlock, stride);
    case RowForm::floats:
      for (int64_t b = 0; b < n / kPackedBlock; ++b)
        std::copy_n(x + b * kPackedBlock, kPackedBlock, tile.floats + at * kPackedBlock + b * stride);
  }
}

// Whole strips of w, from `packed` on.
void multiply_whole(const KernelTable& k, const Weight& w, const std::byte* packed, int64_t n, const QuantisedRows& x,
                    float* y, int64_t stride) {
  const auto type = static_cast<size_t>(w.dtype);
  switch (x.form()) {
    case RowForm::bytes:
      return k.packed_product[type](packed, n, x.cols, x.codes, x.sums, x.n, y, stride);
    case RowForm::bf16:
      return bf16_kernel()->product(packed, n, x.cols, x.bf16, x.n, y, stride);
    case RowForm::floats:
      return k.float_product[type](packed, n, x.cols, x.floats, x.n, y, stride);
  }
}

// y[t * stride + i] for row i of strips [first, first + n) as far as they exist.
void multiply_strips(const KernelTable& k, const Weight& w, int64_t first, int64_t n, const QuantisedRows& x, float* y,
                     int64_t stride) {
  const std::byte* packed = w.packed + first * strip_bytes(w.dtype, w.cols);
  const int64_t rows = std::min(n * kStripRows, w.rows - first * kStripRows), whole = rows / kStripRows;
  if (whole > 0) multiply_whole(k, w, packed, whole, x, y, stride);
  const int64_t rest = rows - whole * kStripRows;
  if (rest <= 0) return;
  alignas(64) float last[QuantisedRows::kMaxRows * kStripRows];
  multiply_whole(k, w, packed + whole * strip_bytes(w.dtype, w.cols), 1, x, last, kStripRows);
  for (int64_t t = 0; t < x.n; ++t) std::copy_n(last + t * kStripRows, rest, y + t * stride + whole * kStripRows);
}

// Room for n rows in that form.
QuantisedRows take_rows(Arena& arena, int64_t n, int64_t cols, RowForm form) {
  QuantisedRows rows{.n = n, .cols = cols};
  switch (form) {
    case RowForm::bytes:
      rows.codes = arena.take<int8_t>(n * cols);
      rows.sums = arena.take<BlockSums>(n * cols / kPackedBlock);
      break;
    case RowForm::bf16:
      rows.bf16 = arena.take<uint16_t>(n * cols);
      break;
    case RowForm::floats:
      rows.floats = arena.take<float>(n * cols);
  }
  return rows;
}

// Blocks [begin, end) of what a gated job writes.
void gated_blocks(const KernelTable& k, const GatedMatmul& job, int64_t begin, int64_t end) {
  constexpr int64_t kRoom = QuantisedRows::kMaxRows * kPackedBlock;
  alignas(64) float gate[kRoom], up[kRoom];
  const int64_t most = QuantisedRows::kMaxRows / job.x.n;
  for (int64_t block = begin; block < end; block += most) {
    const int64_t width = std::min(most, end - block) * kPackedBlock;
    multiply_strips(k, *job.gate, block * kTaskStrips, width / kStripRows, job.x, gate, width);
    multiply_strips(k, *job.up, block * kTaskStrips, width / kStripRows, job.x, up, width);
    k.swiglu_row(gate, up, job.x.n * width, gate);
    for (int64_t t = 0; t < job.x.n; ++t) round_into(k, gate + t * width, width, job.y, block, t);
  }
}

}  // namespace

void run_packed_matmuls(ThreadPool& pool, std::span<const PackedMatmul> jobs) {
  for (const PackedMatmul& j : jobs) {
    check_weight(*j.w, j.x.cols, j.x.form());
    check(j.y.rows == j.x.n && j.y.cols == j.w->rows, "packed matmul: y (n, rows of w)");
  }
  const KernelTable& k = kernels();
  run_jobs(pool, jobs, [&](const PackedMatmul& j, int64_t begin, int64_t end) {
    multiply_strips(k, *j.w, begin * kTaskStrips, (end - begin) * kTaskStrips, j.x,
                    j.y.data + begin * kTaskStrips * kStripRows, j.y.stride);
  });
}

void run_gated_matmuls(ThreadPool& pool, std::span<const GatedMatmul> jobs) {
  for (const GatedMatmul& j : jobs) {
    check_weight(*j.gate, j.x.cols, j.x.form());
    check_weight(*j.up, j.x.cols, j.x.form());
    check(j.gate->rows == j.y.cols && j.up->rows == j.y.cols && j.y.n == j.x.n && j.y.cols % kPackedBlock == 0,
          "gated job: y (n, rows of gate and of up), whole blocks");
  }
  const KernelTable& k = kernels();
  run_jobs(pool, jobs, [&](const GatedMatmul& j, int64_t begin, int64_t end) { gated_blocks(k, j, begin, end); });
}

QuantisedTiles plan_tiles(Arena& arena, std::span<const int64_t> counts, int64_t cols, RowForm form) {
  check(cols % kPackedBlock == 0, "activations of whole blocks");
  int64_t rows = 0;
  for (const int64_t count : counts) rows += count;
  QuantisedRows all = take_rows(arena, rows, cols, form);
  const auto tile = [&](int64_t first, int64_t n) {
    QuantisedRows part = all;
    part.n = n;
    switch (form) {
      case RowForm::bytes:
        part.codes += first * cols;
        part.sums += first * (cols / kPackedBlock);
        break;
      case RowForm::bf16:
        part.bf16 += first * cols;
        break;
      case RowForm::floats:
        part.floats += first * cols;
    }
    return part;
  };
  QuantisedTiles tiles;
  int64_t row = 0;
  for (int64_t g = 0; g < std::ssize(counts); ++g) {
    const int64_t count = counts[static_cast<size_t>(g)];
    const int64_t n_tiles = (count + QuantisedRows::kMaxRows - 1) / QuantisedRows::kMaxRows;
    for (int64_t i = 0; i < n_tiles; ++i) {
      const int64_t n = count * (i + 1) / n_tiles - count * i / n_tiles;
      tiles.push_back({tile(row, n), row, g});
      row += n;
    }
  }
  return tiles;
}

void quantise(ThreadPool& pool, MatView<const float> x, std::span<const int32_t> source, const QuantisedTiles& into) {
  const KernelTable& k = kernels();
  pool.parallel_for_dynamic(std::ssize(into), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const QuantisedTile& tile = into[static_cast<size_t>(i)];
      const QuantisedRows& q = tile.rows;
      for (int64_t t = 0; t < q.n; ++t) {
        const int64_t row = tile.first + t;
        round_into(k, x.row(source.empty() ? row : source[static_cast<size_t>(row)]), q.cols, q, 0, t);
      }
    }
  });
}

void packed_linear(ThreadPool& pool, Arena& arena, MatView<const float> x, std::span<const PackedOutput> outputs) {
  Arena::Scope scope(arena);
  const QuantisedTiles tiles = plan_tiles(arena, std::array{x.rows}, x.cols, row_form(outputs.front().w->dtype));
  quantise(pool, x, {}, tiles);
  std::vector<PackedMatmul> jobs;
  for (const QuantisedTile& t : tiles)
    for (const PackedOutput& o : outputs) jobs.push_back({t.rows, o.w, o.y.sub_rows(t.first, t.rows.n)});
  run_packed_matmuls(pool, jobs);
}

void packed_linear_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept {
  const RowForm form = row_form(w.dtype);
  check_weight(w, x.cols, form);
  check(x.cols <= kSerialCols && y.rows == x.rows && y.cols == w.rows, "packed_linear_serial: y (T, rows of w)");
  const KernelTable& k = kernels();
  alignas(64) std::byte words[kSerialCols * 4];  // of any form
  alignas(64) BlockSums sums[kSerialCols / kPackedBlock];
  const int64_t most = std::min(QuantisedRows::kMaxRows, kSerialCols / x.cols);
  for (int64_t first = 0; first < x.rows; first += most) {
    const int64_t n = std::min(most, x.rows - first);
    QuantisedRows tile{.n = n, .cols = x.cols};
    switch (form) {
      case RowForm::bytes:
        tile.codes = reinterpret_cast<int8_t*>(words);
        tile.sums = sums;
        break;
      case RowForm::bf16:
        tile.bf16 = reinterpret_cast<uint16_t*>(words);
        break;
      case RowForm::floats:
        tile.floats = reinterpret_cast<float*>(words);
    }
    for (int64_t t = 0; t < n; ++t) round_into(k, x.row(first + t), x.cols, tile, 0, t);
    multiply_strips(k, w, 0, n_strips(w.rows), tile, y.row(first), y.stride);
  }
}

}  // namespace fathom
