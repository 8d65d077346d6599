#include "packing/weight_store.h"

#include "base/error.h"
#include "base/file/container.h"
#include "base/progress.h"
#include "base/trace.h"
#include "packing/latent_products.h"

namespace fathom {

WeightStore::WeightStore(ThreadPool& pool, const ModelConfig& config, const ModelWeights& stored,
                         const WeightOrigin& origin, const PackingOptions& o)
    : weights_(stored) {
  if (o.place == WeightPlace::mapped) return;
  const Zone zone("pack weights");
  const bool others_too = o.place == WeightPlace::packed;
  const int64_t packed = PackedWeights::bytes(config, weights_),
                copied = others_too ? PackedWeights::copied_bytes(config, weights_) : 0;
  if (packed + copied == 0) return;
  if (o.place != WeightPlace::packed && packed > 0) map_file(pool, config, origin, o);
  if (file_) {
    packed_bytes_ = packed;
    add_latent_products(pool, config);
    return;
  }
  int64_t needed = packed + copied;
  for (const MlaWeights* w : latent_layers(config)) needed += latent_product_bytes(config, *w);
  const auto available = static_cast<int64_t>(available_memory_bytes());
  // The file's own pages count as available: they are given back as the copy grows.
  const bool fits = available == 0 || needed <= available - available / 16;
  if (!fits && o.place != WeightPlace::packed) return;
  if (!fits)
    throw_resource("packed weights need {} of memory, but only {} is available; try --weights mapped",
                   human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(available)));
  in_memory_ = PackedWeights(pool, config, weights_, o.progress, others_too);
  packed_bytes_ = packed;
  copied_bytes_ = copied;
  add_latent_products(pool, config);
}

std::vector<MlaWeights*> WeightStore::latent_layers(const ModelConfig& config) {
  std::vector<MlaWeights*> layers;
  if (!config.uses_mla()) return layers;
  for (LayerWeights& layer : weights_.layers) layers.push_back(&std::get<MlaWeights>(layer.self_attn));
  return layers;
}

void WeightStore::add_latent_products(ThreadPool& pool, const ModelConfig& config) {
  const std::vector<MlaWeights*> layers = latent_layers(config);
  int64_t bytes = 0;
  for (const MlaWeights* w : layers) bytes += latent_product_bytes(config, *w);
  latent_products_ = Buffer<std::byte>(bytes);
  make_latent_products(pool, config, layers, latent_products_.data());
}

// The file of packed weights: opened where there is one, written first for WeightPlace::cached.
void WeightStore::map_file(ThreadPool& pool, const ModelConfig& config, const WeightOrigin& origin,
                           const PackingOptions& o) {
  const bool may_write = o.place == WeightPlace::cached;
  const auto say = [&](const char* what, const char* then) {
    if (o.notice) o.notice(fmt::format("{}; {}", what, then));
  };
  constexpr const char* kWithout = "weights are packed as without a cache";
  std::error_code ignored;
  if (!may_write && !std::filesystem::exists(o.cache_folder, ignored)) return;  // no file: no need of its name
  const std::vector<NamedWeight> packed = packable_weights(config, weights_);
  const auto fingerprint = packed_fingerprint(origin.source, packed);
  if (o.cache_folder.empty() || !fingerprint) {
    if (may_write)
      say("there is no folder to cache packed weights in (FATHOM_CACHE_DIR, XDG_CACHE_HOME, HOME)", kWithout);
    return;
  }
  const std::filesystem::path path = packed_file_path(o.cache_folder, *fingerprint);
  const auto open = [&] {
    PackedFile file(path);
    file.verify(pool, o.progress);
    file.attach(*fingerprint, packed);
    file_.emplace(std::move(file));
  };
  if (std::filesystem::exists(path, ignored)) {
    try {
      return open();
    } catch (const Error& e) {
      say(e.what(), may_write ? "it is written again" : kWithout);
    }
  }
  if (!may_write) return;
  try {
    write_packed_file(pool, path, origin.path, *fingerprint, packed, o.progress);
    open();
  } catch (const Error& e) {
    say(e.what(), kWithout);
  }
}

}  // namespace fathom
