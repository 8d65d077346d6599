// Numbers of a JSON document as whole numbers, and in messages.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/json/json.h"

namespace fathom {

// The whole number that the value is, also where it is written 128.0 or 1e3 (up to 2^53, where a double still tells
// neighbours apart); nothing when it is none, or beyond 64 bits.
std::optional<int64_t> json_integer(const json::value& value) noexcept;

// For messages: a number as it is ("128.5"), else json_kind_name().
std::string json_found(const json::value& value);

}  // namespace fathom
