// The keys of [model] in words: those of a config.json that training uses. config/config.h reads them, and accepts
// more; this list is for the table of docs/config.md and for telling everything that is missing at once.
#pragma once
#include <span>
#include <string_view>

#include "train/config/config_keys.h"
#include "train/config/config_reader.h"

namespace fathom {

enum class Needed : uint8_t { always, with_latent_attention, with_experts, with_groups, in_rope_scaling, no };

struct ModelKey {
  std::string_view name, type;  // type: as the table says it
  Needed needed = Needed::no;
  std::string_view default_text, meaning;
  OnResume on_resume = OnResume::refused;
};

std::span<const ModelKey> model_keys();
// Of [model.rope_scaling].
std::span<const ModelKey> rope_scaling_keys();

// [model] of a config file, with every key that is missing, of another type or not known told to `problems`; a default
// ModelConfig then.
ModelConfig read_model_section(const json::object& section, const std::string& where, ConfigProblems& problems);

}  // namespace fathom
