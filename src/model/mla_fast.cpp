#include "model/mla_fast.h"

#include <algorithm>

namespace fathom {

void store_latents(const FastAttention& a, const Batch& batch, MatView<const float> latents, int64_t first,
                   int64_t n) {
  for (const BatchSequence& s : batch.sequences) {
    const int64_t begin = std::max(first, s.first_row), end = std::min({first + n, s.first_row + s.n, latents.rows});
    for (int64_t row = begin; row < end; ++row)
      a.cache.store(*s.cache, a.layer, s.first_position + row - s.first_row, latents.vec(row));
  }
}

void attend_fast(const FastAttention& a, const Batch& batch, MatView<const float> latents, MatView<const float> q,
                 MatView<float> o) {
  std::vector<BatchSequence> absorbed, naive;
  for (const BatchSequence& s : batch.sequences) {
    const MlaForm form = a.settings.mla_form == MlaForm::automatic ? cheaper_fast_form(a.c, s.first_position, s.n)
                                                                   : a.settings.mla_form;
    (form == MlaForm::naive ? naive : absorbed).push_back(s);
  }
  if (!absorbed.empty())
    attend_absorbed_fast(a, batch, absorbed, latents, q, o);
  else
    a.ctx.pool.parallel_for_dynamic(latents.rows, 16, [&](int64_t begin, int64_t end) {
      store_latents(a, batch, latents, begin, end - begin);
    });
  for (const BatchSequence& s : naive)
    attend_naive_fast(a, s, q.sub_rows(s.first_row, s.n), o.sub_rows(s.first_row, s.n));
}

MlaForm cheaper_fast_form(const ModelConfig& c, int64_t n_past, int64_t n_new) {
  return cheaper_mla_form(c, n_past, n_new);
}

}  // namespace fathom
