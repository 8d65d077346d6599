// Three parallel sections for all sequences together. The first stores the latents and folds queries into query tiles;
// the second attends, one task for some query tiles and one run of splits; the third merges the runs and unfolds the
// values. Row t H + h of a sequence is head h of its token t.
#include <algorithm>

#include "kernels/attention/int16_tile.h"
#include "kernels/dispatch.h"
#include "model/attention/int16/mla_int16.h"
#include "model/attention/mla_heads.h"

namespace fathom {
namespace {

constexpr int64_t kHeadRows = 64;    // tokens that one task folds or unfolds with a head's weights
constexpr int64_t kStoredRows = 16;  // tokens that one task stores

// One sequence with its query tiles and partial results.
struct Absorbed {
  BatchSequence s;
  int64_t n_query_tiles = 0;
  uint32_t* words = nullptr;  // of its query tiles
  float* scales = nullptr;
  float* folded = nullptr;  // (query tiles, C, kLanes): folded queries, where rows of the cache have residuals
  int64_t splits_per_run = 1, n_runs = 1;  // a run: splits that one task attends to and merges
  PartialSoftmax* partials = nullptr;      // (n_runs, rows())
  float* z = nullptr;                      // (n_runs, rows(), C)
  int64_t rows() const { return n_query_tiles * kLanes; }
  int64_t n_positions() const { return s.first_position + s.n; }
};

struct AbsorbedStep {
  const Int16Attention& a;
  MatView<const float> latents, q;
  MatView<float> o;
  const Int16Kernel& k = int16_kernel();
  int64_t H = a.c.num_attention_heads, N = a.c.qk_nope_head_dim, R = a.c.qk_rope_head_dim, V = a.c.v_head_dim,
          C = a.c.kv_lora_rank;
  const LatentCoder* coder = a.cache.coder(a.layer);  // of a cache of levels: attention is to what it makes of latents
  int64_t largest = has_byte_keys(a.cache.layout().row()) ? kMaxCode8 : kMaxCode;  // of folded queries
  bool residuals = coder != nullptr && coder->row().outliers > 0;
  QueryShape shape = {};
  std::vector<Absorbed> sequences = {};
  int64_t task_tiles = 1;  // query tiles of one sequence that a task attends with

