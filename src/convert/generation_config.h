// generation_config.json in the two containers. fathom runs nothing by it but the ids that end an answer; it is kept
// for other programs.
#pragma once
#include <string>
#include <string_view>

#include "checkpoint/gguf.h"
#include "config/config.h"

namespace fathom {

// The whole text as fathom.generation_config, and what llama.cpp reads as general.sampling.*. Throws like parse_json.
void generation_config_to_gguf(const std::string& text, const std::string& where, GgufMetadata& metadata);

// Back again. Where general.sampling.* says another number now, it is believed. Without fathom.generation_config: the
// ids of the config, and general.sampling.*.
std::string generation_config_from_gguf(const GgufMetadata& metadata, const ModelConfig& config);

// Whether generation_config_from_gguf reads it: general.sampling.temp, ...
bool is_sampling_key(std::string_view gguf_key) noexcept;

// generation_config.json with the ids of the config.
std::string generation_config_json(const ModelConfig& config);

}  // namespace fathom
