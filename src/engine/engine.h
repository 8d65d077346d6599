// Token ids in, logits or token ids out: owns threads, scratch memory and the cache of one loaded model.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tuning/machine_costs.h"
#include "load/load.h"
#include "model/transformer.h"
#include "packing/packed_file.h"
#include "packing/packed_weights.h"

namespace fathom {

enum class WeightPlace : uint8_t { automatic, packed, mapped, cached };
inline constexpr std::array<std::string_view, 4> kWeightPlaceNames = {"auto", "packed", "mapped", "cached"};

// Which costs the form of attention is chosen by (model/attention/int16/mla_costs.h). off: those that are built in, the
// same on every machine. large: those of this machine (engine/tuning/machine_costs.h) where latent attention runs in
// fast arithmetic and the weights have at least kMeasuredBytes, beside which half a second of measuring is nothing.
// always: of any size.
enum class Tuning : uint8_t { off, large, always };
inline constexpr std::array<std::string_view, 3> kTuningNames = {"off", "large", "always"};
inline constexpr int64_t kMeasuredBytes = int64_t{1} << 30;

// Weights stream from memory once a step, and experts get the more rows at a time the longer it is; beyond this the
// activations (some hundred kilobytes a token) cost more than is gained.
inline constexpr int64_t kChunkTokens = 2048;

struct EngineOptions {
  int threads = 0;                           // 0: default_thread_count() of the CPUs of `numa`
  int64_t context_tokens = 0;                // most tokens of a sequence; 0: max_position_embeddings of the model
  int64_t cache_tokens = 0;                  // room in the cache, over all sequences; 0: context_tokens
  int64_t chunk_tokens = 0;                  // most tokens of one step; long prompts are run in chunks. 0: kChunkTokens
  std::optional<CacheType> cache_type = {};  // nullopt: q16 for latent attention in fast arithmetic, else f32
  Numerics numerics = Numerics::exact();
  // Packed weights, copies of the quantised ones laid out for the kernels: quantised arithmetic only.
  //     automatic  those of the file that `cached` wrote; without one as packed, where memory has room for them
  //     packed     made in memory
  //     mapped     none: weights are used in the model's file, which needs no memory of its own and is slower
  //     cached     mapped from a file in cache_folder, written first when there is none that is whole and of this
  //     model;
  //                where it cannot be written, as automatic
  WeightPlace weights = WeightPlace::automatic;
  // Of files of packed weights (packing/packed_file.h) and of this machine's costs; empty: there is none.
  std::filesystem::path cache_folder = {};
  Tuning tuning = Tuning::off;
  NumaTopology numa = {};  // memory nodes that threads and packed weights are spread over; no result depends on it
  std::function<void(int64_t bytes_done, int64_t bytes)> load_progress = {};
  std::function<void(const std::string& sentence)> notice = {};  // gets what went wrong and does not end the run
};

// What one step adds to one sequence.
struct StepInput {
  SequenceCache* sequence;
  std::span<const int32_t> ids;  // at least one
  Batch::Logits logits = Batch::Logits::last;
  Batch::Steps steps = Batch::Steps::joined;
};

// One thread makes, calls and destroys it (base/machine/threads.h). The model must outlive it.
class Engine {
 public:
  using ProgressFn = std::function<void(int64_t tokens_done)>;
  using RowFn = std::function<void(int64_t index, VecView<const float> logits)>;
  using LayerFn = std::function<void(int64_t layers_done)>;

  // resource Error with the numbers when the cache cannot fit this machine's free memory.
  Engine(const Model& model, const EngineOptions& options);

  const ModelConfig& config() const noexcept { return model_.config; }
  int64_t context_tokens() const noexcept { return context_tokens_; }
  int64_t chunk_tokens() const noexcept { return chunk_tokens_; }
  int threads() const noexcept { return pool_.size(); }
  int64_t packed_bytes() const noexcept { return packed_bytes_; }  // of copied weights; 0: they are used where they lie
  const PackedFile* packed_file() const noexcept {
    return packed_file_ ? &*packed_file_ : nullptr;
  }                                                              // that they lie in
  const MachineCosts& costs() const noexcept { return costs_; }  // that the form of attention is chosen by
  KvCache& cache() noexcept { return cache_; }

  // Appends ids to several sequences, each a different one, in one step: every weight is read once for all of them.
  // Returns (rows, vocab_size): the logits that each input asks for, in order, the same bits as if that sequence ran
  // alone, valid until the next call. layer_done may throw to stop between two layers. resource Error when they do not
  // all fit. Whatever is thrown, no sequence is changed.
  MatView<const float> step(std::span<const StepInput> inputs, const LayerFn& layer_done = {});

  // Appends ids (at least one) to a sequence, chunk by chunk. Returns the logits after the last one, valid until the
  // next call. resource Error when they do not all fit, before anything is run. What else is thrown, by progress too,
  // ends it between two layers: the sequence then keeps the whole chunks before.
  std::span<const float> append(SequenceCache& sequence, std::span<const int32_t> ids, const ProgressFn& progress = {});

  // Appends ids (at least one) in one step. logits (ids.size(), vocab_size): row i has the bits that appending the ids
  // one by one would give after id i; valid until the next call. Throws as step().
  MatView<const float> verify(SequenceCache& sequence, std::span<const int32_t> ids);

  // As append, and hands the logits after every id from index `first_wanted` on to `row`, in order.
  void score(SequenceCache& sequence, std::span<const int32_t> ids, int64_t first_wanted, const RowFn& row);

  // Most tokens that the context of a sequence and the cache can still take.
  int64_t room(const SequenceCache& sequence) const noexcept;

 private:
  void check_context(const SequenceCache& sequence, int64_t n) const;
  void check_cache(std::span<const StepInput> inputs) const;
  void check_chunks(SequenceCache& sequence, std::span<const int32_t> ids, int64_t chunk_tokens) const;
  void check_memory(int64_t n) const;
  MatView<float> run(const Batch& batch, const LayerFn& layer_done);

  void pack_weights(const EngineOptions& options);
  void map_packed(const EngineOptions& options);
  void tune(const EngineOptions& options);

  const Model& model_;
  ModelWeights weights_;  // those of the model, packed where they can be
  Network network_;
  ThreadPool pool_;
  PackedWeights packed_;
  std::optional<PackedFile> packed_file_;
  int64_t packed_bytes_ = 0;
  MachineCosts costs_;
  Arena arena_;
  int64_t context_tokens_, chunk_tokens_;
  Numerics numerics_;
  KvCache cache_;
  mutable double unasked_bytes_ = 0;  // of the cache: taken without asking again how much memory is left
  Buffer<float> logits_;
};

}  // namespace fathom
