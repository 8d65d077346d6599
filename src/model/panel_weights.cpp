#include "model/panel_weights.h"

#include "base/file.h"
#include "base/huge_pages.h"
#include "kernels/panels.h"

namespace fathom {
namespace {

// Up to where the next weight begins.
int64_t room_of(const Weight& w) noexcept { return (bytes_of_panels(w) + kPanelAlign - 1) / kPanelAlign * kPanelAlign; }

}  // namespace

std::vector<NamedWeight> weights_with_panels(const ModelConfig& config, ModelWeights& weights) {
  std::vector<NamedWeight> packed;
  const auto add = [&](const std::string& name, Weight& w) {
    if (w.data != nullptr && w.rows > 1 && panel_format(w.dtype) && w.cols % kPanelBlock == 0)
      packed.push_back({name, &w});
  };
  for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape&) {
    if (&w != &weights.embed_tokens && !name.ends_with("k_b_proj.weight")) add(name, w);
  });
  if (config.tie_word_embeddings) add("lm_head.weight", weights.lm_head);
  return packed;
}

int64_t bytes_of_panels(const Weight& w) noexcept { return n_panels(w.rows) * panel_bytes(w.dtype, w.cols); }

void pack_weight(ThreadPool& pool, const Weight& w, std::byte* out) {
  const int64_t panel = panel_bytes(w.dtype, w.cols);
  pool.parallel_for_dynamic(n_panels(w.rows), 16, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) pack_panel(w, p, out + p * panel);
  });
  forget_mapped({w.data, static_cast<size_t>(w.rows * w.bytes_per_row())});
}

void PanelWeights::Free::operator()(std::byte* p) const noexcept { free_pages(p, bytes, kPanelAlign); }

int64_t PanelWeights::bytes(const ModelConfig& config, ModelWeights& weights) {
  int64_t n = 0;
  for (const NamedWeight& p : weights_with_panels(config, weights)) n += room_of(*p.weight);
  return n;
}

PanelWeights::PanelWeights(ThreadPool& pool, const ModelConfig& config, ModelWeights& weights,
                           const ProgressFn& progress) {
  const int64_t total = bytes(config, weights);
  if (total == 0) return;
  memory_ = {static_cast<std::byte*>(allocate_pages(static_cast<size_t>(total), kPanelAlign)),
             Free{static_cast<size_t>(total)}};
  std::byte* at = memory_.get();
  for (const NamedWeight& p : weights_with_panels(config, weights)) {
    pack_weight(pool, *p.weight, at);
    p.weight->panels = at;
    at += room_of(*p.weight);
    if (progress) progress(at - memory_.get(), total);
  }
}

}  // namespace fathom
