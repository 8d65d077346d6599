#include <boost/beast/http/status.hpp>

#include "http/response_head.h"

namespace fathom::http {

std::string_view reason_phrase(int status) noexcept {
  const auto known = boost::beast::http::int_to_status(static_cast<unsigned>(status));
  if (known == boost::beast::http::status::unknown) return {};
  const auto text = boost::beast::http::obsolete_reason(known);
  return {text.data(), text.size()};
}

}  // namespace fathom::http
