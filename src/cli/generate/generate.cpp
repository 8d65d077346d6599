// fathom generate: a prompt in, text out as it is made.
#include <cstdio>
#include <memory>

#include "base/interrupt.h"
#include "base/json/json.h"
#include "base/progress.h"
#include "base/trace.h"
#include "cli/commands.h"
#include "cli/generate/generate.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "engine/generation.h"
#include "kernels/peak.h"
#include "load/text.h"

namespace fathom {
namespace {

struct Timing {
  double load_s = 0, prompt_s = 0, generate_s = 0;
};

std::vector<int32_t> prompt_ids(const GenerateOptions& o, const ModelConfig& config, const Tokenizer* tokenizer) {
  if (!o.ids.empty()) {
    std::vector<int32_t> ids = parse_ids(o.ids);
    if (ids.empty()) throw_bad_input("--ids holds no token id");
    check_ids(ids, config);
    return ids;
  }
  if (tokenizer == nullptr)
    throw_bad_input("{}: the checkpoint has no tokenizer, so a text prompt cannot be read; give token ids with --ids",
                    o.model.path);
  const std::string source = !o.file.empty() ? o.file : o.prompt == "-" ? "-" : "";
  const std::string text = source.empty() ? o.prompt : read_prompt(source);
  if (text.empty())
    throw_bad_input("{}: the prompt is empty; a text from nothing begins at the bos token: --ids {}",
                    source == "-" ? "stdin" : source, tokenizer->bos().value_or(0));
  std::vector<int32_t> ids = tokenizer->encode(text, {.add_special = true, .parse_special = o.parse_special});
  if (ids.empty())
    throw_bad_input("the prompt is empty, and the tokenizer puts no token in front of it; give a prompt with -p");
  return ids;
}

// What came of a request. An error in the middle (no memory for more of the cache) or a signal loses none of the text
// before it.
struct Outcome {
  std::vector<int32_t> ids = {};  // generated
  Ended ended = {};
  bool context_full = false;
  int signal = 0;  // that came meanwhile; 0: none

