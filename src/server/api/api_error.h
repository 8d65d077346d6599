// What is wrong with a request, in the terms of the API's errors: {"error": {"message", "type", "param", "code"}}.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "http/errors.h"

namespace fathom::server {

class ApiError : public std::runtime_error {
 public:
  explicit ApiError(http::ErrorInfo info) : std::runtime_error(info.message), info_(std::move(info)) {}
  const http::ErrorInfo& info() const noexcept { return info_; }

 private:
  http::ErrorInfo info_;
};

// 400, of the parameter that is named.
template <class... Args>
[[noreturn]] void refuse(const std::string& param, fmt::format_string<Args...> format, Args&&... args) {
  throw ApiError({.status = 400, .message = fmt::format(format, std::forward<Args>(args)...), .param = param});
}

}  // namespace fathom::server
