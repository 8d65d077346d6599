#include "model/panel_weights.h"

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "base/huge_pages.h"
#include "kernels/panels.h"

namespace fathom {
namespace {

constexpr int64_t kAlign = 64;

// Every weight that gets panels. The embedding is looked up and k_b_proj read the other way round; a tied head is
// packed for its products.
std::vector<Weight*> packed_weights(const ModelConfig& config, ModelWeights& weights) {
  std::vector<Weight*> packed;
  const auto add = [&](Weight& w) {
    if (w.data != nullptr && w.rows > 1 && panel_format(w.dtype) && w.cols % kPanelBlock == 0) packed.push_back(&w);
  };
  for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape&) {
    if (&w != &weights.embed_tokens && !name.ends_with("k_b_proj.weight")) add(w);
  });
  if (config.tie_word_embeddings) add(weights.lm_head);
  return packed;
}

int64_t size_of(const Weight& w) noexcept {
  const int64_t n = n_panels(w.rows) * panel_bytes(w.dtype, w.cols);
  return (n + kAlign - 1) / kAlign * kAlign;
}

}  // namespace

void PanelWeights::Free::operator()(std::byte* p) const noexcept { free_pages(p, bytes, kAlign); }

int64_t PanelWeights::bytes(const ModelConfig& config, ModelWeights& weights) {
  int64_t n = 0;
  for (const Weight* w : packed_weights(config, weights)) n += size_of(*w);
  return n;
}

PanelWeights::PanelWeights(ThreadPool& pool, const ModelConfig& config, ModelWeights& weights,
                           const ProgressFn& progress) {
  const int64_t total = bytes(config, weights);
  if (total == 0) return;
  memory_ = {static_cast<std::byte*>(allocate_pages(static_cast<size_t>(total), kAlign)),
             Free{static_cast<size_t>(total)}};
  std::byte* at = memory_.get();
  for (Weight* w : packed_weights(config, weights)) {
    const int64_t panel = panel_bytes(w->dtype, w->cols);
    pool.parallel_for_dynamic(n_panels(w->rows), 16, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) pack_panel(*w, p, at + p * panel);
    });
    forget_mapped({w->data, static_cast<size_t>(w->rows * w->bytes_per_row())});
    w->panels = at;
    at += size_of(*w);
    if (progress) progress(at - memory_.get(), total);
  }
}

}  // namespace fathom
