// fathom perplexity: how well the model predicts a text.
//
// The windowing of llama.cpp's perplexity tool, so that figures compare: the text's tokens are cut into windows of
// --ctx without overlap, a last incomplete one is left out; in each window the first token is replaced by bos (when the
// tokenizer adds one), and the tokens in the second half are scored, each given all before it in the window. Perplexity
// = exp(mean negative log-likelihood); its error is the standard error of that mean, carried through exp. Bits per byte
// = the same sum in bits over the bytes that the scored tokens stand for; it does not depend on the tokenizer.
#include <cmath>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "model/text.h"

namespace fathom {
namespace {

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  int64_t window = 512, max_windows = 0;
  bool json = false;
};

struct Totals {
  double nll = 0, nll_squared = 0;  // natural logarithm
  int64_t tokens = 0, bytes = 0, windows = 0;

  double mean() const { return nll / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(mean()); }
  double error() const {
    const auto n = static_cast<double>(tokens);
    const double variance = nll_squared / n - mean() * mean();
    return tokens > 1 && variance > 0 ? std::sqrt(variance / (n - 1)) * perplexity() : 0;
  }
  double bits_per_byte() const { return nll / std::log(2.0) / static_cast<double>(bytes); }
};

void score_window(Engine& engine, const Tokenizer& tokenizer, std::span<const int32_t> ids, Totals& totals) {
  std::vector<int32_t> window(ids.begin(), ids.end());
  if (tokenizer.adds_bos()) window[0] = *tokenizer.bos();
  const int64_t n = std::ssize(window), first = n / 2;
  SequenceCache sequence;
  engine.score(sequence, std::span(window).first(static_cast<size_t>(n - 1)), first,
               [&](int64_t index, VecView<const float> logits) {
                 const int32_t target = window[static_cast<size_t>(index) + 1];
                 const double nll = log_sum_exp({logits.data, static_cast<size_t>(logits.size)}) - logits[target];
                 if (!std::isfinite(nll))
                   throw_bad_input(
                       "the model's logits are not finite; `fathom inspect MODEL --check` names the tensors that hold "
                       "NaN or infinity");
                 totals.nll += nll;
                 totals.nll_squared += nll * nll;
                 ++totals.tokens;
                 totals.bytes += std::ssize(tokenizer.token_bytes(target));
               });
  ++totals.windows;
  engine.cache().truncate(sequence, 0);
}

void run_perplexity(const PerplexityOptions& o) {
  const Model model = load_model(o.model.path);
  const Tokenizer tokenizer = load_tokenizer(model);
  ModelOptions model_options = o.model;
  model_options.ctx = o.window;
  Engine engine(model, engine_options(model_options));
  const std::vector<int32_t> ids = tokenizer.encode(read_file(o.file), {.add_special = true, .parse_special = false});
  const int64_t n_windows = std::ssize(ids) / o.window;
  if (n_windows < 1)
    throw_bad_input("{}: has {} tokens, fewer than one window of {}; give a longer text or a smaller --ctx", o.file,
                    ids.size(), o.window);
  const int64_t todo = o.max_windows > 0 ? std::min(o.max_windows, n_windows) : n_windows;
  Totals totals;
  Progress progress("perplexity", static_cast<uint64_t>(todo), "windows", o.model.quiet);
  for (int64_t w = 0; w < todo; ++w) {
    score_window(engine, tokenizer,
                 std::span(ids).subspan(static_cast<size_t>(w * o.window), static_cast<size_t>(o.window)), totals);
    progress.set(static_cast<uint64_t>(w + 1));
  }
  if (o.json) {
    fmt::print("{}\n", json::serialize(json::object{{"perplexity", totals.perplexity()},
                                                    {"error", totals.error()},
                                                    {"bits_per_byte", totals.bits_per_byte()},
                                                    {"tokens_scored", totals.tokens},
                                                    {"bytes_scored", totals.bytes},
                                                    {"windows", totals.windows},
                                                    {"ctx", o.window}}));
  } else {
    fmt::print("perplexity {:.4f} +/- {:.4f}   {:.4f} bits per byte   ({} tokens, {} bytes, {} windows of {})\n",
               totals.perplexity(), totals.error(), totals.bits_per_byte(), totals.tokens, totals.bytes, totals.windows,
               o.window);
  }
}

}  // namespace

void add_perplexity(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("perplexity", "how well the model predicts a text");
  const auto o = std::make_shared<PerplexityOptions>();
  add_model_options(command, o->model);
  command.remove_option(command.get_option("--ctx"));  // here it is the window, with another default
  command.add_option("-f,--file", o->file, "text to score")->required()->type_name("FILE");
  command.add_option("-c,--ctx", o->window, "tokens of one window")
      ->type_name("N")
      ->check(CLI::Range(4, 1 << 20))
      ->capture_default_str();
  command.add_option("--windows", o->max_windows, "score only the first N windows; 0: all")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_flag("--json", o->json, "as JSON");
  command.footer("Examples:\n  fathom perplexity -m MODEL -f wiki.test.raw --ctx 512");
  command.callback([=] { run_perplexity(*o); });
}

}  // namespace fathom
