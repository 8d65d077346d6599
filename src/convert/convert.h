// One model, another container or other element types: Hugging Face folder and GGUF file in every direction.
#pragma once
#include "convert/output.h"

namespace fathom {

// Reads the model at `in` and writes it to `out`. Tokenizer, chat template and end-of-text ids are carried; from a
// folder to a folder the tokenizer's files are copied as they are. A model without a tokenizer stays without (llama.cpp
// loads such a GGUF for token ids). Throws like load_model; unsupported for what the other container cannot say.
void convert_model(ThreadPool& pool, const std::filesystem::path& in, const std::filesystem::path& out,
                   const OutputOptions& options, const ProgressFn& progress);
// The same of a model that is loaded. Our own recipes always search thoroughly.
void convert_model(ThreadPool& pool, Model& model, const std::filesystem::path& out, OutputOptions options,
                   const ProgressFn& progress);

}  // namespace fathom
