// "Reduces the KV cache by 93.3 %": bytes of cache a token, of DeepSeek-V2 in every format and of DeepSeek 67B, counted
// on caches of both shapes.
//
// Each count makes a KvCache, lets one sequence take `tokens` tokens of it, and asks
//     the allocator     how many bytes of memory it gave meanwhile (base/machine/page_bytes.h): `taken`, whole huge
//                       pages included
//     the addresses     of the blocks of all layers, how many bytes stand between one block of kBlockTokens tokens and
//                       the next: `stored`, what a token costs when the rest of the pages is used too
// Neither asks a formula for the size of a row; `formula` has it beside them.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "config/config.h"
#include "kvcache/cache_row.h"
#include "kvcache/latent_calibration.h"

namespace fathom {

// A calibration that a model of this shape may have, without meaning for its numbers: for what depends on bytes alone.
std::shared_ptr<const LatentCalibration> some_calibration(const ModelConfig& config);

struct CountedCache {
  double stored = 0, taken = 0, formula = 0;  // bytes a token, all layers
  double bits = 0;                            // `stored` of one number
};

// One cache of this shape with room for `tokens` tokens (at least two blocks of them are taken), all of them taken. A
// type that needs a calibration gets one without meaning, for bytes do not depend on its values. Errors as of
// cache_layout().
CountedCache count_cache(const ModelConfig& config, CacheType type, int64_t tokens);

struct KvRow {
  CacheType type = CacheType::f32;
  CountedCache latent;                // V2
  std::optional<CountedCache> dense;  // 67B; none: a type of latents alone
};

struct KvClaim {
  int64_t tokens = 0;
  int64_t latent_layers = 0, latent_width = 0;  // numbers of a token and layer
  int64_t dense_layers = 0, dense_width = 0;
  std::vector<KvRow> rows;  // by CacheType
  CountedCache baseline;    // 67B in 16 bits

  // 1 - bytes of V2 in this type / bytes of 67B in bfloat16.
  double reduction(const KvRow& row) const noexcept { return 1 - row.latent.stored / baseline.stored; }
  const KvRow& row(CacheType type) const { return rows[static_cast<size_t>(type)]; }
};

inline constexpr CacheType kPaperCacheType = CacheType::v2_6bit;

// How many caches are counted of how many is told to `progress`.
KvClaim claim_kv(int64_t tokens, const std::function<void(size_t done, size_t total)>& progress = {});

std::string to_table(const KvClaim& claim);
json::value to_json(const KvClaim& claim);

}  // namespace fathom
