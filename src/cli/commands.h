// The commands of `fathom`. Each add_* function adds one subcommand to `app`: its options, its --help with examples,
// and the callback that runs it. A callback throws Error for what the user can mend; main() prints it as one sentence
// and exits with 2.
#pragma once
#include <CLI/CLI.hpp>

namespace fathom {

void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_serve(CLI::App& app);
void add_pull(CLI::App& app);
void add_models(CLI::App& app);
void add_inspect(CLI::App& app);
void add_tokenizer(CLI::App& app);
void add_data(CLI::App& app);
void add_init(CLI::App& app);
void add_train(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_detokenize(CLI::App& app);
void add_logits(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_plot(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_serve(CLI::App& bench);  // `fathom bench serve`
void add_convert(CLI::App& app);
void add_quantize(CLI::App& app);
void add_synth(CLI::App& app);
void add_cache(CLI::App& app);
void add_claims(CLI::App& app);
void add_tune(CLI::App& app);
void add_completion(CLI::App& app);
void add_manual(CLI::App& app);

}  // namespace fathom
