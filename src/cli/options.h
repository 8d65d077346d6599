// Options that several commands share, each listed once.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/loaded_engine.h"
#include "engine/sampler.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct ModelOptions {
  std::string path;
  std::string cache_type, activations = "f32", arithmetic = "fast", weights = "auto";
  int64_t ctx = 0;
  int threads = 0;
  bool quiet = false;
};
// -m, and what running it needs (add_engine_options). With "-m,--model,model" as names the model may also stand alone.
void add_model_options(CLI::App& command, ModelOptions& options, const std::string& names = "-m,--model");
// --threads --ctx --cache-type --activations --arithmetic --weights --quiet
void add_engine_options(CLI::App& command, ModelOptions& options);
LoadedEngineOptions engine_options(const ModelOptions& options);
std::vector<std::string> cache_types();  // the names of --cache-type: those that need no calibration

// --trace FILE, and what to make a TraceFile (base/trace.h) of: refuses stdout, which other output goes to. Whether it
// is an input is asked by check_output (cli/output.h), once the model is open.
CLI::Option* add_trace_option(CLI::App& command, std::string& file);
std::filesystem::path trace_path(const std::string& file);

// What went wrong and does not end the run, to stderr.
void print_notice(const std::string& sentence);

// $FATHOM_TUNE: off, large or always (engine/loaded_engine.h); large when it is not set. bad_input for anything else.
Tuning tuning();

// The memory nodes of this machine as $FATHOM_NUMA has them (choose_numa): found at the first call, when no pool has
// bound the calling thread to some of its CPUs yet. bad_input for a value that is none.
const NumaTopology& numa();

// Where files of packed weights and of this machine's costs are kept: $FATHOM_CACHE_DIR, else fathom/ in
// $XDG_CACHE_HOME or ~/.cache. Empty when none of them is set.
std::filesystem::path cache_folder();

void add_sampling_options(CLI::App& command, SamplingOptions& options);

// --dry-sequence-breaker, several times if wanted: texts, or "none".
void add_dry_breaker_option(CLI::App& command, std::vector<std::string>& texts);

// bad_input for ids that the model does not have.
void check_logit_bias(const SamplingOptions& options, int64_t vocab_size);

// The seed on stderr where one is used, so that a text can be had again.
void print_seed(const SamplingOptions& options, bool quiet);

// --stop, several times if wanted; its escapes are those of --document-separator.
void add_stop_option(CLI::App& command, std::vector<std::string>& stops, const std::string& description);

// Ids separated by spaces or commas. bad_input for anything else.
std::vector<int32_t> parse_ids(const std::string& text);

// All of stdin, as text (data/text/text_stream.h).
std::string read_stdin();

// A prompt from a file, or from stdin for "-": without a byte order mark, and without its last line end, which editors
// write and the prompt does not mean (llama.cpp's tools drop it too).
std::string read_prompt(const std::string& path);

}  // namespace fathom
