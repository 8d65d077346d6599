// --speculate and --draft-model, and what they make.
#pragma once
#include <memory>
#include <string>

#include "cli/options.h"
#include "engine/speculation/speculator.h"

namespace fathom {

struct SpeculationOptions {
  std::string how = "auto", draft_model = {};
  int64_t tokens = 0;
};
void add_speculation_options(CLI::App& command, SpeculationOptions& options);
// bad_input when they contradict each other.
void validate(const SpeculationOptions& options);

// A speculator with the draft model it may have.
class LoadedSpeculator {
 public:
  // pool: of the engine; a draft model runs on it too. tokenizer: of the model, or nullptr. bad_input when the draft
  // model's vocabulary is another. options: valid.
  LoadedSpeculator(const SpeculationOptions& options, const ModelOptions& model_options, ThreadPool& pool,
                   const Engine& engine, const Tokenizer* tokenizer);
  const std::shared_ptr<Speculator>& get() const noexcept { return speculator_; }  // nullptr: plain decoding

 private:
  struct Draft;
  std::shared_ptr<Draft> draft_;  // outlives the speculator
  std::shared_ptr<Speculator> speculator_;
};

// "; drafted 120 tokens, 80 accepted, 1.67 tokens a step"; empty when nothing was drafted.
std::string speculation_figures(const SpeculationCounts& counts);

}  // namespace fathom
