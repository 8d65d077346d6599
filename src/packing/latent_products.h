// The key part of kv_b_proj in both directions in which latent attention multiplies with it (model/attention/mla.h),
// as packed weights: a query is folded by rows of the latent, the past expanded by rows of keys. A file stores one
// direction, along whose rows its blocks lie. The other is made of what those decode to, transposed in each head: of
// bfloat16 exactly, else rounded to q8_0, by at most 1/254 of the largest weight of 32.
#pragma once
#include <span>

#include "base/machine/threads.h"
#include "config/config.h"
#include "model/weights.h"

namespace fathom {

// Bytes that make_latent_products() writes. 0: for this layer it does nothing, as its products cannot be packed, or
// rows are not of whole blocks.
int64_t latent_product_bytes(const ModelConfig& config, const MlaWeights& w) noexcept;

// Writes packed forms to `out` and sets fold_key and, where kv_b_proj is not whole, expand_key of the layers. They are
// valid as long as `out` is.
void make_latent_products(ThreadPool& pool, const ModelConfig& config, std::span<MlaWeights* const> layers,
                          std::byte* out);

}  // namespace fathom
