#include "convert/synth/synth.h"

#include <cmath>
#include <memory>

#include "base/error.h"
#include "checkpoint/names.h"
#include "convert/generation_config.h"
#include "convert/synth/random_rows.h"
#include "convert/synth/synthetic_vocabulary.h"
#include "load/text.h"

namespace fathom {
namespace {

struct Scale {
  float mean, deviation;
};

Scale scale_of(std::string_view part, const ModelConfig& c, int64_t fan_in) {
  if (part.ends_with("norm")) return {1, 0.1f};
  if (part == kScoreBiasPart) return {0, 0.1f / static_cast<float>(c.n_routed_experts)};
  const double unit = 1 / std::sqrt(static_cast<double>(fan_in));
  if (part == "lm_head" || (part == "model.embed_tokens" && c.tie_word_embeddings))
    return {0, static_cast<float>(3 * unit)};
  if (part == "model.embed_tokens") return {0, 1};
  const bool adds_to_residual = part.ends_with("o_proj") || part.ends_with("down_proj");
  return {0, static_cast<float>(adds_to_residual ? unit / std::sqrt(2.0 * static_cast<double>(c.num_hidden_layers))
                                                 : unit)};
}

// The tokenizer to write; nothing when the vocabulary is too small for one.
std::optional<Tokenizer> choose_tokenizer(const ModelConfig& config, const SynthOptions& options) {
  if (!options.tokenizer) {
    auto vocabulary = synthetic_vocabulary(config);
    if (!vocabulary) return std::nullopt;
    return Tokenizer::from_vocabulary(std::move(*vocabulary), "synthetic vocabulary");
  }
  Tokenizer tokenizer = load_tokenizer(*options.tokenizer);
  if (tokenizer.n_tokens() > config.vocab_size)
    throw_bad_input("{}: the tokenizer has {} tokens, but vocab_size of the shape is {}", options.tokenizer->string(),
                    tokenizer.n_tokens(), config.vocab_size);
  return tokenizer;
}

void take_ids(const Tokenizer& tokenizer, ModelConfig& config) {
  config.bos_token_id = tokenizer.bos();
  config.pad_token_id = tokenizer.pad();
  config.eos_token_ids.clear();
  if (tokenizer.eos()) config.eos_token_ids.push_back(*tokenizer.eos());
}

GgufMetadata gguf_keys(const ModelConfig& config, const std::optional<Tokenizer>& tokenizer, uint64_t seed) {
  GgufMetadata keys;
  keys.set_string("general.type", "model");
  keys.set_string("general.name", fmt::format("random weights, seed {}", seed));
  vocabulary_to_gguf(tokenizer ? to_vocabulary(*tokenizer, static_cast<int32_t>(config.vocab_size)) : VocabularyData{},
                     keys);
  return keys;
}

std::map<std::string, std::string> folder_files(const ModelConfig& config, const std::optional<Tokenizer>& tokenizer) {
  std::map<std::string, std::string> files{{"generation_config.json", generation_config_json(config)}};
  if (!tokenizer) return files;
  files.emplace("tokenizer.json", to_tokenizer_json(*tokenizer));
  files.emplace("tokenizer_config.json", to_tokenizer_config_json(*tokenizer));
  return files;
}

}  // namespace

ModelRows random_model(const ModelConfig& config, uint64_t seed) {
  ModelRows source{.config = config, .layout = folder_layout(config), .find = {}};
  source.config.rope_layout = source.layout.rope;
  auto shapes = std::make_shared<std::unordered_map<std::string, Shape>>();
  ModelWeights tree = empty_weights(config);
  for_each_tensor(tree, config,
                  [&](const std::string& name, const Weight&, const Shape& shape) { shapes->emplace(name, shape); });
  source.find = [shapes, config, seed](const std::string& name) {
    const Shape& shape = shapes->at(name);
    const int64_t cols = shape.back(), rows = shape.size() == 1 ? 1 : shape[0];
    const Scale scale = scale_of(parse_hf_name(name)->part, config, cols);
    return random_rows(seed, name, rows, cols, scale.mean, scale.deviation);
  };
  return source;
}

void synth_model(ThreadPool& pool, const ModelConfig& shape, const std::filesystem::path& out_name,
                 const SynthOptions& options, const ProgressFn& progress) {
  const std::filesystem::path out = without_trailing_slash(out_name);
  check_output_free(out);
  ModelConfig config = shape;
  const std::optional<Tokenizer> tokenizer = choose_tokenizer(config, options);
  if (tokenizer) take_ids(*tokenizer, config);
  const ModelRows source = random_model(config, options.seed);
  if (names_gguf(out))
    write_gguf(pool, source, out, options.output, gguf_keys(config, tokenizer, options.seed), progress);
  else
    write_folder(pool, source, out, options.output, folder_files(config, tokenizer), progress);
}

}  // namespace fathom
