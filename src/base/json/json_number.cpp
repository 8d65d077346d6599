#include "base/json/json_number.h"

#include <fmt/format.h>

#include <cmath>

namespace fathom {

std::string json_found(const json::value& value) {
  if (const double* number = value.if_double()) return fmt::format("{}", *number);
  return value.is_number() ? json::serialize(value) : std::string(json_kind_name(value));
}

std::optional<int64_t> json_integer(const json::value& value) noexcept {
  if (const int64_t* whole = value.if_int64()) return *whole;
  const double* number = value.if_double();
  if (number == nullptr || std::abs(*number) > 0x1p53 || std::trunc(*number) != *number) return std::nullopt;
  return static_cast<int64_t>(*number);
}

}  // namespace fathom