  bool interrupted() const { return ended.reason == EndReason::cancelled; }
  const char* name() const {
    return ended.error                         ? "error"
           : interrupted()                     ? "interrupted"
           : ended.reason == EndReason::length ? "length"
                                               : "stop";
  }
};

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

void print_generated(const std::vector<int32_t>& prompt, const std::string& text, bool has_text, const Outcome& outcome,
                     uint64_t seed, const Timing& t, const SpeculationCounts& speculation) {
  json::object out;
  out["prompt_ids"] = json::array(prompt.begin(), prompt.end());
  out["ids"] = json::array(outcome.ids.begin(), outcome.ids.end());
  if (has_text) out["text"] = text;
  out["finish_reason"] = outcome.name();
  if (outcome.ended.error) out["error"] = outcome.ended.error->what();
  out["seed"] = seed;
  out["load_seconds"] = t.load_s;
  out["prompt_seconds"] = t.prompt_s;
  out["generate_seconds"] = t.generate_s;
  out["peak_memory_bytes"] = peak_memory_bytes();
  out["speculation"] = {{"steps", speculation.steps},
                        {"proposed", speculation.proposed},
                        {"accepted", speculation.accepted},
                        {"tokens_per_step", speculation.tokens_per_step()}};
  write_json_line(std::move(out));
}

// Tokens are written until the context is full: the last one needs no room, as nothing comes after it. A signal ends it
// with what was written until then.
Outcome answer(Engine& engine, ScheduledRequest request, GeneratedText& text, bool print, bool quiet) {
  const int64_t most = engine.context_tokens() - std::ssize(request.prompt) + 1;
  int64_t& max_tokens = request.generate.max_tokens;
  const bool is_cut = max_tokens < 0 || max_tokens > most;
  if (is_cut) max_tokens = most;
  Outcome outcome;
  std::optional<Progress> progress(std::in_place, "prompt", request.prompt.size(), "tokens", quiet);
  const auto show = [&](const std::string& piece) {
    if (print && !piece.empty()) write_stdout(piece);
  };
  const StopRequest stop(1);
  request.events.on_token = [&](const TokenScore& token) {
    progress.reset();
    outcome.ids.push_back(token.id);
    show(text.push(token.id));
    return !text.stopped();
  };
  Scheduler scheduler(engine, offline_options(1));
  outcome.ended = generate(scheduler, std::move(request), [&](int64_t n_read) {
    if (progress) progress->set(static_cast<uint64_t>(n_read));
    return stop.signal() == 0;
  });
  progress.reset();
  outcome.context_full = is_cut && outcome.ended.reason == EndReason::length;
  if (!outcome.ended.error || !outcome.ids.empty()) show(text.finish() + "\n");
  outcome.signal = stop.signal();
  return outcome;
}

void run_generate(const GenerateOptions& o, TraceFile& trace) {
  Timing timing;
  const double start = clock_seconds();
  const Model model = open_model(o.model.path);
  check_output(trace.path(), {model.path, o.file, o.speculation.draft_model});
  std::optional<Tokenizer> found;
  if (has_tokenizer(model)) found = load_tokenizer(model);
  const Tokenizer* tokenizer = found ? &*found : nullptr;
  check_logit_bias(o.sampling, model.config.vocab_size);
  SamplingOptions sampling = o.sampling;
  if (sampling.dry_multiplier > 0) sampling.dry_breakers = dry_breaker_ids(tokenizer, o.dry_breakers);
  GeneratedText text(tokenizer, o.stops);
  const std::vector<int32_t> prompt = prompt_ids(o, model.config, tokenizer);
  const LoadedEngineOptions options = engine_options(o.model);
  const int64_t context = context_tokens(model.config, options.engine);
  check_prompt(prompt, model.config, context, context);
  ThreadPool pool(o.model.threads, numa());
  LoadedEngine loaded(pool, model, options);
  Engine& engine = loaded.engine;
  const LoadedSpeculator speculator(o.speculation, o.model, pool, engine, tokenizer);
  timing.load_s = clock_seconds() - start;
  print_seed(o.sampling, o.model.quiet || o.json);

  ScheduledRequest request{.prompt = prompt};
  request.generate = {.max_tokens = o.n,
                      .sampling = std::move(sampling),
                      .stop_ids = o.ignore_eos ? std::vector<int32_t>{} : stop_ids(model.config, tokenizer),
                      .n_usable_ids = usable_ids(model.config, tokenizer),
                      .speculator = speculator.get()};
  const Outcome outcome = answer(engine, std::move(request), text, !o.json, o.model.quiet);
  const RequestTimes& times = outcome.ended.times;
  const double first_token = times.first_token > 0 ? times.first_token : times.ended;
  timing.prompt_s = first_token - times.submitted;
  timing.generate_s = times.ended - first_token;
  const SpeculationCounts counts = counts_of(speculator.get());
  if (o.json) print_generated(prompt, text.text(), tokenizer != nullptr, outcome, o.sampling.seed, timing, counts);
  if (outcome.ended.error || outcome.signal != 0) trace.finish_or_say();
  if (outcome.ended.error) throw Error(*outcome.ended.error);
  if (outcome.signal != 0) end_by(outcome.signal);
  if (outcome.context_full && !o.model.quiet)
    print_notice(fmt::format("the context is full: {} tokens; a larger --ctx makes room (the model allows {})",
                             prompt.size() + outcome.ids.size(), model.config.max_position_embeddings));
  if (!o.model.quiet && !o.json) print_figures(engine, prompt.size(), outcome.ids.size(), timing, counts);
  trace.finish();
}

void add_prompts_options(CLI::App& command, GenerateOptions& o, std::initializer_list<CLI::Option*> of_one_prompt) {
  CLI::Option* prompts =
      command
          .add_option(
              "--prompts", o.prompts,
              "many prompts in one load: a JSON object a line, with \"prompt\", \"ids\" or \"messages\", and if wanted "
              "\"id\", \"max_tokens\", \"temperature\", \"seed\", \"stop\" ...; - for stdin")
          ->type_name("FILE.jsonl");
  for (CLI::Option* other : of_one_prompt) prompts->excludes(other);
  command
      .add_option(
          "-o,--output", o.output,
          "with --prompts: where answers go, a JSON object a line, in order, as they come; a file that holds some "
          "already is gone on with; - is stdout")
      ->type_name("FILE")
      ->needs(prompts)
      ->capture_default_str();
  command.add_option("--batch", o.batch, "with --prompts: answers that are written at a time; no text depends on it")
      ->type_name("N")
      ->transform(whole_number(1, 1024))
      ->needs(prompts)
      ->capture_default_str();
  command
      .add_option(
          "--bad-lines", o.bad_lines,
          "with --prompts: lines that cannot be asked; refuse: stop before any work, report: the answer says why")
      ->transform(one_of({"refuse", "report"}))
      ->needs(prompts)
      ->capture_default_str();
  add_chat_template_option(command, o.chat_template)->needs(prompts);
  command
      .add_option("--logprobs", o.logprobs,
                  "with --prompts: the log-probability of each token too, and of the K most likely ones")
      ->type_name("K")
      ->transform(whole_number(0, 1 << 20))
      ->needs(prompts);
}

}  // namespace

void add_generate(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("generate", "continue a text");
  const auto o = std::make_shared<GenerateOptions>();
  add_model_options(command, o->model);
  auto* prompt =
      command.add_option("-p,--prompt,prompt", o->prompt, "text to continue; - reads it from stdin, as -f -")
          ->type_name("TEXT");
  auto* file = command
                   .add_option("-f,--file", o->file,
                               "file to read the text from, - for stdin; its last line end is not part of it")
                   ->type_name("FILE")
                   ->excludes(prompt);
  auto* ids = command.add_option("--ids", o->ids, "token ids instead of a text")
                  ->type_name("IDS")
                  ->excludes(prompt)
                  ->excludes(file);
  command
      .add_option("-n,--max-tokens,--n-predict,--predict", o->n, "most tokens to write; -1: until the context is full")
      ->type_name("N")
      ->transform(whole_number(-1))
      ->capture_default_str();
  add_sampling_options(command, o->sampling);
  add_dry_breaker_option(command, o->dry_breakers);
  const uint64_t random = o->sampling.seed;
  add_speculation_options(command, o->speculation);
  add_stop_option(command, o->stops, "end before this text; \\n, \\t, \\xNN ...; may be given several times");
  command.add_flag("--special", o->parse_special, "special tokens spelled in the prompt become those tokens");
  command.add_flag("--ignore-eos", o->ignore_eos, "go on after an end-of-text token");
  command.add_flag("--json", o->json, "one JSON object at the end instead of text");
  add_trace_option(command, o->trace);
  add_prompts_options(command, *o, {prompt, file, ids, command.get_option("--draft-model")});
  command.footer(
      "Examples:\n  fathom generate -p \"Once upon a time\"\n  fathom generate -m DeepSeek-V2-Lite -p \"An attention "
      "function can be described as\" -n 100\n"
      "  fathom generate -m model.gguf -f prompt.txt -c 512 -n -1 --seed 7\n"
      "  fathom generate -m model.gguf -p - --temperature 0 < prompt.txt\n"
      "  fathom generate -m model.gguf -p \"def quicksort(\" --stop \"\\n\\n\" --json\n"
      "  fathom generate -m model.gguf -p \"Once\" -n 20 --trace trace.json\n"
      "  fathom generate -m model.gguf --prompts prompts.jsonl -o answers.jsonl --logprobs 5\n"
      "  fathom generate -m DeepSeek-Coder-V2.gguf --draft-model DeepSeek-Coder-V2-Lite.gguf -p \"def quicksort(\"");
  command.callback([=] {
    o->seed_given = o->sampling.seed != random;
    if (o->prompts.empty() && prompt->count() + file->count() + ids->count() == 0)
      throw_bad_input("generate needs a prompt: -p TEXT, -f FILE, -p - for stdin, --ids, or --prompts");
    validate(o->sampling);
    validate(o->speculation);
    TraceFile trace(trace_path(o->trace));
    if (!o->prompts.empty()) return run_prompts(*o, trace);
    run_generate(*o, trace);
  });
}

}  // namespace fathom
