// fathom generate: a prompt in, text out as it is made.
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/speculation.h"
#include "model/text.h"
#include "tokenizer/stop_strings.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  SpeculationOptions speculation;
  std::string prompt, ids;
  int64_t n = 128;
  std::vector<std::string> stops;
  bool json = false, parse_special = false, ignore_eos = false;
};

struct Timing {
  double load_s = 0, prompt_s = 0, generate_s = 0;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::vector<int32_t> prompt_ids(const GenerateOptions& o, const Tokenizer* tokenizer) {
  if (!o.ids.empty()) return parse_ids(o.ids);
  if (tokenizer == nullptr)
    throw_bad_input("{}: the checkpoint has no tokenizer, so a text prompt cannot be read; give token ids with --ids",
                    o.model.path);
  return tokenizer->encode(o.prompt == "-" ? read_stdin() : o.prompt,
                           {.add_special = true, .parse_special = o.parse_special});
}

// Text on stdout as it comes, up to a stop string; or collected, for --json. Without a tokenizer: the ids.
class Output {
 public:
  Output(const Tokenizer* tokenizer, std::vector<std::string> stops, bool print)
      : tokenizer_(tokenizer), stops_(std::move(stops)), print_(print) {
    if (tokenizer != nullptr) decoder_ = std::make_unique<StreamDecoder>(*tokenizer);
  }
  // false: a stop string has come.
  bool push(int32_t id) {
    emit(tokenizer_ == nullptr ? fmt::format("{} ", id) : stops_.push(decoder_->push(id)));
    return !stops_.stopped();
  }
  void finish() {
    if (tokenizer_ != nullptr && !stops_.stopped()) {
      emit(stops_.push(decoder_->flush()));
      if (!stops_.stopped()) emit(stops_.flush());
    }
    if (print_) std::fputc('\n', stdout);
    std::fflush(stdout);
  }
  const std::string& text() const { return text_; }

 private:
  void emit(const std::string& piece) {
    text_ += piece;
    if (!print_ || piece.empty()) return;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  }

