#include "http/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text/suggest.h"
#include "http/parse/token.h"

namespace fathom::http {
namespace {

constexpr std::array kOurs = {
    "content-length", "transfer-encoding",     "connection", "date", "server", "x-request-id", "content-type",
    "keep-alive",     "x-content-type-options"};

bool is_ours(std::string_view name) {
  return std::any_of(kOurs.begin(), kOurs.end(), [&](std::string_view ours) { return equal_in_any_case(ours, name); });
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  if (is_header_name(name) && is_header_value(value)) out.append(name).append(": ").append(value).append("\r\n");
}

// RFC 9110, 5.6.7, whatever the locale.
std::string http_date() {
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

bool status_has_body(int status) noexcept { return status != 204 && status != 304; }

std::string response_head(const ResponseHead& head) {
  const int status = head.status >= 200 && head.status <= 599 ? head.status : 500;
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\nServer: fathom\r\nDate: {}\r\n", status, reason_phrase(status), http_date());
  append_header(out, "X-Request-Id", head.request_id);
  if (!head.content_type.empty()) append_header(out, "Content-Type", head.content_type);
  append_header(out, "X-Content-Type-Options", "nosniff");
  for (const Headers* headers : {head.headers, head.cors})
    if (headers != nullptr)
      for (const auto& [name, value] : *headers)
        if (!is_ours(name)) append_header(out, name, value);
  if (head.content_length && status_has_body(status))
    append_header(out, "Content-Length", std::to_string(*head.content_length));
  else if (!head.content_length && head.http_1_1)
    append_header(out, "Transfer-Encoding", "chunked");
  if (!head.keep_alive)
    append_header(out, "Connection", "close");
  else if (!head.http_1_1)
    append_header(out, "Connection", "keep-alive");
  return out + "\r\n";
}

}  // namespace fathom::http
