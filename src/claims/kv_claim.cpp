#include "claims/kv_claim.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/machine/page_bytes.h"
#include "convert/synth/shapes.h"
#include "kvcache/kv_cache.h"
#include "model/transformer.h"

namespace fathom {
namespace {

// Bytes of one layer and kBlockTokens tokens: between the starts of two of them that stand together in memory.
int64_t block_stride(const KvCache& cache, const SequenceCache& sequence) {
  std::set<const std::byte*> starts;
  for (int64_t position = 0; position < sequence.length(); position += kBlockTokens)
    for (int64_t layer = 0; layer < cache.layout().layers; ++layer)
      starts.insert(cache.stored(sequence, layer, position));
  check(starts.size() > 1, "two blocks");
  int64_t least = std::numeric_limits<int64_t>::max();
  for (auto next = std::next(starts.begin()); next != starts.end(); ++next)
    least = std::min<int64_t>(least, *next - *std::prev(next));
  return least;
}

}  // namespace

std::shared_ptr<const LatentCalibration> some_calibration(const ModelConfig& config) {
  LayerCalibration layer;
  layer.scale.assign(static_cast<size_t>(config.kv_lora_rank), 3.0f);
  layer.zero.assign(static_cast<size_t>(config.kv_lora_rank), 0.0f);
  for (int bits = kLeastLevelBits; bits <= kMostLevelBits; ++bits) {
    const auto levels = normal_levels(bits).levels;
    layer.levels[static_cast<size_t>(bits)].assign(levels.begin(), levels.end());
  }
  auto all = std::make_shared<LatentCalibration>();
  all->layers.assign(static_cast<size_t>(config.num_hidden_layers), layer);
  return all;
}

CountedCache count_cache(const ModelConfig& config, CacheType type, int64_t tokens) {
  const CacheLayout layout = cache_layout(config, type, some_calibration(config));
  const int64_t before = page_bytes_in_use();
  KvCache cache(layout, tokens);
  SequenceCache sequence;
  cache.extend(sequence, tokens);
  const auto held = static_cast<double>(std::ssize(sequence.blocks()) * kBlockTokens);
  CountedCache count;
  count.taken = static_cast<double>(page_bytes_in_use() - before) / held;
  count.stored = static_cast<double>(layout.layers * block_stride(cache, sequence)) / kBlockTokens;
  count.formula = static_cast<double>(layout.bytes_per_token());
  count.bits = 8 * count.stored / static_cast<double>(layout.layers * layout.width);
  return count;
}

KvClaim claim_kv(int64_t tokens, const std::function<void(size_t, size_t)>& progress) {
  const ModelConfig v2 = *shape_by_name("v2"), dense = *shape_by_name("dense-67b");
  KvClaim claim{.tokens = tokens,
                .latent_layers = v2.num_hidden_layers,
                .latent_width = v2.cache_width(),
                .dense_layers = dense.num_hidden_layers,
                .dense_width = dense.cache_width(),
                .rows = {},
                .baseline = {}};
  for (size_t i = 0; i < std::size(kCacheTypeNames); ++i) {
    if (progress) progress(i, std::size(kCacheTypeNames));
    const auto type = static_cast<CacheType>(i);
    KvRow row{.type = type, .latent = count_cache(v2, type, tokens), .dense = {}};
    if (latent_format(type) == nullptr) row.dense = count_cache(dense, type, tokens);
    claim.rows.push_back(row);
  }
  claim.baseline = *claim.row(CacheType::bf16).dense;
  return claim;
}

}  // namespace fathom
