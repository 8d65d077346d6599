// fathom inspect: what a checkpoint is, from its headers alone (--check reads the weights).
#include <cstdio>
#include <memory>

#include "base/json/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/commands/inspect_importance.h"
#include "cli/model_store.h"
#include "cli/open_model.h"
#include "cli/output.h"
#include "cli/values.h"
#include "load/load.h"
#include "load/text.h"
#include "model/footprint.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

struct InspectOptions {
  std::string model;
  bool tensors = false, json = false, check = false;
  int threads = 0;
};

std::string rounded(int64_t n) {
  return n < 1'000'000'000 ? fmt::format("{:.1f} million", static_cast<double>(n) * 1e-6)
                           : fmt::format("{:.2f} billion", static_cast<double>(n) * 1e-9);
}

std::string attention_text(const ModelConfig& c) {
  if (!c.uses_mla())
    return fmt::format("{} heads of {}, {} key/value heads, {} rotary layout", c.num_attention_heads, c.head_dim,
                       c.num_key_value_heads, c.rope_layout == RopeLayout::interleaved ? "interleaved" : "half-split");
  return fmt::format("{} heads of {} + {} rotary (values {}), latents: query {}, key/value {}", c.num_attention_heads,
                     c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim,
                     c.q_lora_rank ? std::to_string(*c.q_lora_rank) : "none", c.kv_lora_rank);
}

std::string experts_text(const ModelConfig& c) {
  if (c.n_routed_experts == 0) return "none";
  std::string routing(name(c.topk_method));
  if (c.topk_method != TopkMethod::greedy) routing += fmt::format(", {} of {} groups", c.topk_group, c.n_group);
  return fmt::format("{} of {} routed + {} shared, width {}, {} layers ({}; scaling {}{})", c.num_experts_per_tok,
                     c.n_routed_experts, c.n_shared_experts, c.moe_intermediate_size, c.n_moe_layers(), routing,
                     c.routed_scaling_factor, c.normalises_gates() ? ", normalised" : "");
}

std::string rope_text(const ModelConfig& c) {
  if (!c.rope_scaling) return fmt::format("theta {}", c.rope_theta);
  const YarnScaling& y = *c.rope_scaling;
  return fmt::format("theta {}, yarn factor {} from {} positions, mscale {} / {}", c.rope_theta, y.factor,
                     y.original_max_position_embeddings, y.mscale, y.mscale_all_dim);
}

struct FoundTokenizer {
  int64_t n_tokens = -1;           // -1: there is none
  std::string fault;               // why it cannot be used; the rest of the model can be told of all the same
  std::vector<std::string> notes;  // what was passed over: in the config, the weights and the tokenizer
};

FoundTokenizer find_tokenizer(const Model& m) {
  FoundTokenizer found;
  found.notes = m.notes;
  if (!has_tokenizer(m)) return found;
  try {
    const Tokenizer tokenizer = load_tokenizer(m);
    found.n_tokens = tokenizer.n_tokens();
    const std::vector<std::string>& own = tokenizer.parts().notes;
    found.notes.insert(found.notes.end(), own.begin(), own.end());
  } catch (const Error& e) {
    found.fault = e.what();
  }
  return found;
}

void print_summary(Model& m) {
  const ModelConfig& c = m.config;
  const Footprint f = footprint(c);
  const auto line = [](const char* label, const std::string& text) { fmt::print("{:<12} {}\n", label, text); };
  line("family", std::string(name(c.family)));
  line("layers",
       fmt::format("{} of width {}, dense feed-forward {}, vocabulary {}{}", c.num_hidden_layers, c.hidden_size,
                   c.intermediate_size, c.vocab_size, c.tie_word_embeddings ? ", tied head" : ""));
  line("attention", attention_text(c));
  line("experts", experts_text(c));
  line("positions", fmt::format("{}; {}", c.max_position_embeddings, rope_text(c)));
  line("parameters", fmt::format("{} ({}) in {} matrices and vectors", f.parameters, rounded(f.parameters), f.tensors));
  line("activated", fmt::format("{} ({}) per token, {} without the embedding table", f.activated_parameters,
                                rounded(f.activated_parameters), f.activated_parameters_without_embedding));
  int64_t total = 0;
  std::string by_type;
  for (const auto& [dtype, bytes] : weight_bytes(c, m.weights)) {
    total += bytes;
    by_type +=
        fmt::format("{}{} {}", by_type.empty() ? "" : ", ", name(dtype), human_bytes(static_cast<double>(bytes)));
  }
  line("weights", fmt::format("{} ({})", human_bytes(static_cast<double>(total)), by_type));
  const auto share = [&](int64_t other) {
    return 100.0 * static_cast<double>(f.cache_elements_per_token) / static_cast<double>(other);
  };
  line("cache", fmt::format("{} numbers per token: {} bytes in bf16, {} in f32", f.cache_elements_per_token,
                            2 * f.cache_elements_per_token, 4 * f.cache_elements_per_token));
  line("", fmt::format("{:.1f} % of multi-head attention with the same heads ({}), {:.1f} % of DeepSeek 67B's ({})",
                       share(f.mha_cache_elements_per_token), f.mha_cache_elements_per_token,
                       share(kDense67BCacheElements), kDense67BCacheElements));
  const FoundTokenizer tokenizer = find_tokenizer(m);
  line("tokenizer", !tokenizer.fault.empty()  ? "cannot be used: " + tokenizer.fault
                    : tokenizer.n_tokens >= 0 ? fmt::format("{} tokens", tokenizer.n_tokens)
                                              : std::string("none"));
  for (const std::string& note : tokenizer.notes) line("passed over", note);
}

