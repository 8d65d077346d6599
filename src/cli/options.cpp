#include "cli/options.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/text/suggest.h"
#include "base/text/terminal_text.h"
#include "cli/bundled_model.h"
#include "cli/model_store.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/write_progress.h"
#include "data/text/documents.h"
#include "data/text/text_stream.h"

namespace fathom {
std::vector<std::string> cache_types() {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::size(kCacheTypeNames); ++i) {
    const LatentFormat* format = latent_format(static_cast<CacheType>(i));
    if (format == nullptr || !format->calibrated) names.emplace_back(kCacheTypeNames[i]);
  }
  return names;
}

void add_model_options(CLI::App& command, ModelOptions& o, const std::string& names) {
  o.path = bundled_model();
  command
      .add_option(
          names, o.path,
          "folder with config.json and safetensors, a .gguf file, or OWNER/NAME of a pulled model; default: the "
          "model that comes with fathom")
      ->required(o.path.empty())
      ->type_name("MODEL")
      ->transform(pulled_model());
  add_engine_options(command, o);
}

void add_engine_options(CLI::App& command, ModelOptions& o) {
  command.add_option("-t,--threads", o.threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command
      .add_option("-c,--ctx,--ctx-size", o.ctx,
                  "tokens that the cache has room for; 0, and the default: what the model allows")
      ->type_name("N")
      ->transform(whole_number(0));
  command
      .add_option(
          "--cache-type", o.cache_type,
          "how the cache keeps its numbers: f32, bf16, q16 (13 bits), q8 or fp8; latent attention also in 6 or 4 "
          "bits, q6 or "
          "q4; default: q16, or f32 where arithmetic is exact or attention is not latent")
      ->transform(one_of(cache_types()));
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
                  "packed: a copy laid out for speed, of all weights; mapped: used in the file, for machines short of "
                  "memory; cached: the copy is kept in a file as large as the weights, and later runs map it (see "
                  "`fathom cache`); auto: that file where there is one, else the weights of types that this CPU packs "
                  "(nearly all; bf16 on Intel only without AVX512_BF16 and AMX), where memory has room")
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

namespace {

CLI::Option* add_escaped_texts(CLI::App& command, const std::string& names, std::vector<std::string>& texts,
                               const std::string& description) {
  return command.add_option(names, texts, description)
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

void add_penalty_options(CLI::App& command, SamplingOptions& o) {
  const auto add = [&](const char* name, auto& value, const char* description) {
    return command.add_option(name, value, description)->capture_default_str()->group("Sampling: penalties and biases");
  };
  add("--repeat-penalty", o.repeat_penalty, "weaken tokens among the last of prompt and answer; 1: off")
      ->type_name("X")
      ->transform(real_number(0.01, 100));
  add("--repeat-last-n", o.repeat_window, "how many tokens --repeat-penalty looks at; 0: none")
      ->type_name("N")
      ->transform(whole_number(0, 1'000'000'000));
  add("--presence-penalty", o.presence_penalty, "off the score of every token that the answer holds already; 0: off")
      ->type_name("X")
      ->transform(real_number(-2, 2));
  add("--frequency-penalty", o.frequency_penalty, "the same, for each time that it holds it; 0: off")
      ->type_name("X")
      ->transform(real_number(-2, 2));
  add("--dry-multiplier", o.dry_multiplier, "DRY: off the score of what goes on with a repetition; 0: off")
      ->type_name("X")
      ->transform(real_number(0, 100));
  add("--dry-base", o.dry_base, "DRY: times this for each token that the repetition is longer than allowed")
      ->type_name("X")
      ->transform(real_number(1, 100));
  add("--dry-allowed-length", o.dry_allowed_length, "DRY: the shortest repetition that is penalised")
      ->type_name("N")
      ->transform(whole_number(1, 1'000'000'000));
  add("--dry-penalty-last-n", o.dry_penalty_last_n, "DRY: how many tokens are looked at; -1: all")
      ->type_name("N")
      ->transform(whole_number(-1, 1'000'000'000));
  command
      .add_option_function<std::vector<std::string>>(
          "--logit-bias",
          [&o](const std::vector<std::string>& texts) {
            o.logit_bias.clear();
            for (const std::string& text : texts) o.logit_bias.push_back(parse_logit_bias(text));
          },
          "added to the score of a token, -100 to 100; may be given several times")
      ->type_name("ID=BIAS")
      ->allow_extra_args(false)
      ->check(logit_bias())
      ->group("Sampling: penalties and biases");
}

}  // namespace

void add_sampling_options(CLI::App& command, SamplingOptions& o) {
  const auto add = [&](const char* name, auto& value, const char* description) {
    return command.add_option(name, value, description)->capture_default_str()->group("Sampling");
  };
  add("--temperature,--temp", o.temperature, "0: always the most likely token")
      ->type_name("T")
      ->transform(real_number(0, 100));
  add("--top-k", o.top_k, "keep the K most likely; 0: all")->type_name("K")->transform(whole_number(0, 1'000'000'000));
  add("--top-p", o.top_p, "keep the most likely tokens up to probability P; 1: all")
      ->type_name("P")
      ->transform(real_number(0, 1));
  add("--min-p", o.min_p, "drop tokens below P times the most likely one's probability")
      ->type_name("P")
      ->transform(real_number(0, 1));
  add("--typical,--typical-p", o.typical_p, "keep tokens about as surprising as expected, up to probability P; 1: all")
      ->type_name("P")
      ->transform(real_number(0, 1));
  add("--xtc-probability", o.xtc_probability, "how often only the least likely of the top choices stays; 0: never")
      ->type_name("P")
      ->transform(real_number(0, 1));
  add("--xtc-threshold", o.xtc_threshold, "the least probability of a top choice")
      ->type_name("P")
      ->transform(real_number(0, 1));
  o.seed = random_seed();  // said by print_seed
  command.add_option("-s,--seed", o.seed, "same seed, same text; -1, and the default: a random one, which is printed")
      ->type_name("S")
      ->transform(seed_or_random(o.seed))
      ->group("Sampling");
  add_penalty_options(command, o);
}

void add_dry_breaker_option(CLI::App& command, std::vector<std::string>& texts) {
  add_escaped_texts(
      command, "--dry-sequence-breaker", texts,
      "DRY: tokens with this text end a repetition; several times if wanted; none; default: line end : \" *")
      ->group("Sampling: penalties and biases");
}

void check_logit_bias(const SamplingOptions& options, int64_t vocab_size) {
  for (const auto& [id, bias] : options.logit_bias)
    if (id < 0 || id >= vocab_size)
      throw_bad_input("--logit-bias names token {}; the model has ids 0 to {}", id, vocab_size - 1);
}

void add_stop_option(CLI::App& command, std::vector<std::string>& stops, const std::string& description) {
  add_escaped_texts(command, "--stop", stops, description);
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

}  // namespace fathom
