#include "http/parse/request_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>

#include "base/text/suggest.h"

namespace fathom::http {
namespace beast_http = boost::beast::http;
using boost::system::error_code;
using beast_view = boost::beast::string_view;

namespace {

std::string_view view(beast_view text) { return {text.data(), text.size()}; }

}  // namespace

struct Refusal {
  int status = 0;
  const char* reason = "";
};

// Beast's parser with the callbacks that fill a RequestHead and a body. None says `override`: newer versions of Boost
// have one more (on_trailer_field_impl), which older ones do not know.
class BeastParser : public beast_http::basic_parser<true> {
 public:
  explicit BeastParser(const RequestLimits& limits) : limits_(limits) {
    header_limit(static_cast<uint32_t>(limits.header_bytes));
    body_limit(boost::none);  // accept_body() sets it
    eager(false);             // one step at a time: after the head we decide
  }

  RequestHead head;
  std::string body;
  Refusal refused;

  void refuse(int status, const char* reason, error_code& ec) {
    refused = {status, reason};
    ec = beast_http::make_error_code(beast_http::error::bad_value);
  }

 protected:
  void on_request_impl(beast_http::verb, beast_view method, beast_view target, int version, error_code& ec) {
    head.method = view(method);
    head.target = view(target);
    head.http_1_1 = version == 11;
    used_ = method.size() + target.size() + 12;
    if (target.size() > limits_.target_bytes) refuse(414, "The target of the request is too long.", ec);
  }
  void on_response_impl(int, beast_view, int, error_code&) {}
  void on_field_impl(beast_http::field, beast_view name, beast_view value, error_code& ec) {
    if (in_trailer_) return;
    used_ += name.size() + value.size() + 4;
    if (used_ > limits_.header_bytes) return refuse(431, "The headers of the request are too long.", ec);
    if (head.headers.size() >= limits_.header_count) return refuse(431, "The request has too many headers.", ec);
    head.headers.emplace_back(lower_case(view(name)), view(value));
  }
  void on_trailer_field_impl(beast_http::field, beast_view, beast_view, error_code&) {}
  void on_header_impl(error_code& ec) {
    in_trailer_ = true;
    check_framing(ec);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) {}
  size_t on_body_impl(beast_view bytes, error_code&) {
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast_view, error_code&) {}
  size_t on_chunk_body_impl(std::uint64_t, beast_view bytes, error_code& ec) { return on_body_impl(bytes, ec); }
  void on_finish_impl(error_code&) {}

 private:
  void check_framing(error_code& ec) {
    const size_t lengths = head.count("content-length"), codings = head.count("transfer-encoding");
    if (lengths + codings > 1) return refuse(400, "The request states its length more than once.", ec);
    if (codings == 1) {
      if (!equal_in_any_case(head.header("transfer-encoding"), "chunked") || !head.http_1_1)
        return refuse(400, "The only transfer coding is chunked, in HTTP/1.1.", ec);
      head.chunked = true;
    }
    if (lengths == 1) {
      const std::string_view text = head.header("content-length");
      if (text.empty() || text.size() > 19 || text.find_first_not_of("0123456789") != std::string_view::npos)
        return refuse(400, "Content-Length is not a number.", ec);
      head.content_length = content_length().value_or(0);
    }
    head.keep_alive = keep_alive();
  }

  const RequestLimits limits_;
  size_t used_ = 0;
  bool in_trailer_ = false;
};

namespace {

Refusal explain(const error_code& ec, bool in_target) {
  if (ec == beast_http::error::header_limit)
    return in_target ? Refusal{414, "The target of the request is too long."}
                     : Refusal{431, "The headers of the request are too long."};
  if (ec == beast_http::error::body_limit) return {413, "The body of the request is too long."};
  if (ec == beast_http::error::bad_version) return {400, "Only HTTP/1.0 and HTTP/1.1 are spoken here."};
  if (ec == beast_http::error::bad_content_length || ec == beast_http::error::multiple_content_length ||
      ec == beast_http::error::bad_transfer_encoding)
    return {400, "The length of the request is not stated clearly."};
  return {400, "The request is not well-formed HTTP."};
}

// A request line that has begun with a method and '/', and whose target has not ended.
bool ends_in_target(std::string_view input) {
  const size_t space = input.find(' ');
  return space < 20 && space + 1 < input.size() && input[space + 1] == '/' &&
         input.find_first_of(" \r\n", space + 1) == std::string_view::npos;
}

}  // namespace

size_t RequestHead::count(std::string_view lower_case_name) const noexcept {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(),
                                           [&](const auto& header) { return header.first == lower_case_name; }));
}

std::string_view RequestHead::header(std::string_view lower_case_name) const noexcept {
  for (const auto& [name, value] : headers)
    if (name == lower_case_name) return value;
  return {};
}

struct RequestParser::Impl {
  explicit Impl(const RequestLimits& l) : limits(l), parser(l) {}
  RequestLimits limits;
  BeastParser parser;
  State state = State::head;
  bool begun = false;

  void fail(const Refusal& why) {
    state = State::bad;
    parser.refused = why;
  }

  // One call of Beast; false when it needs more bytes or nothing more is to be done.
  bool step(std::string_view input, size_t& taken) {
    error_code ec;
    const size_t n = parser.put({input.data(), input.size()}, ec);
    taken += n;
    const size_t left = input.size() - n;
    if (ec == beast_http::error::need_more) {
      if (left > limits.header_bytes)
        fail(state == State::body ? Refusal{400, "A chunk of the request has too long a header."}
                                  : explain(beast_http::error::header_limit, ends_in_target(input)));
      return false;
    }
    if (ec) {
      fail(parser.refused.status != 0 ? parser.refused : explain(ec, ends_in_target(input)));
      return false;
    }
    if (state == State::head && parser.is_header_done())
      state = State::head_done;
    else if (state == State::body && parser.is_done())
      state = State::done;
    return state == State::body && n > 0 && left > 0;
  }
};

RequestParser::RequestParser(const RequestLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;

RequestParser::State RequestParser::state() const noexcept { return impl_->state; }

size_t RequestParser::feed(std::string_view input) {
  size_t taken = 0;
  if (impl_->state == State::head && !impl_->begun) {  // empty lines in front of a request (RFC 9112, 2.2)
    while (input.substr(taken).starts_with("\r\n")) taken += 2;
    if (input.substr(taken) == "\r") return taken;
  }
  if (impl_->state != State::head && impl_->state != State::body) return 0;
  while (taken < input.size()) {
    impl_->begun = true;
    if (!impl_->step(input.substr(taken), taken)) break;
  }
  return taken;
}

void RequestParser::accept_body(uint64_t max_bytes) {
  if (impl_->state != State::head_done) return;
  if (head().content_length > max_bytes) return impl_->fail(explain(beast_http::error::body_limit, false));
  impl_->parser.body_limit(max_bytes);
  impl_->state = impl_->parser.is_done() ? State::done : State::body;
}

RequestHead& RequestParser::head() noexcept { return impl_->parser.head; }
std::string RequestParser::take_body() noexcept { return std::move(impl_->parser.body); }
int RequestParser::status() const noexcept { return impl_->parser.refused.status; }
const char* RequestParser::reason() const noexcept { return impl_->parser.refused.reason; }

}  // namespace fathom::http
