// fathom perplexity: how well the model predicts a text.
//
// The windowing of llama.cpp's perplexity tool, so that figures compare: the text's tokens are cut into windows of
// --ctx without overlap, a last incomplete one is left out; in each window the first token is replaced by bos (when the
// tokenizer adds one), and the tokens in the second half are scored, each given all before it in the window. Perplexity
// = exp(mean negative log-likelihood); its error is the standard error of that mean, carried through exp. Bits per byte
// = the same sum in bits over the bytes that the scored tokens stand for; it does not depend on the tokenizer.
//
// Every token attends to what the cache holds of it and of those before it, its own piece of the window too, so that
// the figures are those of --cache-type. Short windows cross the network together. --against runs a second model, the
// reference, over the same windows side by side, some tokens at a time: memory does not grow with the text, nor with
// the window beyond the caches.
#include <cmath>
#include <memory>

#include "base/json/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/text/documents.h"
#include "engine/divergence.h"
#include "engine/prompt_reader.h"
#include "load/text.h"

namespace fathom {
namespace {

constexpr int64_t kWindow = 512;

struct PerplexityOptions {
  ModelOptions model;
  std::string file, against, against_cache_type, against_arithmetic;
  int64_t window = 0, max_windows = 0;  // 0: kWindow, or what the model allows
  bool json = false;
};

struct Totals {
  double nll = 0, nll_squared = 0;  // natural logarithm
  int64_t tokens = 0, bytes = 0, windows = 0;

  void add(double token_nll, int64_t token_bytes) {
    nll += token_nll, nll_squared += token_nll * token_nll;
    ++tokens, bytes += token_bytes;
  }
  double mean() const { return nll / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(mean()); }
  double error() const {
    const auto n = static_cast<double>(tokens);
    const double variance = nll_squared / n - mean() * mean();
    return tokens > 1 && variance > 0 ? std::sqrt(variance / (n - 1)) * perplexity() : 0;
  }
  double bits_per_byte() const { return nll / std::log(2.0) / static_cast<double>(bytes); }
};

void check_finite(double x) {
  if (!std::isfinite(x))
    throw_bad_input(
        "the model's logits are not finite; `fathom inspect MODEL --check` names the tensors that hold NaN or "
        "infinity");
}

// Ids whose last is predicted but not run.
using Window = std::span<const int32_t>;

int32_t target_of(Window window, int64_t index) { return window[static_cast<size_t>(index) + 1]; }

// The logits of a window's second half.
void add_window(PromptReader& reader, Window window, PromptReader::RowFn row) {
  reader.add(window.first(window.size() - 1), std::ssize(window) / 2, std::move(row));
}

class Scorer {
 public:
  Scorer(Engine& engine, const Tokenizer& tokenizer) : reader_(engine), tokenizer_(tokenizer) {}

  // Of windows that fit into kChunkTokens together.
  void score(std::span<const Window> windows, Totals& totals) {
    for (const Window window : windows)
      add_window(reader_, window, [&, window](int64_t index, VecView<const float> logits) {
        const int32_t target = target_of(window, index);
        const double nll = log_sum_exp({logits.data, static_cast<size_t>(logits.size)}) - logits[target];
        check_finite(nll);
        totals.add(nll, std::ssize(tokenizer_.token_bytes(target)));
      });
    reader_.read_all();
  }

 private:
  PromptReader reader_;
  const Tokenizer& tokenizer_;
};

// The reference's logits are kept for kRows tokens, until the model has seen the same.
class SideBySide {
 public:
  SideBySide(ThreadPool& pool, const Model& reference, const LoadedEngineOptions& options, Engine& engine,
             const Tokenizer& tokenizer)
      : loaded_(pool, reference, options),
        reference_(loaded_.engine, kRows),
        reader_(engine, kRows),
        tokenizer_(tokenizer),
        kept_(kRows * reference.config.vocab_size) {}

  void score(Window window, Totals& totals) {
    const int64_t V = loaded_.engine.config().vocab_size;
    const MatView<float> kept = kept_.mat(kRows, V);
    int64_t first = -1;  // index of the first row that is kept
    add_window(reference_, window, [&](int64_t index, VecView<const float> logits) {
      if (first < 0) first = index;
      std::copy_n(logits.data, V, kept.row(index - first));
    });
    add_window(reader_, window, [&](int64_t index, VecView<const float> logits) {
      const TokenDivergence token = compare_logits(kept.vec(index - first), logits, target_of(window, index));
      check_finite(token.kl + token.nll);
      divergence_.add(token);
      totals.add(token.nll, std::ssize(tokenizer_.token_bytes(target_of(window, index))));
    });
    for (; reference_.has_work(); first = -1) {
      reference_.step();
      reader_.step();
    }
  }

  const Divergence& divergence() const { return divergence_; }
  Engine& reference() { return loaded_.engine; }

 private:
  static constexpr int64_t kRows = 256;

