#include "cli/options.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/text/suggest.h"
#include "base/text/terminal_text.h"
#include "cli/bundled_model.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/write_progress.h"
#include "data/text/documents.h"
#include "data/text/text_stream.h"

namespace fathom {

void add_model_options(CLI::App& command, ModelOptions& o, const std::string& names) {
  o.path = bundled_model();
  command
      .add_option(names, o.path,
                  "folder with config.json and safetensors, or a .gguf file; default: the model that comes with fathom")
      ->required(o.path.empty())
      ->type_name("MODEL");
  command.add_option("-t,--threads", o.threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command
      .add_option("-c,--ctx,--ctx-size", o.ctx,
                  "tokens that the cache has room for; 0, and the default: what the model allows")
      ->type_name("N")
      ->transform(whole_number(0));
  command
      .add_option("--cache-type", o.cache_type,
                  "how the cache keeps its numbers: f32, bf16, q16 (13 bits) or q8; default: q16, or f32 where "
                  "arithmetic is exact or attention is not latent")
      ->transform(one_of({"f32", "bf16", "q16", "q8"}));
  command
      .add_option("--activations", o.activations,
                  "f32, or bf16: round as a bfloat16 framework does (to compare with one)")
      ->transform(one_of({"f32", "bf16"}))
      ->capture_default_str();
  command
      .add_option("--arithmetic", o.arithmetic,
                  "fast, or exact: never round what is multiplied below float32 (to compare with a reference)")
      ->transform(one_of({"fast", "exact"}))
      ->capture_default_str();
  command
      .add_option("--weights", o.weights,
                  "packed: a copy laid out for speed; mapped: used in the file, for machines short of memory; cached: "
                  "the copy is kept in a file as large as the weights, and later runs map it (see `fathom cache`); "
                  "auto: that file where there is one, else packed where it fits")
      ->transform(one_of(std::vector<std::string>(kWeightPlaceNames.begin(), kWeightPlaceNames.end())))
      ->capture_default_str();
  command.add_flag("-q,--quiet", o.quiet, "no progress and no figures on stderr");
}

namespace {

std::function<void(int64_t, int64_t)> load_progress(bool quiet) {
  return [bar = std::make_shared<WriteProgress>("preparing weights", "B", quiet)](int64_t done, int64_t total) {
    bar->fn()(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  };
}

Numerics numerics(const ModelOptions& o) {
  if (o.activations == "bf16") return Numerics::bf16_reference();
  return o.arithmetic == "exact" ? Numerics::exact() : Numerics::quantised();
}

}  // namespace

LoadedEngineOptions engine_options(const ModelOptions& o) {
  LoadedEngineOptions options{
      .engine = {.context_tokens = o.ctx, .cache_type = cache_type_from_name(o.cache_type), .numerics = numerics(o)},
      .packing = {.place = static_cast<WeightPlace>(
                      std::find(kWeightPlaceNames.begin(), kWeightPlaceNames.end(), o.weights) -
                      kWeightPlaceNames.begin()),
                  .cache_folder = cache_folder()},
      .tuning = tuning()};
  // Apart: clang-tidy 14 takes a std::function in the list for a leak.
  options.packing.progress = load_progress(o.quiet);
  options.packing.notice = print_notice;
  return options;
}

CLI::Option* add_trace_option(CLI::App& command, std::string& file) {
  return command
      .add_option(
          "--trace", file,
          "also write where the time went: named zones of every thread, for ui.perfetto.dev or chrome://tracing")
      ->type_name("FILE.json");
}

std::filesystem::path trace_path(const std::string& file) {
  if (file.empty()) return {};
  const std::filesystem::path path = file_output(file);
  if (is_stdout(path)) throw_bad_input("--trace {}: other output goes to stdout; name a file", file);
  return path;
}

void print_notice(const std::string& sentence) {
  fmt::print(stderr, "fathom: {}\n", shown_on(STDERR_FILENO, sentence));
}

Tuning tuning() {
  const char* text = std::getenv("FATHOM_TUNE");
  if (text == nullptr || *text == '\0') return Tuning::large;
  const auto* found = std::find_if(kTuningNames.begin(), kTuningNames.end(),
                                   [&](std::string_view name) { return equal_in_any_case(name, text); });
  if (found == kTuningNames.end())
    throw_bad_input("FATHOM_TUNE={}: it is off, large or always, or not set at all", quoted_for_message(text));
  return static_cast<Tuning>(found - kTuningNames.begin());
}

const NumaTopology& numa() {
  static const NumaTopology found = [] {
    const char* text = std::getenv("FATHOM_NUMA");
    return choose_numa(text == nullptr ? "" : text, usable_cpus());
  }();
  return found;
}

std::filesystem::path cache_folder() {
  const auto value = [](const char* name) -> std::filesystem::path {
    const char* text = std::getenv(name);
    return text == nullptr ? "" : text;
  };
  if (const auto folder = value("FATHOM_CACHE_DIR"); !folder.empty()) return folder;
  // As the XDG base directory specification says, a path that is not absolute is ignored.
  if (const auto folder = value("XDG_CACHE_HOME"); folder.is_absolute()) return folder / "fathom";
  const auto home = value("HOME");
  return home.is_absolute() ? home / ".cache" / "fathom" : "";
}

void add_sampling_options(CLI::App& command, SamplingOptions& o) {
  command.add_option("--temperature,--temp", o.temperature, "0: always the most likely token")
      ->type_name("T")
      ->transform(real_number(0, 100))
      ->capture_default_str();
  command.add_option("--top-k", o.top_k, "keep the K most likely; 0: all")
      ->type_name("K")
      ->transform(whole_number(0, 1'000'000'000))
      ->capture_default_str();
  command.add_option("--top-p", o.top_p, "keep the most likely tokens up to probability P; 1: all")
      ->type_name("P")
      ->transform(real_number(0, 1))
      ->capture_default_str();
  command.add_option("--min-p", o.min_p, "drop tokens below P times the most likely one's probability")
      ->type_name("P")
      ->transform(real_number(0, 1))
      ->capture_default_str();
  command.add_option("--repeat-penalty", o.repeat_penalty, "weaken tokens among the last 64; 1: off")
      ->type_name("X")
      ->transform(real_number(0.01, 100))
      ->capture_default_str();
  o.seed = random_seed();  // said by print_seed
  command.add_option("-s,--seed", o.seed, "same seed, same text; -1, and the default: a random one, which is printed")
      ->type_name("S")
      ->transform(seed_or_random(o.seed));
}

void add_stop_option(CLI::App& command, std::vector<std::string>& stops, const std::string& description) {
  command.add_option("--stop", stops, description)
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->transform(CLI::Validator(
          [](std::string& text) -> std::string {
            try {
              text = unescape(text);
              return {};
            } catch (const Error& e) {
              return e.what();
            }
          },
          ""));
}

void print_seed(const SamplingOptions& o, bool quiet) {
  if (o.temperature > 0 && !quiet) fmt::print(stderr, "seed {}\n", o.seed);
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  const auto is_separator = [](char c) {
    return c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r' || c == '[' || c == ']';
  };
  for (size_t i = 0; i < text.size();) {
    if (is_separator(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !is_separator(text[end])) ++end;
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(text.data() + i, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end)
      throw_bad_input("{} is no token id; ids are whole numbers, for example \"100000 17464 1843\"",
                      quoted_for_message(std::string_view(text).substr(i, end - i)));
    ids.push_back(id);
    i = end;
  }
  return ids;
}

std::string read_prompt(const std::string& path) {
  std::string text = read_text(path);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

std::string read_stdin() { return read_text("-"); }

std::vector<int32_t> stop_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids;
  for (int64_t id : config.eos_token_ids) ids.push_back(static_cast<int32_t>(id));
  if (tokenizer != nullptr && tokenizer->eos()) ids.push_back(*tokenizer->eos());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

int64_t usable_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  return tokenizer == nullptr ? config.vocab_size : std::min<int64_t>(config.vocab_size, tokenizer->n_tokens());
}

}  // namespace fathom
