#include "http/errors.h"

#include <boost/json.hpp>

#include "base/text/utf8.h"

namespace fathom::http {

std::string error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string openai_error(const ErrorInfo& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? boost::json::value(nullptr) : boost::json::value(replace_invalid_utf8(text));
  };
  const boost::json::object fields = {{"message", replace_invalid_utf8(error.message)},
                                      {"type", error.type.empty() ? error_type(error.status) : error.type},
                                      {"param", text_or_null(error.param)},
                                      {"code", text_or_null(error.code)}};
  return boost::json::serialize(boost::json::object{{"error", fields}});
}

Reply error_reply(const ErrorInfo& error, const ErrorForm& form) {
  return {.status = error.status, .body = form(error)};
}

}  // namespace fathom::http
