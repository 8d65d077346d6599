// Expands the keys and values of the past once for all tokens of the step, as codes of 16 bits; then every task, some
// tokens of one head, attends to them. A long past is expanded and attended to in parts, which bounds the memory.
#include <algorithm>

#include "kernels/attention/int16_tile.h"
#include "kernels/dispatch.h"
#include "model/attention/int16/mla_int16.h"

namespace fathom {
namespace {

constexpr int64_t kChunk = 1024;  // positions that one matmul expands

// Where the codes of one (head, cache block) are, in bytes from its start: rows of keys and of values, then scales.
struct HeadTile {
  int64_t key_row, value_row, values_at, scales_at, n_scales, bytes;
  HeadTile(int64_t N, int64_t V)
      : key_row(4 * n_words(N)),
        value_row(2 * V),
        values_at(kTileCells * key_row),
        scales_at((values_at + kTileCells * value_row + 3) / 4 * 4),
        n_scales(n_groups(N) + n_groups(V)),
        bytes((scales_at + kTileCells * n_scales * 4 + 63) / 64 * 64) {}
};

struct NaiveStep {
  const Int16Attention& a;
  const BatchSequence& s;
  MatView<const float> q;
  MatView<float> o;
  const Int16Kernel& k = int16_kernel();
  int64_t H = a.c.num_attention_heads, N = a.c.qk_nope_head_dim, R = a.c.qk_rope_head_dim, V = a.c.v_head_dim,
          C = a.c.kv_lora_rank;
  HeadTile layout{N, V};
  int64_t rotated_row = 4 * n_words(R);  // bytes of one position's rotated key, the same for all heads
  QueryShape shape = {};
  int64_t n_query_tiles = (s.n + kLanes - 1) / kLanes;  // of a head
  int64_t task_tiles = query_tiles_per_task(H * n_query_tiles, a.ctx.pool.size());
  std::vector<QueryTile> query_tiles = {};  // (H, n_query_tiles)
  // Of the part that is expanded now:
  std::byte *codes = nullptr, *rotated = nullptr;  // (blocks, H, layout.bytes), (positions, rotated_row)
  float* rotated_scales = nullptr;                 // (positions, n_groups(R))

