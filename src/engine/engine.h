// Token ids in, logits out: owns the scratch memory and the cache of one model, and runs it on a pool of threads that
// it shares with others.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "model/attention/mla.h"
#include "model/transformer.h"

namespace fathom {

// Weights stream from memory once a step, and experts get the more rows at a time the longer it is; beyond this the
// activations (some hundred kilobytes a token) cost more than is gained.
inline constexpr int64_t kChunkTokens = 2048;

struct EngineOptions {
  int64_t context_tokens = 0;                // most tokens of a sequence; 0: max_position_embeddings of the model
  int64_t cache_tokens = 0;                  // room in the cache, over all sequences; 0: context_tokens
  int64_t chunk_tokens = 0;                  // most tokens of one step; long prompts are run in chunks. 0: kChunkTokens
  std::optional<CacheType> cache_type = {};  // nullopt: q16 for latent attention in quantised arithmetic, else f32
  std::shared_ptr<const LatentCalibration> calibration = {};  // of a cache type that needs one
  Numerics numerics = Numerics::exact();
  MlaCosts costs = {};  // that the form of attention is chosen by, in quantised arithmetic
};

// The most tokens of a sequence that the options ask for. bad_input when the model does not allow so many.
int64_t context_tokens(const ModelConfig& config, const EngineOptions& options);

// What one step adds to one sequence.
struct StepInput {
  SequenceCache* sequence;
  std::span<const int32_t> ids;  // at least one
  Batch::Logits logits = Batch::Logits::last;
  Batch::Steps steps = Batch::Steps::joined;
  int64_t prompt_tokens = 0;  // of the sequence, for Batch::Steps::pieces
};

// One thread makes, calls and destroys it (base/machine/threads.h). Pool, config and weights must outlive it.
class Engine {
 public:
  using ProgressFn = std::function<void(int64_t tokens_done)>;
  using LayerFn = std::function<void(int64_t layers_done)>;

  Engine(ThreadPool& pool, const ModelConfig& config, const ModelWeights& weights, const EngineOptions& options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const ModelConfig& config() const noexcept { return *network_.config; }
  int64_t context_tokens() const noexcept { return context_tokens_; }
  int64_t chunk_tokens() const noexcept { return chunk_tokens_; }
  int threads() const noexcept { return pool_.size(); }
  // That the form of attention is chosen by.
  const MlaCosts& costs() const noexcept { return network_.attention.costs; }
  // What the bits of a token depend on besides itself and the tokens before, by the step that it attends as: the form
  // of attention, and which kernels multiply it with weights of bfloat16. Tokens with equal numbers have the same bits,
  // whatever steps they came in.
  uint64_t forms(StepSize size) const {
    const bool rounds = numerics_.is_quantised() && rounds_many_rows() && has_many_rows(size);
    return mla_forms(network_, numerics_, size) << 1 | (rounds ? 1 : 0);
  }
  ThreadPool& pool() noexcept { return pool_; }
  KvCache& cache() noexcept { return cache_; }

  // Appends ids to several sequences, each a different one, in one step: every weight is read once for all of them.
  // Returns (rows, vocab_size): the logits that each input asks for, in order, the same bits as if that sequence ran
  // alone, valid until the next call. layer_done may throw to stop between two layers. resource Error with the numbers
  // when they do not all fit the context, the cache or this machine's free memory. Whatever is thrown, no sequence is
  // changed.
  MatView<const float> step(std::span<const StepInput> inputs, const LayerFn& layer_done = {});

  // Extends the sequences as a step would, and lets their rows begin to cross the network (Passage, transformer.h):
  // crossing steps do the rest. Errors as of step(). The sequences are not to be touched until the passage has arrived
  // or is given up.
  Passage begin(std::span<const StepInput> inputs);
  bool has_arrived(const Passage& p) const noexcept { return p.layers == config().num_hidden_layers; }
  // Rows [first, first + n) of a passage that has arrived, after the last norm: (n, hidden_size), valid until the next
  // call of this function.
  MatView<const float> last_states(const Passage& passage, int64_t first, int64_t n);
  // The logits of those rows: (n, vocab_size), valid until the next call of this function. The same bits as a step's.
  MatView<const float> logits_of(const Passage& passage, int64_t first, int64_t n);
  // Takes the tokens of a passage out of its sequences again.
  void give_up(Passage& passage) noexcept { passage.batch.roll_back(cache_); }
  // Takes one sequence out of it: its tokens are taken back, the others go on.
  void leave(Passage& passage, SequenceCache& sequence);
  // A step of inputs (there may be none), with a passage beside for as many layers as takes_part says. The logits of
  // the passage's inputs follow when it has arrived. Whatever is thrown, no sequence and no passage is changed.
  MatView<const float> step(std::span<const StepInput> inputs, Passage& passage,
                            const std::function<bool(int64_t layer)>& takes_part);

  // Appends ids (at least one) to a sequence, chunk by chunk. Returns the logits after the last one, valid until the
  // next call. resource Error when they do not all fit, before anything is run. What else is thrown, by progress too,
  // ends it between two layers: the sequence then keeps the whole chunks before.
  std::span<const float> append(SequenceCache& sequence, std::span<const int32_t> ids, const ProgressFn& progress = {});

 private:
  void check_context(const SequenceCache& sequence, int64_t n) const;
  void check_cache(std::span<const StepInput> inputs) const;
  void check_chunks(SequenceCache& sequence, std::span<const int32_t> ids) const;
  void check_memory(int64_t n) const;
  Batch batch_of(std::span<const StepInput> inputs);
  MatView<float> logits_for(int64_t rows);

  Network network_;
  ThreadPool& pool_;
  Arena arena_;
  int64_t context_tokens_, chunk_tokens_;
  Numerics numerics_;
  KvCache cache_;
  mutable double unasked_bytes_ = 0;  // of the cache: taken without asking again how much memory is left
  Buffer<float> logits_, states_, passage_logits_;
};

}  // namespace fathom
