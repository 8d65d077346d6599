#include "cli/generate/speculation.h"

#include "cli/model_store.h"
#include "cli/open_model.h"
#include "cli/values.h"
#include "engine/speculation/draft_model.h"
#include "engine/speculation/prompt_lookup.h"
#include "load/text.h"

namespace fathom {
namespace {

// A draft is an id, so an id must be the same text in both.
void check_vocabularies(const std::string& draft_path, const ModelConfig& draft_config, const Tokenizer* draft,
                        const ModelConfig& config, const Tokenizer* tokenizer) {
  const auto refuse = [&](const std::string& difference) {
    throw_bad_input(
        "{}: a draft model needs the vocabulary of the model it drafts for, but {}; take a smaller model of "
        "the same family",
        draft_path, difference);
  };
  if ((draft == nullptr) != (tokenizer == nullptr))
    refuse(fmt::format("{} has no tokenizer to compare", draft == nullptr ? "it" : "the model"));
  const int64_t n_draft = usable_ids(draft_config, draft), n = usable_ids(config, tokenizer);
  if (n_draft != n) refuse(fmt::format("it has {} tokens and the model {}", n_draft, n));
  if (tokenizer == nullptr) return;
  for (int32_t id = 0; id < n; ++id)
    if (draft->token_bytes(id) != tokenizer->token_bytes(id))
      refuse(fmt::format("token {} is \"{}\" in it and \"{}\" in the model", id,
                         quoted_for_message(draft->token_text(id), 40),
                         quoted_for_message(tokenizer->token_text(id), 40)));
}

}  // namespace

struct LoadedSpeculator::Draft {
  Model model;
  LoadedEngine loaded;

  Draft(const SpeculationOptions& o, const ModelOptions& model_options, ThreadPool& pool, const Engine& engine_of_model,
        const Tokenizer* tokenizer)
      : model(load_checked(o.draft_model, engine_of_model.config(), tokenizer)),
        loaded(pool, model, options(model_options, engine_of_model)) {}

 private:
  static Model load_checked(const std::string& path, const ModelConfig& config, const Tokenizer* tokenizer) {
    Model draft = open_model(path);
    std::optional<Tokenizer> own;
    if (has_tokenizer(draft)) own = load_tokenizer(draft);
    check_vocabularies(path, draft.config, own ? &*own : nullptr, config, tokenizer);
    return draft;
  }
  LoadedEngineOptions options(const ModelOptions& model_options, const Engine& engine_of_model) const {
    LoadedEngineOptions o = engine_options(model_options);
    o.engine.context_tokens = std::min(engine_of_model.context_tokens(), model.config.max_position_embeddings);
    return o;
  }
};

void add_speculation_options(CLI::App& command, SpeculationOptions& o) {
  command
      .add_option("--speculate", o.how,
                  "draft tokens and verify several in one step, where measured times say that it pays; the text is the "
                  "same. lookup: draft what followed earlier in the text; draft: what --draft-model says; auto: both; "
                  "off")
      ->transform(one_of({"auto", "off", "lookup", "draft"}))
      ->capture_default_str();
  command.add_option("--draft-model", o.draft_model, "smaller model with the same vocabulary, to draft with")
      ->type_name("MODEL")
      ->transform(pulled_model());
  command.add_option("--speculate-tokens", o.tokens, "always draft this many tokens, to measure; 0: as many as pay")
      ->type_name("N")
      ->transform(whole_number(0, kMaxDraft))
      ->capture_default_str();
}

void validate(const SpeculationOptions& o) {
  if (o.how == "draft" && o.draft_model.empty()) throw_bad_input("--speculate draft needs a --draft-model");
  if ((o.how == "off" || o.how == "lookup") && !o.draft_model.empty())
    throw_bad_input("--speculate {} uses no --draft-model; leave one of them out", o.how);
}

LoadedSpeculator::LoadedSpeculator(const SpeculationOptions& o, const ModelOptions& model_options, ThreadPool& pool,
                                   const Engine& engine, const Tokenizer* tokenizer) {
  if (o.how == "off") return;
  std::vector<std::unique_ptr<Proposer>> proposers;
  if (o.how != "draft") proposers.push_back(std::make_unique<PromptLookup>());
  if (!o.draft_model.empty()) {
    draft_ = std::make_shared<Draft>(o, model_options, pool, engine, tokenizer);
    proposers.push_back(std::make_unique<DraftModel>(draft_->loaded.engine));
  }
  speculator_ = std::make_shared<Speculator>(std::move(proposers), o.tokens);
}

std::string speculation_figures(const SpeculationCounts& c) {
  if (c.proposed == 0) return {};
  return fmt::format("; drafted {} tokens, {} accepted, {:.2f} tokens a step", c.proposed, c.accepted,
                     c.tokens_per_step());
}

}  // namespace fathom
