// The text side of a model in the two containers: files of a Hugging Face folder, keys of a GGUF file.
#pragma once
#include <map>
#include <string>

#include "checkpoint/gguf.h"
#include "model/load.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

// From a folder: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja,
// generation_config.json as they are. From a GGUF: the first two and generation_config.json, made from its vocabulary.
// Name -> text; without what the model does not have.
std::map<std::string, std::string> folder_text_files(const Model& model);

// From a GGUF: its keys general.* and tokenizer.* but those that describe the file. From a folder: the vocabulary
// filled up to vocab_size rows, the chat template, the ids of the config.
GgufMetadata gguf_text_keys(const Model& model);

// generation_config.json with the ids of the config.
std::string generation_config_json(const ModelConfig& config);

}  // namespace fathom
