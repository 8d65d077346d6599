#include "train/config/config_template.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "model/footprint.h"
#include "train/config/toml_text.h"

namespace fathom {
namespace {

int64_t multiple_of_16(double x) { return std::max<int64_t>(16, std::llround(x / 16) * 16); }

// configs/bundled.toml at hidden_size 192.
ModelConfig model_of(int64_t hidden_size, int64_t vocab_size, bool dense) {
  const auto width = static_cast<double>(hidden_size);
  ModelConfig m;
  m.vocab_size = vocab_size;
  m.hidden_size = hidden_size;
  m.num_hidden_layers = 2 + hidden_size / 48;
  m.intermediate_size = multiple_of_16(width * 8 / 3);
  m.max_position_embeddings = hidden_size < 192 ? 256 : 512;
  m.num_attention_heads = m.num_key_value_heads = hidden_size / 32;
  m.kv_lora_rank = multiple_of_16(width / 3);
  m.qk_nope_head_dim = m.v_head_dim = 32;
  m.qk_rope_head_dim = 16;
  if (dense) return m;
  m.n_routed_experts = 32;
  m.num_experts_per_tok = 4;
  m.n_shared_experts = 2;
  m.moe_intermediate_size = multiple_of_16(width / 3);
  m.first_k_dense_replace = 1;
  m.routed_scaling_factor = 4;
  return m;
}

struct Plan {
  ModelConfig model;
  int64_t parameters = 0, sequences = 0, steps = 0, warmup_steps = 0, interval = 0;
  double tokens = 0, epochs = 0, learning_rate = 0;
  bool held_out = false;
};

Plan plan_of(const TokenDataset& data, const TemplateOptions& o) {
  Plan p;
  p.model = model_of(o.hidden_size, data.vocab_size(), o.dense);
  p.parameters = footprint(p.model).parameters;
  const auto epoch = static_cast<double>(data.n_tokens(Split::train));
  const double wanted = std::clamp(20.0 * static_cast<double>(p.parameters), epoch, 4 * epoch);
  p.tokens = o.tokens.value_or(wanted);
  p.epochs = p.tokens / epoch;
  // Some two thousand steps, of 4 to 32 sequences.
  const auto length = static_cast<double>(p.model.max_position_embeddings);
  const double sequences = std::clamp(p.tokens / length / 2000, 4.0, 32.0);
  p.sequences = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(sequences)));
  p.steps = std::max<int64_t>(1, std::llround(std::ceil(p.tokens / (length * static_cast<double>(p.sequences)))));
  p.warmup_steps = std::clamp<int64_t>(p.steps / 20, 1, 2000);
  p.interval = std::clamp<int64_t>(p.steps / 10, 1, 250);
  p.learning_rate = std::clamp(3e-3 * 192 / static_cast<double>(o.hidden_size), 3e-4, 3e-3);
  p.held_out = data.n_tokens(Split::held_out) > data.n_documents(Split::held_out);
  return p;
}

std::string model_section(const Plan& p, const Tokenizer& tokenizer) {
  const ModelConfig& m = p.model;
  std::string text = fmt::format(
      "# {:.3g} million parameters. The widths may be changed; `fathom train --keys` says what they are.\n"
      "[model]\n"
      "model_type = \"deepseek_v2\"\narchitectures = [\"DeepseekV2ForCausalLM\"]\n"
      "vocab_size = {}            # of the data's tokenizer\n"
      "hidden_size = {}\nnum_hidden_layers = {}\nintermediate_size = {}\n"
      "max_position_embeddings = {}   # the longest text that the model will read\n"
      "num_attention_heads = {}\nnum_key_value_heads = {}\n"
      "kv_lora_rank = {}           # what the cache keeps of a token, and qk_rope_head_dim\n"
      "qk_nope_head_dim = {}\nqk_rope_head_dim = {}\nv_head_dim = {}\nrope_theta = 10000.0\nrms_norm_eps = 1e-6\n",
      static_cast<double>(p.parameters) * 1e-6, m.vocab_size, m.hidden_size, m.num_hidden_layers, m.intermediate_size,
      m.max_position_embeddings, m.num_attention_heads, m.num_key_value_heads, m.kv_lora_rank, m.qk_nope_head_dim,
      m.qk_rope_head_dim, m.v_head_dim);
  if (m.n_routed_experts > 0)
    text += fmt::format(
        "n_routed_experts = {}       # of which a token uses num_experts_per_tok\nnum_experts_per_tok = {}\n"
        "n_shared_experts = {}        # every token uses these\nmoe_intermediate_size = {}\n"
        "first_k_dense_replace = {}   # the first layer has no experts\n"
        "topk_method = \"greedy\"\nnorm_topk_prob = false\nrouted_scaling_factor = {:.1f}\n",
        m.n_routed_experts, m.num_experts_per_tok, m.n_shared_experts, m.moe_intermediate_size, m.first_k_dense_replace,
        m.routed_scaling_factor);
  text += "tie_word_embeddings = false\n";
  if (tokenizer.bos()) text += fmt::format("bos_token_id = {}\n", *tokenizer.bos());
  if (tokenizer.eos()) text += fmt::format("eos_token_id = {}\n", *tokenizer.eos());
  return text;
}

