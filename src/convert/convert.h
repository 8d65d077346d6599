// One model, another container or other element types: Hugging Face folder and GGUF file in every direction.
#pragma once
#include <string>
#include <vector>

#include "convert/output.h"

namespace fathom {

// Reads the model at `in` and writes it to `out`. Everything that a run depends on is carried: tokenizer, chat
// templates, ids that end an answer, sampling defaults (text_files.h); from a folder to a folder the tokenizer's files
// are copied as they are. Returns what is not, a sentence a thing. A model without a tokenizer stays without (llama.cpp
// loads such a GGUF for token ids). Throws like load_model; unsupported for what the other container cannot say.
std::vector<std::string> convert_model(ThreadPool& pool, const std::filesystem::path& in,
                                       const std::filesystem::path& out, const OutputOptions& options,
                                       const ProgressFn& progress);
// The same of a model that is loaded. Our own recipes always search thoroughly.
std::vector<std::string> convert_model(ThreadPool& pool, Model& model, const std::filesystem::path& out,
                                       OutputOptions options, const ProgressFn& progress);

}  // namespace fathom
