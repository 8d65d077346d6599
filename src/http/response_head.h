// The head of an answer: status line and headers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace fathom::http {

struct ResponseHead {
  int status = 200;
  std::string_view content_type, request_id;
  const Headers* headers = nullptr;  // of the handler
  const Headers* cors = nullptr;
  std::optional<uint64_t> content_length;  // absent: chunked in HTTP/1.1, until the end of the connection in HTTP/1.0
  bool http_1_1 = true, keep_alive = true;
};

// Ends with the empty line. What may not stand in a header is left out (exchange.h, Reply); a status outside 200 to 599
// is 500.
std::string response_head(const ResponseHead& head);

// Whether an answer of that status has a body at all.
bool status_has_body(int status) noexcept;

// "Not Found"; empty for a status without a name.
std::string_view reason_phrase(int status) noexcept;

}  // namespace fathom::http
