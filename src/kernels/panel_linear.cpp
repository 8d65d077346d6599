#include "kernels/panel_linear.h"

#include <algorithm>
#include <array>

#include "kernels/dispatch.h"

namespace fathom {
namespace {

constexpr int64_t kGroup = kPanelBlock / kPanelRows;  // panels of one task: a whole block of what a gated job writes
constexpr int64_t kTasksPerThread = 16;               // enough that the last ones end together

// Below this many multiply-adds waking the threads costs more than they save (a few microseconds).
constexpr int64_t kSerialWork = 1 << 17;

const Weight& weight_of(const PanelJob& job) noexcept { return *job.w; }
const Weight& weight_of(const GatedJob& job) noexcept { return *job.gate; }

int64_t groups(int64_t rows) noexcept { return (n_panels(rows) + kGroup - 1) / kGroup; }

// Tasks first[j] .. first[j + 1] - 1 are job j's. body(job, group) once for each.
template <class Job, class Body>
void run_jobs(ThreadPool& pool, std::span<const Job> jobs, Body body) {
  std::vector<int64_t> first(jobs.size() + 1, 0);
  int64_t work = 0;
  for (size_t j = 0; j < jobs.size(); ++j) {
    first[j + 1] = first[j] + groups(weight_of(jobs[j]).rows);
    work += jobs[j].x.n * weight_of(jobs[j]).rows * jobs[j].x.cols;
  }
  const int64_t n = first.back();
  const int64_t grain = work <= kSerialWork ? n : std::max<int64_t>(1, n / (kTasksPerThread * pool.size()));
  pool.parallel_for_dynamic(n, grain, [&](int64_t begin, int64_t end) {
    auto job = static_cast<size_t>(std::upper_bound(first.begin(), first.end(), begin) - first.begin()) - 1;
    for (int64_t i = begin; i < end; ++i) {
      while (i >= first[job + 1]) ++job;
      body(jobs[job], i - first[job]);
    }
  });
}

void check_weight(const Weight& w, int64_t cols) noexcept {
  check(w.panels != nullptr && w.cols == cols, "a weight in panels, as wide as the activations");
}

// y[t * stride + i] for the rows of panel p that exist.
void multiply_panel(const KernelTable& k, const Weight& w, int64_t p, const QuantisedRows& x, float* y,
                    int64_t stride) {
  const std::byte* panel = w.panels + p * panel_bytes(w.dtype, w.cols);
  const PanelProductFn product = k.panel_product[static_cast<size_t>(w.dtype)];
  const int64_t rows = std::min(kPanelRows, w.rows - p * kPanelRows);
  if (rows == kPanelRows) return product(panel, x.cols, x.codes, x.sums, x.n, y, stride);
  alignas(64) float whole[QuantisedRows::kMaxRows * kPanelRows];
  product(panel, x.cols, x.codes, x.sums, x.n, whole, kPanelRows);
  for (int64_t t = 0; t < x.n; ++t) std::copy_n(whole + t * kPanelRows, rows, y + t * stride);
}

void gated_block(const KernelTable& k, const GatedJob& job, int64_t block) {
  alignas(64) float gate[QuantisedRows::kMaxRows * kPanelBlock], up[QuantisedRows::kMaxRows * kPanelBlock];
  for (int64_t p = 0; p < kGroup; ++p)
    multiply_panel(k, *job.gate, block * kGroup + p, job.x, gate + p * kPanelRows, kPanelBlock);
  for (int64_t p = 0; p < kGroup; ++p)
    multiply_panel(k, *job.up, block * kGroup + p, job.x, up + p * kPanelRows, kPanelBlock);
  k.swiglu_row(gate, up, job.x.n * kPanelBlock, gate);
  for (int64_t t = 0; t < job.x.n; ++t) {
    const int64_t at = block * job.y.n + t;
    k.quantise_row(gate + t * kPanelBlock, kPanelBlock, job.y.codes + at * kPanelBlock, 0,
                   job.y.sums + at * QuantisedRows::kSums, 0);
  }
}

}  // namespace

void run_panel_jobs(ThreadPool& pool, std::span<const PanelJob> jobs) {
  for (const PanelJob& j : jobs) {
    check_weight(*j.w, j.x.cols);
    check(j.y.rows == j.x.n && j.y.cols == j.w->rows, "panel job: y (n, rows of w)");
  }
  const KernelTable& k = kernels();
  run_jobs(pool, jobs, [&](const PanelJob& j, int64_t group) {
    const int64_t end = std::min(n_panels(j.w->rows), (group + 1) * kGroup);
    for (int64_t p = group * kGroup; p < end; ++p)
      multiply_panel(k, *j.w, p, j.x, j.y.data + p * kPanelRows, j.y.stride);
  });
}

void run_gated_jobs(ThreadPool& pool, std::span<const GatedJob> jobs) {
  for (const GatedJob& j : jobs) {
    check_weight(*j.gate, j.x.cols);
    check_weight(*j.up, j.x.cols);
    check(j.gate->rows == j.y.cols && j.up->rows == j.y.cols && j.y.n == j.x.n && j.y.cols % kPanelBlock == 0,
          "gated job: y (n, rows of gate and of up), whole blocks");
  }
  const KernelTable& k = kernels();
  run_jobs(pool, jobs, [&](const GatedJob& j, int64_t block) { gated_block(k, j, block); });
}

QuantisedTiles plan_tiles(Arena& arena, std::span<const int64_t> counts, int64_t cols) {
  check(cols % kPanelBlock == 0, "activations of whole blocks");
  int64_t rows = 0;
  for (const int64_t count : counts) rows += count;
  const int64_t sums_per_row = cols / kPanelBlock * QuantisedRows::kSums;
  auto* codes = arena.take<int8_t>(rows * cols);
  auto* sums = arena.take<float>(rows * sums_per_row);
  QuantisedTiles tiles;
  int64_t row = 0;
  for (int64_t g = 0; g < std::ssize(counts); ++g) {
    const int64_t count = counts[static_cast<size_t>(g)];
    const int64_t n_tiles = (count + QuantisedRows::kMaxRows - 1) / QuantisedRows::kMaxRows;
    for (int64_t i = 0; i < n_tiles; ++i) {
      const int64_t n = count * (i + 1) / n_tiles - count * i / n_tiles;
      tiles.push_back({{n, cols, codes + row * cols, sums + row * sums_per_row}, row, g});
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
        k.quantise_row(x.row(source.empty() ? row : source[static_cast<size_t>(row)]), q.cols,
                       q.codes + t * kPanelBlock, q.n * kPanelBlock, q.sums + t * QuantisedRows::kSums,
                       q.n * QuantisedRows::kSums);
      }
    }
  });
}

void panel_linear(ThreadPool& pool, Arena& arena, MatView<const float> x, std::span<const PanelOutput> outputs) {
  Arena::Scope scope(arena);
  const QuantisedTiles tiles = plan_tiles(arena, std::array{x.rows}, x.cols);
  quantise(pool, x, {}, tiles);
  std::vector<PanelJob> jobs;
  for (const QuantisedTile& t : tiles)
    for (const PanelOutput& o : outputs) jobs.push_back({t.rows, o.w, o.y.sub_rows(t.first, t.rows.n)});
  run_panel_jobs(pool, jobs);
}

}  // namespace fathom
