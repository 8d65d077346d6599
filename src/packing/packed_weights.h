// The weights of a model's matmuls in memory of their own, in huge pages where the system gives them, made once before
// a run: those that can be packed repacked for fast kernels (kernels/packed_weight.h), the others, if wanted, as
// they are.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/machine/threads.h"
#include "config/config.h"
#include "model/weights.h"

namespace fathom {

// A matrix that a linear layer multiplies with and whose type can be packed.
struct NamedWeight {
  std::string name;
  Weight* weight = nullptr;
};
// All of them, in the order of a forward pass. The embedding is looked up and k_b_proj read the other way round; a tied
// head is packed for its products. A router in F32 or F16 keeps the products that every file of that model gets,
// however its experts are stored: a rounding may choose another expert.
std::vector<NamedWeight> packable_weights(const ModelConfig& config, ModelWeights& weights);
// Those that another machine packs: one where weights of bfloat16 can be packed (bf16_can_be_packed), or not.
std::vector<NamedWeight> packable_weights(const ModelConfig& config, ModelWeights& weights, bool with_bf16);

// The other matrices, which products read in the type of the file. In huge pages they are read 7 to 15 % faster than in
// the file's pages of 4 KB, but copying takes a second for each gigabyte (docs/performance/packed-weights.md).
std::vector<Weight*> unpackable_weights(const ModelConfig& config, ModelWeights& weights);

// Writes the packed form of a weight (packed_weight_bytes) to `out`, and gives back the pages of the mapped file that
// it has read.
void pack_weight(ThreadPool& pool, const Weight& w, std::byte* out);

inline constexpr int64_t kPackedAlign = 64;  // of a packed weight, in memory and in files

// Puts the weights in the order in which they lie in memory of n_nodes, and gives where each begins and, last, how many
// bytes all take. One node: as they come. Several: all gate_proj first, then all up_proj, then the others, so that gate
// and up of one expert, which the same thread reads, are a multiple of n_nodes stripes apart (base/machine/stripes.h)
// and have the same owner; at most 2 n_nodes stripes stay empty between them. Where the types of gate and up differ,
// which is allowed, they drift apart and cost speed alone.
std::vector<int64_t> lay_out_packed(std::vector<NamedWeight>& weights, int n_nodes);

class PackedWeights {
 public:
  using ProgressFn = std::function<void(int64_t bytes_done, int64_t bytes)>;

  PackedWeights() = default;

  // Bytes that the packed forms of these weights take: about what the file has for them. 0: no weight is of a type that
  // is packed.
  static int64_t bytes(const ModelConfig& config, ModelWeights& weights);
  // And those of the copies of the others.
  static int64_t copied_bytes(const ModelConfig& config, ModelWeights& weights);

  // Packs packable_weights() and sets their Weight::packed; with others_too copies unpackable_weights() and sets their
  // Weight::data. All are valid as long as this lives. Memory does not hold the model twice: see pack_weight. With
  // several nodes each stripe of packed weights is put on that of its owner. Throws std::bad_alloc.
  PackedWeights(ThreadPool& pool, const ModelConfig& config, ModelWeights& weights, const ProgressFn& progress = {},
                bool others_too = false);

 private:
  struct Free {
    size_t bytes;
    void operator()(std::byte* p) const noexcept;
  };
  void pack(ThreadPool& pool, std::vector<NamedWeight> packed, const ProgressFn& progress);
  void copy(ThreadPool& pool, const std::vector<Weight*>& weights, const ProgressFn& progress);

  std::unique_ptr<std::byte, Free> memory_, copies_;
};

}  // namespace fathom
