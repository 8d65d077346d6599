// ModelConfig in the metadata of GGUF files: architectures deepseek2, deepseek and llama, keys as llama.cpp's converter
// writes them.
#pragma once
#include "checkpoint/gguf.h"
#include "config/config.h"

namespace fathom {

// Every key "<architecture>.*" is used or refused by name; keys of other namespaces say nothing about the forward pass
// (ignored_keys.h), and those that nobody knows are added to `ignored`. Adapters and importance data are refused as
// such. `source` is asked for one thing: without an output
// tensor the embedding is the head as well. Floats of a file have 24 bits: 1e-6 comes back as the double 1e-6, that is,
// as the shortest decimal that the float stands for.
//
// Group-limited routing is on when expert_group_count is more than 1. GGUF files of V2 made before that key existed do
// not say so, and run here as in llama.cpp, without groups (spec section 9, 25).
ModelConfig config_from_gguf(const GgufMetadata& metadata, const TensorSource& source,
                             std::vector<std::string>* ignored = nullptr);

// Such a file, known by V2's width and experts: a sentence that says so, without the file's name.
std::optional<std::string> missing_groups_notice(const GgufMetadata& metadata, const ModelConfig& config);

// A key that names a token; nothing when it is absent or says that there is none. bad_input for what is no id.
std::optional<int32_t> gguf_token_id(const GgufMetadata& metadata, const char* key);

// The architecture's keys, general.architecture first; for the split layout k_b + v_b (key_length_mla). unsupported for
// what GGUF has no key for: moe_layer_freq other than 1, mscale different from mscale_all_dim.
GgufMetadata config_to_gguf(const ModelConfig& config);

}  // namespace fathom
