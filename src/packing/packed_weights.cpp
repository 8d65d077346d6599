#include "packing/packed_weights.h"

#include <algorithm>
#include <cstring>

#include "base/file/file.h"
#include "base/machine/stripes.h"
#include "base/round.h"
#include "kernels/dispatch.h"
#include "kernels/packed_weight.h"

namespace fathom {
namespace {

// Up to where the next weight begins.
int64_t room_of(const Weight& w) noexcept { return rounded_up(packed_weight_bytes(w), kPackedAlign); }

int64_t copy_room_of(const Weight& w) noexcept { return rounded_up(w.rows * w.bytes_per_row(), kPackedAlign); }

// Which part of the memory of several nodes a weight lies in.
int part_of(const std::string& name) noexcept {
  return name.ends_with("gate_proj.weight") ? 0 : name.ends_with("up_proj.weight") ? 1 : 2;
}

bool is_float_router(const std::string& name, const Weight& w) noexcept {
  return name.ends_with("mlp.gate.weight") && (w.dtype == DType::f32 || w.dtype == DType::f16);
}

}  // namespace

std::vector<NamedWeight> packable_weights(const ModelConfig& config, ModelWeights& weights) {
  return packable_weights(config, weights, bf16_can_be_packed());
}

std::vector<NamedWeight> packable_weights(const ModelConfig& config, ModelWeights& weights, bool with_bf16) {
  std::vector<NamedWeight> packed;
  const auto add = [&](const std::string& name, Weight& w) {
    const bool wanted = w.dtype != DType::bf16 || with_bf16;
    if (w.data != nullptr && w.rows > 1 && wanted && has_packed_form(w)) packed.push_back({name, &w});
  };
  for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape&) {
    if (&w != &weights.embed_tokens && !name.ends_with("k_b_proj.weight") && !is_float_router(name, w)) add(name, w);
  });
  if (config.tie_word_embeddings) add("lm_head.weight", weights.lm_head);
  return packed;
}

std::vector<Weight*> unpackable_weights(const ModelConfig& config, ModelWeights& weights) {
  std::vector<Weight*> others;
  for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape&) {
    if (w.data != nullptr && w.rows > 1 && (!can_be_packed(w) || is_float_router(name, w)) &&
        &w != &weights.embed_tokens)
      others.push_back(&w);
  });
  if (config.tie_word_embeddings && !can_be_packed(weights.lm_head)) others.push_back(&weights.lm_head);
  return others;
}

void pack_weight(ThreadPool& pool, const Weight& w, std::byte* out) {
  const int64_t strip = strip_bytes(w.dtype, w.cols);
  pool.parallel_for_dynamic(n_strips(w.rows), 16, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) pack_strip(w, p, out + p * strip);
  });
  forget_mapped({w.data, static_cast<size_t>(w.rows * w.bytes_per_row())});
}

void PackedWeights::Free::operator()(std::byte* p) const noexcept { free_pages(p, bytes, kPackedAlign); }

int64_t PackedWeights::bytes(const ModelConfig& config, ModelWeights& weights) {
  int64_t n = 0;
  for (const NamedWeight& p : packable_weights(config, weights)) n += room_of(*p.weight);
  return n;
}

std::vector<int64_t> lay_out_packed(std::vector<NamedWeight>& weights, int n_nodes) {
  const auto part = [&](const NamedWeight& p) { return n_nodes > 1 ? part_of(p.name) : 0; };
  std::stable_sort(weights.begin(), weights.end(),
                   [&](const NamedWeight& l, const NamedWeight& r) { return part(l) < part(r); });
  std::vector<int64_t> at;
  int64_t end = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (i > 0 && part(weights[i]) != part(weights[i - 1])) end = rounded_up(end, n_nodes * int64_t{kStripe});
    at.push_back(end);
    end += room_of(*weights[i].weight);
  }
  at.push_back(end);
  return at;
}

int64_t PackedWeights::copied_bytes(const ModelConfig& config, ModelWeights& weights) {
  int64_t n = 0;
  for (const Weight* w : unpackable_weights(config, weights)) n += copy_room_of(*w);
  return n;
}

PackedWeights::PackedWeights(ThreadPool& pool, const ModelConfig& config, ModelWeights& weights,
                             const ProgressFn& progress, bool others_too) {
  const int64_t n_packed = bytes(config, weights), total = n_packed + (others_too ? copied_bytes(config, weights) : 0);
  const auto from = [&](int64_t before) -> ProgressFn {
    if (!progress) return {};
    return [&progress, before, total](int64_t done, int64_t) { progress(before + done, total); };
  };
  pack(pool, packable_weights(config, weights), from(0));
  if (others_too) copy(pool, unpackable_weights(config, weights), from(n_packed));
}

void PackedWeights::pack(ThreadPool& pool, std::vector<NamedWeight> packed, const ProgressFn& progress) {
  if (packed.empty()) return;
  const std::vector<int64_t> at = lay_out_packed(packed, pool.n_nodes());
  const auto total = static_cast<size_t>(at.back());
  memory_ = {static_cast<std::byte*>(allocate_pages(total, kPackedAlign)), Free{total}};
  size_t placed = 0;  // a stripe at a time, just before its first weight: the file's pages make room for them
  for (size_t i = 0; i < packed.size(); ++i) {
    Weight& w = *packed[i].weight;
    std::byte* copy = memory_.get() + at[i];
    const size_t needed = std::min(total, static_cast<size_t>(rounded_up(at[i + 1], int64_t{kStripe})));
    place_stripes(pool, {memory_.get() + placed, needed - placed});
    placed = needed;
    pack_weight(pool, w, copy);
    w.packed = copy;
    if (progress) progress(at[i + 1], at.back());
  }
}

void PackedWeights::copy(ThreadPool& pool, const std::vector<Weight*>& weights, const ProgressFn& progress) {
  int64_t total = 0, at = 0;
  for (const Weight* w : weights) total += copy_room_of(*w);
  if (total == 0) return;
  copies_ = {static_cast<std::byte*>(allocate_pages(static_cast<size_t>(total), kPackedAlign)),
             Free{static_cast<size_t>(total)}};
  for (Weight* w : weights) {
    std::byte* to = copies_.get() + at;
    const int64_t row = w->bytes_per_row();
    pool.parallel_for(w->rows, 16, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin * row, w->row(begin), static_cast<size_t>((end - begin) * row));
    });
    forget_mapped({w->data, static_cast<size_t>(w->rows * row)});
    w->data = to;
    at += copy_room_of(*w);
    if (progress) progress(at, total);
  }
}

}  // namespace fathom