  const Tokenizer* tokenizer_;
  StopStrings stops_;
  bool print_;
  std::unique_ptr<StreamDecoder> decoder_;
  std::string text_;
};

const char* reason_name(FinishReason reason) { return reason == FinishReason::length ? "length" : "stop"; }

void print_figures(const Engine& engine, size_t n_prompt, size_t n_generated, const Timing& t,
                   const SpeculationCounts& speculation) {
  const auto rate = [](size_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
  // The first generated token comes with the prompt's logits, so n - 1 steps were timed.
  fmt::print(
      stderr,
      "prompt {} tokens, {:.2f} tokens/s; generated {} tokens, {:.2f} tokens/s{}; loaded in {:.2f} s; peak memory "
      "{}; {} threads\n",
      n_prompt, rate(n_prompt, t.prompt_s), n_generated, rate(n_generated > 0 ? n_generated - 1 : 0, t.generate_s),
      speculation_figures(speculation), t.load_s, human_bytes(static_cast<double>(peak_memory_bytes())),
      engine.threads());
}

void print_json(const std::vector<int32_t>& history, size_t n_prompt, const std::string& text, bool has_text,
                FinishReason reason, const Timing& t, const SpeculationCounts& speculation) {
  json::object out;
  out["prompt_ids"] = json::array(history.begin(), history.begin() + static_cast<ptrdiff_t>(n_prompt));
  out["ids"] = json::array(history.begin() + static_cast<ptrdiff_t>(n_prompt), history.end());
  if (has_text) out["text"] = text;
  out["finish_reason"] = reason_name(reason);
  out["load_seconds"] = t.load_s;
  out["prompt_seconds"] = t.prompt_s;
  out["generate_seconds"] = t.generate_s;
  out["peak_memory_bytes"] = peak_memory_bytes();
  out["speculation"] = {{"steps", speculation.steps},
                        {"proposed", speculation.proposed},
                        {"accepted", speculation.accepted},
                        {"tokens_per_step", speculation.tokens_per_step()}};
  fmt::print("{}\n", json::serialize(out));
}

void run_generate(const GenerateOptions& o) {
  validate(o.sampling);
  Timing timing;
  const Clock::time_point start = Clock::now();
  const Model model = open_model(o.model.path);
  std::optional<Tokenizer> found;
  if (has_tokenizer(model)) found = load_tokenizer(model);
  const Tokenizer* tokenizer = found ? &*found : nullptr;
  Output output(tokenizer, o.stops, !o.json);
  Engine engine(model, engine_options(o.model));
  LoadedSpeculator speculator(o.speculation, o.model, engine, tokenizer);
  std::vector<int32_t> history = prompt_ids(o, tokenizer);
  if (history.empty())
    throw_bad_input("the prompt is empty, and the tokenizer puts no token in front of it; give a prompt with -p");
  const size_t n_prompt = history.size();
  timing.load_s = seconds_since(start);

  const Clock::time_point prompt_start = Clock::now();
  SequenceCache sequence;
  std::span<const float> logits;
  {
    Progress progress("prompt", n_prompt, "tokens", o.model.quiet);
    logits = engine.feed(sequence, history, [&](int64_t done) { progress.set(static_cast<uint64_t>(done)); });
  }
  timing.prompt_s = seconds_since(prompt_start);

  const Clock::time_point generate_start = Clock::now();
  const GenerateRequest request{.max_tokens = o.n,
                                .sampling = o.sampling,
                                .stop_ids = o.ignore_eos ? std::vector<int32_t>{} : stop_ids(model.config, tokenizer),
                                .n_usable_ids = usable_ids(model.config, tokenizer),
                                .speculator = speculator.get()};
  const FinishReason reason =
      engine.generate(sequence, history, logits, request, [&](int32_t id) { return output.push(id); });
  output.finish();
  timing.generate_s = seconds_since(generate_start);
  const SpeculationCounts counts = counts_of(speculator.get());
  if (o.json) print_json(history, n_prompt, output.text(), tokenizer != nullptr, reason, timing, counts);
  if (!o.model.quiet && !o.json) print_figures(engine, n_prompt, history.size() - n_prompt, timing, counts);
}

}  // namespace

void add_generate(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("generate", "continue a text");
  const auto o = std::make_shared<GenerateOptions>();
  add_model_options(command, o->model);
  auto* prompt =
      command.add_option("-p,--prompt", o->prompt, "text to continue; - reads it from stdin")->type_name("TEXT");
  auto* ids = command.add_option("--ids", o->ids, "token ids instead of a text")->type_name("IDS")->excludes(prompt);
  command.add_option("-n,--max-tokens", o->n, "most tokens to write")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_sampling_options(command, o->sampling);
  add_speculation_options(command, o->speculation);
  command.add_option("--stop", o->stops, "end before this text; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_flag("--special", o->parse_special, "special tokens spelled in the prompt become those tokens");
  command.add_flag("--ignore-eos", o->ignore_eos, "go on after an end-of-text token");
  command.add_flag("--json", o->json, "one JSON object at the end instead of text");
  command.footer(
      "Examples:\n  fathom generate -p \"Once upon a time\"\n  fathom generate -m DeepSeek-V2-Lite -p \"An attention "
      "function can be described as\" -n 100\n"
      "  fathom generate -m model.gguf -p - --temperature 0 < prompt.txt\n"
      "  fathom generate -m model.gguf -p \"def quicksort(\" --stop \"\\n\\n\" --json\n"
      "  fathom generate -m DeepSeek-Coder-V2.gguf --draft-model DeepSeek-Coder-V2-Lite.gguf -p \"def quicksort(\"");
  command.callback([=] {
    if (prompt->count() + ids->count() == 0)
      throw_bad_input("generate needs a prompt: -p TEXT, -p - for stdin, or --ids");
    run_generate(*o);
  });
}

}  // namespace fathom