  LoadedEngine loaded_;
  PromptReader reference_, reader_;
  const Tokenizer& tokenizer_;
  Buffer<float> kept_;
  Divergence divergence_;
};

void check_comparable(const PerplexityOptions& o, const Model& model, const Model& reference, const std::string& text,
                      const std::vector<int32_t>& ids) {
  if (model.config.vocab_size != reference.config.vocab_size)
    throw_bad_input("--against {}: has {} ids, {} has {}; logits are compared id by id, so both must have the same",
                    o.against, reference.config.vocab_size, o.model.path, model.config.vocab_size);
  if (load_tokenizer(reference).encode(text, {.add_special = true, .parse_special = false}) != ids)
    throw_bad_input("--against {}: cuts {} into other tokens than {} does; give two models with the same tokenizer",
                    o.against, o.file, o.model.path);
}

// Options of the reference: those of the model but for what --against-... says.
ModelOptions reference_options(const PerplexityOptions& o, ModelOptions model) {
  if (o.against.empty() && !(o.against_cache_type.empty() && o.against_arithmetic.empty()))
    throw_bad_input("--against-{}: says how the reference of --against runs; give --against MODEL with it",
                    o.against_arithmetic.empty() ? "cache-type" : "arithmetic");
  if (!o.against_cache_type.empty()) model.cache_type = o.against_cache_type;
  if (!o.against_arithmetic.empty()) model.arithmetic = o.against_arithmetic;
  return model;
}

// How the figures came about, for people and programs.
struct Way {
  std::string_view cache_type, arithmetic;
  Way(Engine& engine, const ModelOptions& o)
      : cache_type(kCacheTypeNames[static_cast<size_t>(engine.cache().layout().type)]), arithmetic(o.arithmetic) {}
};

// What was measured: the reference's part is there with --against.
struct Report {
  Way way;
  Totals totals = {};
  const Divergence* divergence = nullptr;
  std::optional<Way> reference = {};
};

void print_perplexity_json(const PerplexityOptions& o, const Report& report) {
  const Totals& t = report.totals;
  const Divergence* d = report.divergence;
  json::object out{{"perplexity", t.perplexity()},
                   {"error", t.error()},
                   {"bits_per_byte", t.bits_per_byte()},
                   {"tokens_scored", t.tokens},
                   {"bytes_scored", t.bytes},
                   {"windows", t.windows},
                   {"ctx", o.window},
                   {"cache_type", report.way.cache_type},
                   {"arithmetic", report.way.arithmetic}};
  if (d != nullptr)
    out["against"] = json::object{{"model", o.against},
                                  {"cache_type", report.reference->cache_type},
                                  {"arithmetic", report.reference->arithmetic},
                                  {"perplexity", d->reference_perplexity()},
                                  {"perplexity_ratio", d->perplexity_ratio()},
                                  {"perplexity_ratio_error", d->perplexity_ratio_error()},
                                  {"kl_mean", d->mean_kl()},
                                  {"kl_mean_error", d->mean_kl_error()},
                                  {"kl_median", d->kl_percentile(0.5)},
                                  {"kl_99", d->kl_percentile(0.99)},
                                  {"kl_max", d->kl_percentile(1)},
                                  {"same_top", d->same_top()},
                                  {"same_top_error", d->same_top_error()}};
  write_json_line(std::move(out));
}

void print_perplexity_text(const PerplexityOptions& o, const Report& report) {
  const Totals& t = report.totals;
  const Divergence* d = report.divergence;
  fmt::print("perplexity {:.4f} +/- {:.4f}   {:.4f} bits per byte   ({} tokens, {} bytes, {} windows of {})\n",
             t.perplexity(), t.error(), t.bits_per_byte(), t.tokens, t.bytes, t.windows, o.window);
  fmt::print("  read through a cache of {}, {} arithmetic\n", report.way.cache_type, report.way.arithmetic);
  if (d == nullptr) return;
  fmt::print("against {}, through a cache of {}, {} arithmetic\n", o.against, report.reference->cache_type,
             report.reference->arithmetic);
  fmt::print("  perplexity {:.4f}, ratio {:.5f} +/- {:.5f}\n", d->reference_perplexity(), d->perplexity_ratio(),
             d->perplexity_ratio_error());
  fmt::print("  KL divergence {:.3e} +/- {:.1e} nats   median {:.3e}, 99 % {:.3e}, largest {:.3e}\n", d->mean_kl(),
             d->mean_kl_error(), d->kl_percentile(0.5), d->kl_percentile(0.99), d->kl_percentile(1));
  fmt::print("  same most likely token {:.2f} % +/- {:.2f}\n", 100 * d->same_top(), 100 * d->same_top_error());
}

int64_t default_window(const Model& model, const std::optional<Model>& reference) {
  const int64_t allowed = model.config.max_position_embeddings;
  return std::min({kWindow, allowed, reference ? reference->config.max_position_embeddings : allowed});
}

void run_perplexity(PerplexityOptions o) {
  ModelOptions reference_model = reference_options(o, o.model);
  const Model model = open_model(o.model.path);
  const Tokenizer tokenizer = load_tokenizer(model);
  std::optional<Model> reference;
  if (!o.against.empty()) reference = open_model(o.against);
  if (o.window == 0) o.window = default_window(model, reference);
  ModelOptions model_options = o.model;
  model_options.ctx = reference_model.ctx = o.window;
  // A --ctx that a model does not allow is refused before the text is read.
  for (const Model* m : {&model, reference ? &*reference : &model})
    context_tokens(m->config, engine_options(model_options).engine);
  const std::string text = read_joined_documents(o.file);
  std::vector<int32_t> ids = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  if (reference) check_comparable(o, model, *reference, text, ids);
  const int64_t n_windows = std::ssize(ids) / o.window;
  if (n_windows < 1)
    throw_bad_input("{}: has {} tokens, fewer than one window of {}; give a longer text or a smaller --ctx", o.file,
                    ids.size(), o.window);
  const int64_t todo = o.max_windows > 0 ? std::min(o.max_windows, n_windows) : n_windows;
  const int64_t together = reference ? 1 : std::min(todo, std::max<int64_t>(1, kChunkTokens / (o.window - 1)));
  LoadedEngineOptions options = engine_options(model_options);
  options.engine.cache_tokens = together * blocks_of(o.window) * kBlockTokens;
  LoadedEngineOptions against = engine_options(reference_model);
  against.engine.cache_tokens = options.engine.cache_tokens;
  ThreadPool pool(o.model.threads, numa());
  LoadedEngine loaded(pool, model, options);
  std::optional<SideBySide> both;
  std::optional<Scorer> alone;
  if (reference)
    both.emplace(pool, *reference, against, loaded.engine, tokenizer);
  else
    alone.emplace(loaded.engine, tokenizer);
  Totals totals;
  Progress progress("perplexity", static_cast<uint64_t>(todo), "windows", o.model.quiet);
  while (totals.windows < todo) {
    std::vector<Window> windows;
    for (int64_t at = totals.windows; at < std::min(todo, totals.windows + together); ++at) {
      const auto window = std::span(ids).subspan(static_cast<size_t>(at * o.window), static_cast<size_t>(o.window));
      if (tokenizer.adds_bos()) window[0] = *tokenizer.bos();
      windows.push_back(window);
    }
    if (both)
      both->score(windows.front(), totals);
    else
      alone->score(windows, totals);
    progress.set(static_cast<uint64_t>(totals.windows += std::ssize(windows)));
  }
  Report report{.way = Way(loaded.engine, model_options), .totals = totals};
  if (both) {
    report.divergence = &both->divergence();
    report.reference = Way(both->reference(), reference_model);
  }
  (o.json ? print_perplexity_json : print_perplexity_text)(o, report);
}

}  // namespace

void add_perplexity(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("perplexity", "how well the model predicts a text");
  const auto o = std::make_shared<PerplexityOptions>();
  add_model_options(command, o->model, "-m,--model,model");
  command.remove_option(command.get_option("--ctx"));  // here it is the window, with another default
  command.add_option("-f,--file", o->file, "text to score; - for stdin; JSON records: their texts")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--against", o->against,
                  "a reference model with the same tokenizer, usually the unquantised one: KL divergence from its "
                  "predictions, share of equal most likely tokens, ratio of perplexities")
      ->type_name("MODEL")
      ->transform(pulled_model());
  command
      .add_option("--against-cache-type", o->against_cache_type,
                  "how the reference's cache keeps its numbers; default: as --cache-type. With the model itself as the "
                  "reference: what a cache type costs")
      ->transform(one_of(cache_types()));
  command.add_option("--against-arithmetic", o->against_arithmetic, "of the reference; default: as --arithmetic")
      ->transform(one_of({"fast", "exact"}));
  command.add_option("-c,--ctx,--ctx-size", o->window, "tokens of one window; default: 512, or what the model allows")
      ->type_name("N")
      ->transform(whole_number(4, 1 << 20));
  command.add_option("--windows,--chunks", o->max_windows, "score only the first N windows; 0: all")
      ->type_name("N")
      ->transform(whole_number(0))
      ->capture_default_str();
  command.add_flag("--json", o->json, "as JSON");
  command.footer(
      "Examples:\n  fathom perplexity -m MODEL -f wiki.test.raw --ctx 512\n"
      "  fathom perplexity -m q4.gguf -f wiki.test.raw --against DeepSeek-V2-Lite/ --json\n"
      "  fathom perplexity -m MODEL -f wiki.test.raw --cache-type q4 --against MODEL --against-cache-type f32");
  command.callback([=] { run_perplexity(*o); });
}

}  // namespace fathom
