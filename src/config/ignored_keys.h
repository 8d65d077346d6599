// What a checkpoint's files say that cannot change a result, each thing listed once: who wrote them, how Python runs
// them, how they were trained. Whatever is not listed here, not used and not null is refused by name.
#pragma once
#include <string_view>

#include "base/json/json.h"

namespace fathom {

// Why a key of config.json is passed over; empty when it is not.
std::string_view reason_to_ignore(std::string_view key, const json::value& value) noexcept;

inline constexpr std::string_view kForeignNamespace = "a namespace of somebody's own";

// The same of a key of GGUF metadata in a model of `architecture`. A reader looks for what describes the network under
// the architecture's own name, so a key in a namespace of somebody's own ("mradermacher.quantize_version") cannot.
// Never passed over: keys of this architecture, of another that fathom reads, and of adapters.
std::string_view reason_to_ignore(std::string_view key, std::string_view architecture) noexcept;

// A key of the architecture, its prefix taken off, that switches something off by this value, spelt as
// GgufMetadata::text does: attention.sliding_window 0.
bool is_neutral(std::string_view key, std::string_view value) noexcept;

}  // namespace fathom