  std::byte* tile(int64_t block, int64_t head) const { return codes + (block * H + head) * layout.bytes; }
};

// Packs the queries of all heads and allocates their sums.
void pack_queries(NaiveStep& step) {
  Context& ctx = step.a.ctx;
  step.shape.add_part(step.N);
  step.shape.add_part(step.R);
  const int64_t count = step.H * step.n_query_tiles;
  auto* words = ctx.arena.take<uint32_t>(count * step.shape.words * kLanes);
  auto* scales = ctx.arena.take<float>(count * step.shape.groups * kLanes);
  auto* z = ctx.arena.take<float>(count * sum_columns(step.V) * kLanes);
  auto* states = ctx.arena.take<LaneState>(count);
  for (int64_t p = 0; p < count; ++p)
    step.query_tiles.push_back({.words = words + p * step.shape.words * kLanes,
                                .scales = scales + p * step.shape.groups * kLanes,
                                .state = states + p,
                                .z = z + p * sum_columns(step.V) * kLanes});
  ctx.pool.for_each_task(count, [&](int, int64_t p) {
    QueryTile& query_tile = step.query_tiles[static_cast<size_t>(p)];
    const int64_t head = p / step.n_query_tiles, first = p % step.n_query_tiles * kLanes;
    for (int64_t l = 0; l < kLanes; ++l) {
      if (first + l >= step.s.n) {
        clear_lane(step.shape, l, query_tile);
        continue;
      }
      const float* row = step.q.row(first + l) + head * (step.N + step.R);
      pack_lane(step.k, {row, step.N}, {.lane = l}, query_tile);
      pack_lane(step.k, {row + step.N, step.R},
                {.lane = l, .first_word = query_words(step.N), .first_group = n_groups(step.N)}, query_tile);
    }
  });
}

// Rounds rows of one head and one part to codes. Strides are in bytes.
void code_rows(const Int16Kernel& k, MatView<const float> x, std::byte* codes, int64_t stride, float* scales,
               int64_t scale_stride) {
  for (int64_t j = 0; j < x.rows; ++j)
    for (int64_t first = 0; first < x.cols; first += kGroup) {
      const int64_t n = std::min(kGroup, x.cols - first);
      auto* out = reinterpret_cast<int16_t*>(codes + j * stride) + first;
      scales[j * scale_stride + first / kGroup] = k.quantize(x.row(j) + first, n, kMaxCode, out);
      if (n % 2 != 0 && stride > 2 * x.cols) out[n] = 0;
    }
}

// Reads the latents of n positions from `first` on as float32, and writes their rotated keys as codes from row `at` on.
MatView<const float> gather(const NaiveStep& step, int64_t first, int64_t n, int64_t at, MatView<float> into) {
  Context& ctx = step.a.ctx;
  Arena::Scope scope(ctx.arena);
  float* scratch = ctx.arena.take<float>(ctx.pool.size() * kBlockTokens * into.cols);
  ctx.pool.for_each_task((n + kBlockTokens - 1) / kBlockTokens, [&](int thread, int64_t b) {
    const int64_t row = b * kBlockTokens, count = std::min(kBlockTokens, n - row);
    const MatView<const float> rows =
        step.a.cache.rows(*step.s.cache, step.a.layer, first + row, count, scratch + thread * kBlockTokens * into.cols);
    for (int64_t j = 0; j < count; ++j) std::copy_n(rows.row(j), step.C, into.row(row + j));
    code_rows(step.k, rows.sub_cols(step.C, step.R), step.rotated + (at + row) * step.rotated_row, step.rotated_row,
              step.rotated_scales + (at + row) * n_groups(step.R), n_groups(step.R));
  });
  return {into.data, n, step.C, into.stride};
}

// Expands positions [first, first + n) into the K/V tiles from `at` on, a position of the part that begins a tile.
void expand_chunk(const NaiveStep& step, int64_t first, int64_t n, int64_t at) {
  Context& ctx = step.a.ctx;
  Arena::Scope scope(ctx.arena);
  const auto latents = gather(step, first, n, at, scratch(ctx, n, step.C + step.R));
  const ExpandedLatents e = expand_latents(ctx, step.a.c, step.a.w, latents);
  ctx.pool.for_each_task((n + kTileCells - 1) / kTileCells * step.H, [&](int, int64_t i) {
    const int64_t block = i / step.H, head = i % step.H, row = block * kTileCells;
    const int64_t count = std::min(kTileCells, n - row);
    std::byte* tile = step.tile(at / kTileCells + block, head);
    auto* scales = reinterpret_cast<float*>(tile + step.layout.scales_at);
    code_rows(step.k, e.key.sub_rows(row, count).sub_cols(head * e.layout.key_stride, step.N), tile,
              step.layout.key_row, scales, step.layout.n_scales);
    code_rows(step.k, e.value.sub_rows(row, count).sub_cols(head * e.layout.value_stride, step.V),
              tile + step.layout.values_at, step.layout.value_row, scales + n_groups(step.N), step.layout.n_scales);
  });
}

// The groups of one K/V tile: keys without rotation, keys with it, values.
class TileGroups {
 public:
  explicit TileGroups(const NaiveStep& step) : step_(step) {
    for (const int64_t n : {step.N, step.R, step.V})
      for (int64_t first = 0; first < n; first += kGroup) groups_.push_back({.n = std::min(kGroup, n - first)});
  }

  KvTile of(int64_t block, int64_t head, int64_t n, bool more) {
    const std::byte* tile = step_.tile(block, head);
    const auto* scales = reinterpret_cast<const float*>(tile + step_.layout.scales_at);
    const int64_t at = block * kTileCells, keys = n_groups(step_.N), rotated = n_groups(step_.R),
                  values = n_groups(step_.V);
    size_t g = 0;
    const auto point = [&](int64_t count, const std::byte* codes, int64_t stride, const float* s, int64_t s_stride) {
      for (int64_t i = 0; i < count; ++i, ++g) {
        groups_[g].codes = codes + i * kGroup * 2;
        groups_[g].stride = stride;
        groups_[g].scales = s + i;
        groups_[g].scale_stride = s_stride;
      }
    };
    point(keys, tile, step_.layout.key_row, scales, step_.layout.n_scales);
    point(rotated, step_.rotated + at * step_.rotated_row, step_.rotated_row, step_.rotated_scales + at * rotated,
          rotated);
    point(values, tile + step_.layout.values_at, step_.layout.value_row, scales + keys, step_.layout.n_scales);
    const std::span<const CodeGroup> all(groups_);
    const auto* next = reinterpret_cast<const char*>(step_.tile(block + 1, head));
    return {n, all.first(static_cast<size_t>(keys + rotated)), all.last(static_cast<size_t>(values)),
            more ? Prefetch{next, next + step_.layout.bytes} : Prefetch{}};
  }