json::object summary_json(Model& m) {
  const FoundTokenizer tokenizer = find_tokenizer(m);
  const ModelConfig& c = m.config;
  const Footprint f = footprint(c);
  json::object bytes;
  for (const auto& [dtype, n] : weight_bytes(c, m.weights)) bytes[name(dtype)] = n;
  json::object out = {{"family", name(c.family)},
                      {"config", parse_json(config_to_json(c, "bfloat16"), "config")},
                      {"parameters", f.parameters},
                      {"activated_parameters", f.activated_parameters},
                      {"activated_parameters_without_embedding", f.activated_parameters_without_embedding},
                      {"weight_bytes", std::move(bytes)},
                      {"cache_elements_per_token", f.cache_elements_per_token},
                      {"mha_cache_elements_per_token", f.mha_cache_elements_per_token},
                      {"dense_67b_cache_elements_per_token", kDense67BCacheElements},
                      {"has_tokenizer", has_tokenizer(m)},
                      {"notes", json::array(tokenizer.notes.begin(), tokenizer.notes.end())}};
  if (!tokenizer.fault.empty()) out["tokenizer_fault"] = tokenizer.fault;
  return out;
}

json::array tensors_json(const TensorSource& source) {
  json::array out;
  for (const TensorInfo& t : source.tensors())
    out.push_back(json::object{{"name", t.name},
                               {"dtype", name(t.dtype)},
                               {"shape", json::array(t.shape.begin(), t.shape.end())},
                               {"bytes", t.bytes.size()},
                               {"file", t.file}});
  return out;
}

// The loader's refusal names a tensor; the list then shows what is there, even when the model as a whole is not one.
void print_tensors(const TensorSource& source) {
  for (const TensorInfo& t : source.tensors())
    fmt::print("{:<6} {:>18} {:>14}  {}\n", name(t.dtype), shape_text(t.shape), t.bytes.size(), t.name);
}

void check_weights(Model& m, int threads) {
  ThreadPool pool(threads);
  const std::vector<std::string> bad = find_non_finite(pool, m);
  if (!bad.empty())
    throw_bad_input("{}: {} tensors hold NaN or infinity: {}{}", m.path.string(), bad.size(), bad[0],
                    bad.size() > 1 ? fmt::format(", {}{}", bad[1], bad.size() > 2 ? ", ..." : "") : "");
}

void run_inspect(const InspectOptions& o) {
  if (o.tensors) {
    const std::shared_ptr<TensorSource> source = open_tensors(o.model);
    if (o.json)
      write_json_line(json::object{{"tensors", tensors_json(*source)}});
    else
      print_tensors(*source);
    return;
  }
  if (!o.check && inspect_importance(o.model, o.json)) return;
  Model model = open_model(o.model);
  if (o.json)
    write_json_line(summary_json(model));
  else
    print_summary(model);
  if (!o.check) return;
  check_weights(model, o.threads);
  if (!o.json) fmt::print("{:<12} every weight is finite\n", "check");
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("inspect", "what a model is: shapes, parameters, bytes, cache per token");
  const auto o = std::make_shared<InspectOptions>();
  command
      .add_option("-m,--model,model", o->model,
                  "folder with config.json and safetensors, a .gguf file, or OWNER/NAME of a pulled model")
      ->required()
      ->type_name("MODEL")
      ->transform(pulled_model());
  command.add_flag("--tensors", o->tensors,
                   "list the stored tensors instead; works for files that are no valid model too");
  command.add_flag("--json", o->json, "as JSON");
  command.add_flag("--check", o->check, "read all weights and name those with NaN or infinity");
  command.add_option("-t,--threads", o->threads, "threads for --check; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command.footer(
      "Examples:\n  fathom inspect DeepSeek-V2-Lite/\n  fathom inspect model.gguf --tensors | sort -k4\n  fathom "
      "inspect model.gguf --json");
  command.callback([=] { run_inspect(*o); });
}

}  // namespace fathom