  QueryTile query_tile(const Absorbed& s, int64_t i) const {
    return {.words = s.words + i * shape.words * kLanes,
            .scales = s.scales + i * shape.groups * kLanes,
            .folded = s.folded != nullptr ? s.folded + i * C * kLanes : nullptr};
  }
};

// Consecutive rows of the batch, for one head.
struct HeadTask {
  int64_t first_row, n, head;
};

std::vector<HeadTask> head_tasks(const AbsorbedStep& step) {
  std::vector<HeadTask> tasks;
  for (size_t i = 0; i < step.sequences.size();) {
    const int64_t begin = step.sequences[i].s.first_row;
    int64_t end = begin;
    for (; i < step.sequences.size() && step.sequences[i].s.first_row == end; ++i) end += step.sequences[i].s.n;
    for (int64_t row = begin; row < end; row += kHeadRows)
      for (int64_t h = 0; h < step.H; ++h) tasks.push_back({row, std::min(kHeadRows, end - row), h});
  }
  return tasks;
}

// Calls fn(sequence, t, i) for every row i of a task, which is token t of the sequence.
template <class Fn>
void for_each_row(const AbsorbedStep& step, const HeadTask& task, Fn&& fn) {
  auto s = std::upper_bound(step.sequences.begin(), step.sequences.end(), task.first_row,
                            [](int64_t row, const Absorbed& x) { return row < x.s.first_row; });
  --s;
  for (int64_t i = 0; i < task.n; ++i) {
    const int64_t row = task.first_row + i;
    if (row == s->s.first_row + s->s.n) ++s;
    fn(*s, row - s->s.first_row, i);
  }
}

// Query tiles of all sequences, and how many runs each is cut into: one for each split where there are few tasks for
// the threads, else one for all. The results are the same: splits are merged in order either way.
void plan(AbsorbedStep& step, std::span<const BatchSequence> sequences) {
  Arena& arena = step.a.ctx.arena;
  step.shape.add_part(step.C);
  step.shape.add_part(step.R);
  int64_t n_query_tiles = 0, n_tasks = 0;
  for (const BatchSequence& s : sequences) {
    Absorbed x;
    x.s = s;
    x.n_query_tiles = (s.n * step.H + kLanes - 1) / kLanes;
    x.words = arena.take<uint32_t>(x.n_query_tiles * step.shape.words * kLanes);
    x.scales = arena.take<float>(x.n_query_tiles * step.shape.groups * kLanes);
    if (step.residuals) x.folded = arena.take<float>(x.n_query_tiles * step.C * kLanes);
    n_query_tiles += x.n_query_tiles;
    step.sequences.push_back(x);
  }
  step.task_tiles = query_tiles_per_task(n_query_tiles, step.a.ctx.pool.size());
  for (const Absorbed& x : step.sequences) n_tasks += (x.n_query_tiles + step.task_tiles - 1) / step.task_tiles;
  const bool whole = n_tasks >= kTasksPerThread * step.a.ctx.pool.size();
  for (Absorbed& x : step.sequences) {
    const int64_t n_splits = (x.n_positions() + kSplit - 1) / kSplit;
    x.splits_per_run = whole ? n_splits : 1;
    x.n_runs = whole ? 1 : n_splits;
    x.partials = arena.take<PartialSoftmax>(x.n_runs * x.rows());
    x.z = arena.take<float>(x.n_runs * x.rows() * step.C);
  }
}

void fold_head(const AbsorbedStep& step, const HeadTask& task, float* scratch) {
  const int64_t N = step.N, R = step.R, C = step.C, at = task.head * (N + R);
  const MatView<const float> q = step.q.sub_rows(task.first_row, task.n);
  const MatView<float> folded(scratch, task.n, C);
  fold_query(step.a.c, step.a.w, task.head, step.a.ctx.numerics, q.sub_cols(at, N), folded);
  for_each_row(step, task, [&](const Absorbed& s, int64_t t, int64_t i) {
    const int64_t row = t * step.H + task.head;
    QueryTile query_tile = step.query_tile(s, row / kLanes);
    if (step.coder != nullptr) step.coder->fold_query(folded.row(i));
    if (s.folded != nullptr)
      for (int64_t c = 0; c < C; ++c) s.folded[(row / kLanes * C + c) * kLanes + row % kLanes] = folded.row(i)[c];
    pack_lane(step.k, folded.vec(i), {.lane = row % kLanes, .largest = step.largest}, query_tile);
    pack_lane(step.k, {q.row(i) + at + N, R},
              {.lane = row % kLanes, .first_word = query_words(C), .first_group = n_groups(C)}, query_tile);
    if (row == s.s.n * step.H - 1)  // the lanes after the last row
      for (int64_t l = row % kLanes + 1; l < kLanes; ++l) {
        clear_lane(step.shape, l, query_tile);
        if (s.folded != nullptr)
          for (int64_t c = 0; c < C; ++c) s.folded[(row / kLanes * C + c) * kLanes + l] = 0;
      }
  });
}

void store_and_fold(const AbsorbedStep& step, const Batch& batch) {
  const Int16Attention& a = step.a;
  const std::vector<HeadTask> tasks = head_tasks(step);
  float* scratch = a.ctx.arena.take<float>(a.ctx.pool.size() * kHeadRows * step.C);
  const auto n_folds = static_cast<int64_t>(tasks.size()),
             n_stores = (step.latents.rows + kStoredRows - 1) / kStoredRows;
  a.ctx.pool.for_each_task(n_folds + n_stores, [&](int thread, int64_t i) {
    if (i < n_folds)
      fold_head(step, tasks[static_cast<size_t>(i)], scratch + thread * kHeadRows * step.C);
    else
      store_latents(a, batch, step.latents, (i - n_folds) * kStoredRows, kStoredRows);
  });
}

// Query tiles [first, first + n) of one sequence against the splits of one run.
struct AttendTask {
  const Absorbed* x;
  int64_t first, n, run;
  int64_t begin() const { return run * x->splits_per_run * kSplit; }  // the first position
  int64_t last_position(int64_t H) const {
    return x->s.first_position + (std::min(x->s.n * H, (first + n) * kLanes) - 1) / H;
  }
};

std::vector<AttendTask> attend_tasks(const AbsorbedStep& step) {
  std::vector<AttendTask> tasks;
  for (const Absorbed& x : step.sequences)
    for (int64_t p = 0; p < x.n_query_tiles; p += step.task_tiles)
      for (int64_t run = 0; run < x.n_runs; ++run)
        tasks.push_back({&x, p, std::min(step.task_tiles, x.n_query_tiles - p), run});
  const auto cost = [](const AttendTask& t) { return t.n * t.x->splits_per_run; };
  std::stable_sort(tasks.begin(), tasks.end(),
                   [&](const AttendTask& l, const AttendTask& r) { return cost(l) > cost(r); });
  return tasks;
}

// The scratch of one thread.
struct AttendScratch {
  CachedTile tile;
  float *tile_scratch, *rounded, *z, *rows, *residual_sums = nullptr;
  LaneState* states;
  int32_t* visible;

