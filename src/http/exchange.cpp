#include "http/exchange.h"

#include "base/text/suggest.h"

namespace fathom::http {

std::string_view Request::header(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers)
    if (equal_in_any_case(key, name)) return value;
  return {};
}

const std::string* Request::query_parameter(std::string_view name) const noexcept {
  for (const auto& [key, value] : query)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace fathom::http
