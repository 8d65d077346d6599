// The weights that an engine runs with: those of the model's file, and of those whose types can be packed packed forms
// (kernels/packed_weight.h), made in memory or mapped from a file that an earlier run has written.
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "packing/packed_file.h"
#include "packing/packed_weights.h"
#include "tensor/buffer.h"

namespace fathom {

// Where packed forms of weights are kept.
//     automatic  in the file that `cached` has written; without one as packed, where memory has room for them
//     packed     made in memory, beside copies of the weights that cannot be packed
//     mapped     nowhere: weights are used in the model's file, which needs no memory of its own and is slower
//     cached     mapped from a file in cache_folder, which is written first when it has none of this model that is
//                whole; where it cannot be written, as automatic
enum class WeightPlace : uint8_t { automatic, packed, mapped, cached };
inline constexpr std::array<std::string_view, 4> kWeightPlaceNames = {"auto", "packed", "mapped", "cached"};

struct PackingOptions {
  WeightPlace place = WeightPlace::automatic;
  std::filesystem::path cache_folder = {};  // of packed files; empty: there is none
  std::function<void(int64_t bytes_done, int64_t bytes)> progress = {};
  std::function<void(const std::string& sentence)> notice = {};  // gets what went wrong and does not end the run
};

// The files that the weights are views of, by which a packed file is known to be theirs. source nullptr: none, and
// packed forms are made in memory alone.
struct WeightOrigin {
  const TensorSource* source = nullptr;
  std::filesystem::path path = {};  // of the model, for people
};

class WeightStore {
 public:
  // The weights whose types can be packed, packed as the options say; with WeightPlace::packed the others beside them.
  // resource Error with the numbers when WeightPlace::packed does not fit this machine's free memory.
  WeightStore(ThreadPool& pool, const ModelConfig& config, const ModelWeights& stored, const WeightOrigin& origin,
              const PackingOptions& options);

  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  // Valid as long as this and what `stored` is a view of live.
  const ModelWeights& weights() const noexcept { return weights_; }
  int64_t packed_bytes() const noexcept { return packed_bytes_; }  // 0: no weight is packed
  int64_t copied_bytes() const noexcept { return copied_bytes_; }  // of those that cannot be; 0: used where they lie
  const PackedFile* packed_file() const noexcept { return file_ ? &*file_ : nullptr; }  // that they are mapped from

 private:
  void map_file(ThreadPool& pool, const ModelConfig& config, const WeightOrigin& origin, const PackingOptions& options);

  std::vector<MlaWeights*> latent_layers(const ModelConfig& config);
  void add_latent_products(ThreadPool& pool, const ModelConfig& config);

  ModelWeights weights_;
  PackedWeights in_memory_;
  std::optional<PackedFile> file_;
  Buffer<std::byte> latent_products_{0};
  int64_t packed_bytes_ = 0, copied_bytes_ = 0;
};

}  // namespace fathom
