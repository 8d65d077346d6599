// The text side of a checkpoint: its tokenizer and chat template, from a Hugging Face folder or from a GGUF file.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "load/load.h"
#include "tokenizer/chat/chat_template_files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

// tokenizer.ggml.* as plain data. Nothing when the file has no vocabulary (tokenizer.ggml.model absent, "none" or
// "no_vocab"); unsupported for a kind other than "gpt2" (byte-level BPE).
std::optional<VocabularyData> vocabulary_from_gguf(const GgufMetadata& metadata);
// The same keys, set. An empty vocabulary is written as "none", with which llama.cpp loads a model that takes token ids
// only.
void vocabulary_to_gguf(const VocabularyData& vocabulary, GgufMetadata& metadata);

// tokenizer.chat_template, and tokenizer.chat_template.NAME with the list tokenizer.chat_templates, as gguf-py writes
// them.
void chat_templates_to_gguf(const ChatTemplates& templates, GgufMetadata& metadata);

// The tokenizer of a model; bad_input when it has none, or more tokens than the embedding has rows.
Tokenizer load_tokenizer(const Model& model);
// The same without the model's weights: a folder with tokenizer.json, the tokenizer.json itself, a GGUF file, or a file
// inside a folder.
Tokenizer load_tokenizer(const std::filesystem::path& path);
bool has_tokenizer(const Model& model);

// The chat templates that the model brings, by name; "default" is the one that is used when nobody asks for another.
ChatTemplates load_chat_templates(const Model& model);

// The ids after which the model's answers end: those that its files name, and the tokenizer's eos.
std::vector<int32_t> stop_ids(const ModelConfig& config, const Tokenizer* tokenizer);

// Ids that may be generated: the tokenizer's, or the whole vocabulary when there is none.
int64_t usable_ids(const ModelConfig& config, const Tokenizer* tokenizer);

// The ids whose text holds one of these, ascending. Without texts those of llama.cpp: line end, colon, quotation mark
// and asterisk. Empty without a tokenizer, which is bad_input where there are texts.
std::vector<int32_t> dry_breaker_ids(const Tokenizer* tokenizer, const std::vector<std::string>& texts);

}  // namespace fathom
