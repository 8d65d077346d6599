// The text side of a model in the two containers: files of a Hugging Face folder, keys of a GGUF file.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "load/load.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

// Name -> text; a name may have a folder in front. From a folder: tokenizer.json and what transformers reads beside it,
// as they are. From a GGUF: tokenizer.json, tokenizer_config.json with the chat templates, generation_config.json, and
// special_tokens_map.json where the GGUF was made of a folder that had one.
std::map<std::string, std::string> folder_text_files(const Model& model);

// From a GGUF: its keys but the architecture's and those that describe the file. From a folder: the vocabulary filled
// up to vocab_size rows, the chat templates, all ids that end an answer, sampling defaults, and under fathom.* what
// GGUF has no key for.
GgufMetadata gguf_text_keys(const Model& model);

// What the other container cannot hold, a sentence a thing; empty when nothing is lost.
std::vector<std::string> lost_in_folder(const Model& model);
std::vector<std::string> lost_in_gguf(const Model& model);

}  // namespace fathom