  AttendScratch(const AbsorbedStep& step, Arena& arena)
      : tile(step.a.cache.layout().row(), step.coder, &step.a.cache.rotation()) {
    tile_scratch = arena.take<float>(kTileScratch);
    rounded = arena.take<float>(tile.scratch_floats());
    z = arena.take<float>(step.task_tiles * sum_columns(step.C) * kLanes);
    if (step.residuals) residual_sums = arena.take<float>(step.task_tiles * step.C * kLanes);
    rows = arena.take<float>(kLanes * step.C);
    states = arena.take<LaneState>(step.task_tiles);
    visible = arena.take<int32_t>(step.task_tiles * kLanes);
  }
};

// How many cells of the K/V tile at `first` each row of a query tile sees.
void count_visible(const AbsorbedStep& step, const Absorbed& x, int64_t query_tile, int64_t first, int64_t n,
                   int32_t* visible) {
  for (int64_t l = 0; l < kLanes; ++l) {
    const int64_t row = query_tile * kLanes + l, position = x.s.first_position + row / step.H;
    visible[l] = row < x.s.n * step.H ? static_cast<int32_t>(std::clamp<int64_t>(position - first + 1, 0, n)) : 0;
  }
}

// The K/V tile at `first`, to be fetched ahead, if there is one.
Prefetch stored_at(const AbsorbedStep& step, const Absorbed& x, int64_t first) {
  if (first >= x.n_positions()) return {};
  const auto* at = reinterpret_cast<const char*>(step.a.cache.stored(*x.s.cache, step.a.layer, first));
  const CacheRow row = step.a.cache.layout().row();
  const int64_t n = std::min(kBlockTokens, x.n_positions() - first);
  return {at,
          at + n * (n == kBlockTokens || row.latent() ? row.bytes()
                                                      : row.stride())};  // the scales follow the rows of whole blocks
}

// next: what is attended to after the split.
void attend_split(const AbsorbedStep& step, const AttendTask& task, int64_t begin, int64_t end, Prefetch next,
                  std::span<QueryTile> query_tiles, AttendScratch& s) {
  const Absorbed& x = *task.x;
  for (int64_t first = begin; first < end; first += kBlockTokens) {
    const int64_t n = std::min(kBlockTokens, end - first);
    KvTile tile = s.tile.load(step.k, step.a.cache.stored(*x.s.cache, step.a.layer, first), first, n, s.rounded);
    tile.ahead = first + kBlockTokens < end ? stored_at(step, x, first + kBlockTokens) : next;
    for (int64_t p = 0; p < task.n; ++p)
      count_visible(step, x, task.first + p, first, n, query_tiles[static_cast<size_t>(p)].visible);
    attend_tile(step.k, tile, step.a.settings.scale, first == begin, query_tiles, s.tile_scratch);
  }
}

// rows (kLanes, C) += residual sums (C, kLanes)
void add_residual_sums(int64_t C, const float* sums, float* rows) {
  for (int64_t l = 0; l < kLanes; ++l)
    for (int64_t c = 0; c < C; ++c) rows[l * C + c] += sums[c * kLanes + l];
}

// Merges the partial results of a split into those of its run.
void keep_split(const AbsorbedStep& step, const AttendTask& task, bool first, std::span<const QueryTile> query_tiles,
                AttendScratch& s) {
  const KernelTable& table = kernels();
  for (int64_t p = 0; p < task.n; ++p) {
    const QueryTile& query_tile = query_tiles[static_cast<size_t>(p)];
    const int64_t row = task.run * task.x->rows() + (task.first + p) * kLanes;
    PartialSoftmax* partials = task.x->partials + row;
    float* z = task.x->z + row * step.C;
    step.k.unpack_sums(query_tile.z, step.C, first ? z : s.rows, step.C);
    if (step.residuals) add_residual_sums(step.C, query_tile.residual_sums, first ? z : s.rows);
    for (int64_t l = 0; l < kLanes; ++l) {
      const PartialSoftmax partial{query_tile.state->shift[l], query_tile.state->sum[l]};
      if (first)
        partials[l] = partial;
      else
        merge_partial(table, partial, {s.rows + l * step.C, step.C}, partials[l], {z + l * step.C, step.C});
    }
  }
}

// next: the first tile of the task that this thread takes after this one, as far as can be told.
void attend_run(const AbsorbedStep& step, const AttendTask& task, Prefetch next, AttendScratch& s) {
  QueryTile query_tiles[kMaxQueryTiles];
  for (int64_t p = 0; p < task.n; ++p) {
    query_tiles[p] = step.query_tile(*task.x, task.first + p);
    query_tiles[p].visible = s.visible + p * kLanes;
    query_tiles[p].state = s.states + p;
    query_tiles[p].z = s.z + p * sum_columns(step.C) * kLanes;
    if (step.residuals) query_tiles[p].residual_sums = s.residual_sums + p * step.C * kLanes;
  }
  const std::span<QueryTile> used(query_tiles, static_cast<size_t>(task.n));
  const int64_t begin = task.begin(),
                end = std::min(begin + task.x->splits_per_run * kSplit, task.last_position(step.H) + 1);
  for (int64_t first = begin; first < end; first += kSplit) {
    const int64_t split_end = std::min(first + kSplit, end);
    attend_split(step, task, first, split_end, split_end < end ? stored_at(step, *task.x, split_end) : next, used, s);
    keep_split(step, task, first == begin, used, s);
  }
}

void attend(const AbsorbedStep& step) {
  Arena& arena = step.a.ctx.arena;
  Arena::Scope scope(arena);
  std::vector<AttendScratch> scratch;
  scratch.reserve(static_cast<size_t>(step.a.ctx.pool.size()));
  for (int i = 0; i < step.a.ctx.pool.size(); ++i) scratch.emplace_back(step, arena);
  const std::vector<AttendTask> tasks = attend_tasks(step);
  // Tasks take about equally long: this thread's next is likely as many further on as there are threads.
  const auto after = [&](int64_t i) -> Prefetch {
    const auto then = static_cast<size_t>(i + step.a.ctx.pool.size());
    return then < tasks.size() ? stored_at(step, *tasks[then].x, tasks[then].begin()) : Prefetch{};
  };
  step.a.ctx.pool.for_each_task(std::ssize(tasks), [&](int thread, int64_t i) {
    attend_run(step, tasks[static_cast<size_t>(i)], after(i), scratch[static_cast<size_t>(thread)]);
  });
}

// Merges all runs of one row and writes its result to z (C).
void merge_row(const AbsorbedStep& step, const Absorbed& x, int64_t t, int64_t head, VecView<float> z) {
  const KernelTable& table = kernels();
  const int64_t row = t * step.H + head,
                n_runs = std::min(x.n_runs, (x.s.first_position + t) / (x.splits_per_run * kSplit) + 1);
  std::copy_n(x.z + row * step.C, step.C, z.data);
  PartialSoftmax partial = x.partials[row];
  for (int64_t run = 1; run < n_runs; ++run) {
    const int64_t other = run * x.rows() + row;
    merge_partial(table, x.partials[other], {x.z + other * step.C, step.C}, partial, z);
  }
  table.scale(1.0f / partial.sum, z.data, z.size);
  if (step.coder != nullptr) step.coder->restore(z.data);
}

void unfold(const AbsorbedStep& step) {
  const Int16Attention& a = step.a;
  Arena::Scope scope(a.ctx.arena);
  const std::vector<HeadTask> tasks = head_tasks(step);
  float* scratch = a.ctx.arena.take<float>(a.ctx.pool.size() * kHeadRows * step.C);
  a.ctx.pool.for_each_task(static_cast<int64_t>(tasks.size()), [&](int thread, int64_t i) {
    const HeadTask& task = tasks[static_cast<size_t>(i)];
    const MatView<float> z(scratch + thread * kHeadRows * step.C, task.n, step.C);
    for_each_row(step, task,
                 [&](const Absorbed& x, int64_t t, int64_t r) { merge_row(step, x, t, task.head, z.vec(r)); });
    unfold_value(a.c, a.w, task.head, a.ctx.numerics, z,
                 step.o.sub_rows(task.first_row, task.n).sub_cols(task.head * step.V, step.V));
  });
}

}  // namespace

void attend_absorbed_int16(const Int16Attention& a, const Batch& batch, std::span<const BatchSequence> sequences,
                           MatView<const float> latents, MatView<const float> q, MatView<float> o) {
  Arena::Scope scope(a.ctx.arena);
  AbsorbedStep step{.a = a, .latents = latents, .q = q, .o = o};
  plan(step, sequences);
  store_and_fold(step, batch);
  attend(step);
  unfold(step);
}

}  // namespace fathom
