// TOML text in and out. Values travel as JSON, so that no other file needs the TOML library's headers.
#pragma once
#include <string>
#include <string_view>

#include "base/json/json.h"

namespace fathom {

// The text of a TOML file as one JSON object; dates are refused. bad_input with line and column.
json::object toml_to_json(std::string_view text, const std::string& where);

// A string as TOML writes it, with its quotes. UTF-8 in, UTF-8 out.
std::string toml_quoted(std::string_view text);

}  // namespace fathom