 private:
  const NaiveStep& step_;
  std::vector<CodeGroup> groups_;
};

// Writes o of the rows of one query tile.
void write_query_tile(const NaiveStep& step, int64_t head, int64_t query_tile, float* rows) {
  const QueryTile& p = step.query_tiles[static_cast<size_t>(head * step.n_query_tiles + query_tile)];
  step.k.unpack_sums(p.z, step.V, rows, step.V);
  for (int64_t l = 0; l < kLanes && query_tile * kLanes + l < step.s.n; ++l) {
    const float inverse = 1.0f / p.state->sum[l];
    float* o = step.o.row(query_tile * kLanes + l) + head * step.V;
    for (int64_t i = 0; i < step.V; ++i) o[i] = rows[l * step.V + i] * inverse;
  }
}

struct NaiveScratch {
  TileGroups groups;
  float *tile, *rows;
  int32_t* visible;
  NaiveScratch(const NaiveStep& step, Arena& arena)
      : groups(step),
        tile(arena.take<float>(kTileScratch)),
        rows(arena.take<float>(kLanes * step.V)),
        visible(arena.take<int32_t>(step.task_tiles * kLanes)) {}
};

// Attends with task_tiles query tiles of one head, from `first` on, to the expanded positions [begin, end).
void attend_tokens(const NaiveStep& step, int64_t head, int64_t first, int64_t begin, int64_t end, NaiveScratch& s) {
  const int64_t n_query_tiles = std::min(step.task_tiles, step.n_query_tiles - first), first_token = first * kLanes,
                n_tokens = std::min(n_query_tiles * kLanes, step.s.n - first_token);
  QueryTile query_tiles[kMaxQueryTiles];
  for (int64_t p = 0; p < n_query_tiles; ++p) {
    query_tiles[p] = step.query_tiles[static_cast<size_t>(head * step.n_query_tiles + first + p)];
    query_tiles[p].visible = s.visible + p * kLanes;
  }
  const int64_t last_position = step.s.first_position + first_token + n_tokens - 1;
  for (int64_t at = begin; at < std::min(end, last_position + 1); at += kTileCells) {
    const int64_t n = std::min(kTileCells, end - at);
    for (int64_t t = 0; t < n_query_tiles * kLanes; ++t) {
      const int64_t sees = step.s.first_position + first_token + t - at + 1;
      s.visible[t] = t < n_tokens ? static_cast<int32_t>(std::clamp<int64_t>(sees, 0, n)) : 0;
    }
    attend_tile(step.k, s.groups.of((at - begin) / kTileCells, head, n, at + kTileCells < end), step.a.settings.scale,
                at == 0, {query_tiles, static_cast<size_t>(n_query_tiles)}, s.tile);
  }
  if (last_position < end)
    for (int64_t p = 0; p < n_query_tiles; ++p) write_query_tile(step, head, first + p, s.rows);
}

void attend_part(const NaiveStep& step, int64_t begin, int64_t end) {
  Context& ctx = step.a.ctx;
  Arena::Scope scope(ctx.arena);
  std::vector<NaiveScratch> scratch;
  scratch.reserve(static_cast<size_t>(ctx.pool.size()));
  for (int i = 0; i < ctx.pool.size(); ++i) scratch.emplace_back(step, ctx.arena);
  const int64_t groups = (step.n_query_tiles + step.task_tiles - 1) / step.task_tiles;
  // Later tokens see more, so their tasks are the longest and go first. Rows that ended in an earlier part do nothing.
  ctx.pool.for_each_task(groups * step.H, [&](int thread, int64_t i) {
    const int64_t first = (groups - 1 - i / step.H) * step.task_tiles;
    const int64_t last = step.s.first_position + std::min((first + step.task_tiles) * kLanes, step.s.n) - 1;
    if (last >= begin) attend_tokens(step, i % step.H, first, begin, end, scratch[static_cast<size_t>(thread)]);
  });
}

}  // namespace

void attend_naive_int16(const Int16Attention& a, const BatchSequence& s, MatView<const float> q, MatView<float> o) {
  Arena::Scope scope(a.ctx.arena);
  NaiveStep step{.a = a, .s = s, .q = q, .o = o};
  pack_queries(step);
  const int64_t n_positions = s.first_position + s.n;
  const int64_t fits = a.expanded_bytes / (step.H * step.layout.bytes / kTileCells) / kChunk * kChunk;
  const int64_t part = std::max(kChunk, std::min(fits, (n_positions + kChunk - 1) / kChunk * kChunk));
  step.codes = a.ctx.arena.take<std::byte>(part / kTileCells * step.H * step.layout.bytes);
  step.rotated = a.ctx.arena.take<std::byte>(part * step.rotated_row);
  step.rotated_scales = a.ctx.arena.take<float>(part * n_groups(step.R));
  for (int64_t begin = 0; begin < n_positions; begin += part) {
    const int64_t end = std::min(begin + part, n_positions);
    for (int64_t first = begin; first < end; first += kChunk)
      expand_chunk(step, first, std::min(kChunk, end - first), first - begin);
    attend_part(step, begin, end);
  }
}

}  // namespace fathom
