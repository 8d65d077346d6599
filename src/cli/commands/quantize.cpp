// fathom quantize: a model in fewer bits.
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/write_progress.h"
#include "convert/quantize/quantize.h"

namespace fathom {
namespace {

struct QuantizeCommand {
  std::string model, out, type, importance, calibration, save_importance;
  std::vector<std::string> rules;
  CalibrationOptions calibration_options{.window = 512, .max_tokens = 131072};
  uint64_t max_shard_bytes = 0;
  int threads = 0;
  bool requantize = false, json = false, quiet = false;
};

QuantizeOptions quantize_options(const QuantizeCommand& c) {
  const auto path = [](const std::string& text) {
    return text.empty() ? std::nullopt : std::optional<std::filesystem::path>(text);
  };
  QuantizeOptions o{.output = {.type = parse_written_type(c.type), .max_shard_bytes = c.max_shard_bytes},
                    .requantize = c.requantize,
                    .importance = path(c.importance),
                    .calibration_text = path(c.calibration),
                    .calibration = c.calibration_options,
                    .save_importance = path(c.save_importance)};
  for (const std::string& rule : c.rules) o.output.type.rules.push_back(parse_tensor_rule(rule));
  return o;
}

// "NAME and 3 more"
std::string first_of(const std::vector<std::string>& names) {
  return names.size() == 1 ? names[0] : fmt::format("{} and {} more", names[0], names.size() - 1);
}

void print_importance(const ImportanceSummary& s) {
  const ImportanceReport& r = s.report;
  fmt::print(stderr, "  importance data of {}{:.0f} tokens", s.counted ? "" : "about ", r.tokens);
  if (r.experts > 0)
    fmt::print(stderr, "; of {} experts {} were never chosen, {} for fewer than {} tokens", r.experts, r.never.size(),
               r.few, Importance::kPriorRows);
  fmt::print(stderr, "\n");
  if (!r.never.empty())
    fmt::print(stderr, "  never chosen, so with the mean of their layer's experts: {}\n", first_of(r.never));
  if (!s.unknown.empty())
    fmt::print(stderr, "  importance data for what the model has not, passed over: {}\n", first_of(s.unknown));
}

json::object summary_json(const std::string& out, const std::vector<std::string>& notes, const QuantizeSummary& s) {
  json::object types;
  for (const auto& [type, share] : s.by_type)
    types[type] = {{"tensors", share.tensors}, {"elements", share.elements}, {"bytes", share.bytes}};
  return {{"output", out},
          {"weight_bytes", s.bytes},
          {"bits_per_weight", s.bits_per_weight()},
          {"types", std::move(types)},
          {"notes", json::array(notes.begin(), notes.end())},
          {"lost", json::array(s.lost.begin(), s.lost.end())}};
}

void print_summary(const std::string& out, const QuantizeSummary& s) {
  fmt::print(stderr, "{}: {}, {:.2f} bits per weight\n", out, human_bytes(static_cast<double>(s.bytes)),
             s.bits_per_weight());
  for (const auto& [type, share] : s.by_type)
    fmt::print(stderr, "  {:<6} {:5} tensors {:12} weights {:>10}\n", type, share.tensors, share.elements,
               human_bytes(static_cast<double>(share.bytes)));
  for (const auto& [types, names] : s.fallbacks)
    fmt::print(stderr, "  {} instead of {}, whose blocks their rows do not fill: {}\n", types.second, types.first,
               first_of(names));
  if (s.importance) print_importance(*s.importance);
  if (!s.without_importance.empty())
    fmt::print(stderr, "  without importance data, all columns alike: {}\n", first_of(s.without_importance));
}

void run_quantize(const QuantizeCommand& c) {
  const std::filesystem::path out = model_output(c.out);
  if (c.json && is_stdout(out)) throw_bad_input("{}: the model and --json both go to stdout; name a file", c.out);
  const QuantizeOptions options = quantize_options(c);
  check_quantize_options(out, options);
  ThreadPool pool(c.threads);
  Model model = open_model(c.model);
  const bool quiet = c.quiet || c.json;
  WriteProgress calibrating("calibrating", "tokens", quiet), writing("quantising", "B", quiet);
  const QuantizeSummary summary = quantize_model(pool, model, out, options, {calibrating.fn(), writing.fn()});
  if (c.json) return write_json_line(summary_json(out.string(), model.notes, summary));
  if (!c.quiet) print_summary(out.string(), summary);
  for (const std::string& thing : summary.lost) print_notice("not carried: " + thing);
}

}  // namespace

void add_quantize(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("quantize", "a model in fewer bits, as GGUF");
  const auto o = std::make_shared<QuantizeCommand>();
  command
      .add_option("-m,--model,model", o->model,
                  "folder with config.json and safetensors, a .gguf file, or OWNER/NAME of a pulled model")
      ->required()
      ->type_name("MODEL")
      ->transform(pulled_model());
  command.add_option("-o,--out,--output,out", o->out, "the .gguf file to make; - for stdout")
      ->required()
      ->type_name("OUT");
  command
      .add_option("--type,type", o->type,
                  output_type_names() +
                      ", in any case; the names of llama.cpp's mixes give its types; q4, q5 and q8 are fathom's own: "
                      "a type for each part of the model")
      ->required()
      ->type_name("TYPE");
  command
      .add_option(
          "--tensor,--tensor-type", o->rules,
          "element type of the matrices whose Hugging Face or GGUF name matches (* and ?); repeat it: the first "
          "that matches decides, --type is for the rest")
      ->type_name("PATTERN=TYPE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option("--calibration", o->calibration,
                  "text to run the model over, to learn which columns count; - for stdin")
      ->type_name("FILE");
  command.add_option("--calibration-tokens", o->calibration_options.max_tokens, "tokens of it to use; 0: all")
      ->type_name("N")
      ->transform(whole_number(0))
      ->capture_default_str();
  command
      .add_option("--importance,--imatrix", o->importance,
                  "what an earlier run learnt and saved, or an importance file of llama.cpp (GGUF or .dat)")
      ->type_name("FILE");
  command
      .add_option("--save-importance", o->save_importance,
                  "keep what --calibration learns, as .safetensors, or as .gguf for llama.cpp")
      ->type_name("FILE");
  command.add_flag("--requantize", o->requantize, "take a model that is quantised already");
  command
      .add_option("--max-shard-size", o->max_shard_bytes,
                  "split the file into parts of at most this size (2GB, 500MB, ...); default: one file")
      ->type_name("SIZE")
      ->transform(byte_size());
  command.add_option("-t,--threads", o->threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command.add_flag("--json", o->json, "what was written, and what could not be carried, as JSON on stdout");
  command.add_flag("-q,--quiet", o->quiet, "no progress and no figures on stderr");
  command.footer(
      "Examples:\n  fathom quantize -m DeepSeek-V2-Lite/ --type q4 --calibration text.txt -o lite-q4.gguf\n"
      "  fathom quantize -m lite-bf16.gguf --type q4_0 --tensor '*.self_attn.*=q8_0' --tensor 'lm_head.*=q6_k' -o "
      "lite.gguf\n"
      "  fathom quantize -m DeepSeek-V2-Lite/ --type IQ4_XS --importance imatrix.gguf -o lite-iq4_xs.gguf");
  command.callback([=] { run_quantize(*o); });
}

}  // namespace fathom
