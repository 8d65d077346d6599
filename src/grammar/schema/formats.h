// The values of `format` that are supported, as regular expressions of ASCII. Each text of the expression is valid for
// the format; some valid texts that models hardly write are left out.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fathom::grammar {

std::optional<std::string> format_pattern(std::string_view name);
std::string format_names();  // for messages: "date, date-time, ..."

}  // namespace fathom::grammar
