#include "model/attention/int16/mla_int16.h"

#include <algorithm>

#include "kernels/int16_kernel.h"

namespace fathom {

void store_latents(const Int16Attention& a, const Batch& batch, MatView<const float> latents, int64_t first,
                   int64_t n) {
  for (const BatchSequence& s : batch.sequences) {
    const int64_t begin = std::max(first, s.first_row), end = std::min({first + n, s.first_row + s.n, latents.rows});
    for (int64_t row = begin; row < end; ++row)
      a.cache.store(*s.cache, a.layer, s.first_position + row - s.first_row, latents.vec(row));
  }
}

namespace {

// Steps and pieces that follow each other are attended together: with the form chosen, their bits do not depend on how
// the sequence is cut.
void add_or_join(const BatchSequence& s, std::vector<BatchSequence>& sequences) {
  if (!sequences.empty() && sequences.back().cache == s.cache &&
      sequences.back().first_row + sequences.back().n == s.first_row)
    sequences.back().n += s.n;
  else
    sequences.push_back(s);
}

}  // namespace

int64_t query_tiles_per_task(int64_t n_query_tiles, int n_threads) noexcept {
  return std::clamp<int64_t>(n_query_tiles / (kTasksPerThread * n_threads), 4, kMaxQueryTiles);
}

void attend_int16(const Int16Attention& a, const Batch& batch, MatView<const float> latents, MatView<const float> q,
                  MatView<float> o) {
  std::vector<BatchSequence> absorbed, naive;
  for (const BatchSequence& s : batch.sequences) {
    const MlaForm form = a.settings.mla_form == MlaForm::automatic
                             ? cheaper_int16_form(a.c, a.settings.costs, uses_packed(a.ctx, a.w.fold_key),
                                                  s.attends_as.n_past, s.attends_as.n_new)
                             : a.settings.mla_form;
    add_or_join(s, form == MlaForm::naive ? naive : absorbed);
  }
  if (!absorbed.empty())
    attend_absorbed_int16(a, batch, absorbed, latents, q, o);
  else
    a.ctx.pool.parallel_for_dynamic(
        latents.rows, 16, [&](int64_t begin, int64_t end) { store_latents(a, batch, latents, begin, end - begin); });
  for (const BatchSequence& s : naive)
    attend_naive_int16(a, s, q.sub_rows(s.first_row, s.n), o.sub_rows(s.first_row, s.n));
}

MlaWork mla_int16_work(const ModelConfig& c, int64_t n_past, int64_t n_new) {
  const auto padded = [](int64_t rows) {
    const int64_t lanes = (rows + kLanes - 1) / kLanes * kLanes;
    return static_cast<double>(lanes);
  };
  const auto C = static_cast<double>(c.kv_lora_rank), N = static_cast<double>(c.qk_nope_head_dim),
             R = static_cast<double>(c.qk_rope_head_dim), V = static_cast<double>(c.v_head_dim),
             H = static_cast<double>(c.num_attention_heads), P = static_cast<double>(n_past),
             S = static_cast<double>(n_new);
  return {.fold = H * C * (N + V) * S,
          .absorbed = (2 * C + R) * padded(n_new * c.num_attention_heads) * (P + S / 2),
          .expand = H * C * (N + V) * (P + S),
          .naive = H * (N + R + V) * padded(n_new) * (P + S / 2)};
}

MlaForm cheaper_int16_form(const ModelConfig& c, const MlaCosts& costs, bool packed, int64_t n_past, int64_t n_new) {
  const MlaWork w = mla_int16_work(c, n_past, n_new);
  const double naive = (packed ? costs.expand_packed : costs.expand_plain) * w.expand + costs.naive * w.naive;
  const double absorbed = (packed ? costs.fold_packed : costs.fold_plain) * w.fold + w.absorbed;
  return naive <= absorbed ? MlaForm::naive : MlaForm::absorbed;
}

int64_t most_absorbed(const ModelConfig& c, const MlaCosts& costs, bool packed, int64_t n_past, int64_t limit) {
  while (limit > 0 && cheaper_int16_form(c, costs, packed, n_past, limit) == MlaForm::naive) --limit;
  return limit;
}

ModelConfig lite_attention() {
  ModelConfig c;
  c.hidden_size = 2048;
  c.num_attention_heads = c.num_key_value_heads = 16;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = c.v_head_dim = 128;
  c.qk_rope_head_dim = 64;
  return c;
}

}  // namespace fathom