std::string schedule_sections(const Plan& p, const std::string& data_path) {
  return fmt::format(
      "\n[data]\npath = {}\nsequence_length = {}\n"
      "\n# {} tokens a step. micro_batch is what memory allows; it must divide sequences.\n"
      "[batch]\nsequences = {}\nmicro_batch = {}\n"
      "\n[optimizer]\nmax_learning_rate = {:.2g}   # the first thing to lower when the loss jumps\nbeta1 = 0.9\n"
      "beta2 = 0.95\nweight_decay = 0.1\ngrad_clip = 1.0\n"
      "\n# {:.3g} epochs of the data, in about {} steps: warm-up, constant, then two steps down.\n"
      "# A run may be resumed with more tokens (docs/training.md).\n"
      "[schedule]\ntokens = {:.0f}\nwarmup_steps = {}\ndecay_at = [0.8, 0.9]\ndecay_factor = 0.316\n",
      toml_quoted(data_path), p.model.max_position_embeddings, p.sequences * p.model.max_position_embeddings,
      p.sequences, std::min<int64_t>(4, p.sequences), p.learning_rate, p.epochs, p.steps, p.tokens, p.warmup_steps);
}

std::string run_section(const Plan& p) {
  std::string text;
  if (p.model.n_routed_experts > 0)
    text += "\n# Keeps the load of the experts even.\n[balance]\nexpert_alpha = 0.003\n";
  text += fmt::format(
      "\n[run]\nseed = 1\ninit_std = 0.02\nproducts = \"bf16\"       # \"f32\": slower, and exact to float32\n"
      "log_interval = {}\n",
      std::clamp<int64_t>(p.steps / 100, 1, 20));
  text += p.held_out ? fmt::format("eval_interval = {}\neval_sequences = 64\n", p.interval)
                     : "eval_interval = 0         # no text was held out: `fathom data build --held-out`\n";
  return text + fmt::format("save_interval = {}\nkeep_checkpoints = 2\n", p.interval);
}

}  // namespace

int64_t hidden_size_for(double parameters, int64_t vocab_size, bool dense) {
  constexpr int64_t kLeast = 32, kMost = 4096;
  int64_t best = kLeast;
  const auto distance = [&](int64_t width) {
    const auto n = static_cast<double>(footprint(model_of(width, vocab_size, dense)).parameters);
    return std::abs(std::log(n / parameters));
  };
  for (int64_t width = kLeast; width <= kMost; width += 32)
    if (distance(width) < distance(best)) best = width;
  return best;
}

std::string config_template(const TokenDataset& data, const TemplateOptions& options) {
  if (data.n_tokens(Split::train) == 0)
    throw_bad_input("{}: there are no training tokens in it", data.folder().string());
  const Plan p = plan_of(data, options);
  return "# Written by `fathom init`. Every key: `fathom train --keys`, or docs/config.md.\n\n" +
         model_section(p, data.tokenizer()) + schedule_sections(p, options.data_path) + run_section(p);
}

}  // namespace fathom
