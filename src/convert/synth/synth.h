// A model of random weights in any shape, container and element type: what benchmarks and tests run on when there is no
// checkpoint.
#pragma once
#include "convert/output.h"

namespace fathom {

struct SynthOptions {
  uint64_t seed = 0;
  OutputOptions output;  // output.type must name a type
  std::optional<std::filesystem::path>
      tokenizer;  // a model or folder to take the tokenizer from; otherwise a synthetic vocabulary
};

// Scales, so that activations stay near 1 at any depth and logits have a clear winner (D hidden_size, L
// num_hidden_layers):
//     norms                          1 + 0.1 z
//     embedding                      z
//     o_proj, down_proj              z / sqrt(fan in) / sqrt(2 L)      they add to the residual stream
//     lm_head (or a tied embedding)  3 z / sqrt(D)
//     all other matrices             z / sqrt(fan in)
// with z of convert/synth/random_rows.h, by the tensor's name: one seed gives one model, whatever it is written as.
ModelRows random_model(const ModelConfig& config, uint64_t seed);

// Writes it to `out`: a GGUF file, or a folder. Streams; the memory does not grow with the model.
void synth_model(ThreadPool& pool, const ModelConfig& config, const std::filesystem::path& out,
                 const SynthOptions& options, const ProgressFn& progress);

}  // namespace fathom
