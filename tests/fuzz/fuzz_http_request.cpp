// Any bytes as requests of a connection: the same answer wherever they are cut, limits kept, no path that leads
// upwards.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/text/utf8.h"
#include "http/admission.h"

namespace {

using namespace fathom::http;

constexpr uint64_t kMaxBody = 4096;

// What became of the first request, as text.
std::string outcome(std::string_view input, size_t piece) {
  RequestParser parser(RequestLimits{.target_bytes = 512, .header_bytes = 2048, .header_count = 20});
  std::string have;
  while (parser.state() != RequestParser::State::bad && parser.state() != RequestParser::State::done &&
         !input.empty()) {
    have += input.substr(0, piece);
    input.remove_prefix(std::min(piece, input.size()));
    have.erase(0, parser.feed(have));
    if (parser.state() != RequestParser::State::head_done) continue;
    parser.accept_body(kMaxBody);
    have.erase(0, parser.feed(have));
  }
  // How soon a bad request is seen to be bad depends on the cut; what a whole request says does not.
  if (parser.state() != RequestParser::State::done) return "not taken";
  const RequestHead& head = parser.head();
  std::string out = head.method + ' ' + head.target + (head.http_1_1 ? '1' : '0') + (head.keep_alive ? '1' : '0');
  for (const auto& [name, value] : head.headers) out += '\n' + name + ':' + value;
  const std::string body = parser.take_body();
  fathom::check(body.size() <= kMaxBody, "a body is within its limit");
  fathom::check(head.headers.size() <= 20 && head.target.size() <= 512, "a head is within its limits");
  return out + "\n\n" + body + "\n\n" + have + std::string(input);
}

void admit_it(std::string_view input) {
  RequestParser parser(RequestLimits{});
  parser.feed(input);
  if (parser.state() != RequestParser::State::head_done) return;
  static const Router router = [] {
    Router r;
    r.add("POST", "/v1/{x}", Access::key, [](const Request&, const std::shared_ptr<Exchange>&) {});
    r.add("GET", "/v1/models/{id*}", Access::open, [](const Request&, const std::shared_ptr<Exchange>&) {});
    return r;
  }();
  static const KeySet keys("alice: sk-alice-0123456789", "keys");
  static const Options options = [] {
    Options o;
    o.origins = {"https://app.example"};
    return o;
  }();
  const Admission a = admit(parser.head(), {options, router, keys});
  fathom::check((a.route != nullptr) != a.refusal.has_value(), "a request is either taken or answered");
  fathom::check((a.target.path + '/').find("/../") == std::string::npos, "no path leads upwards");
  fathom::check(fathom::find_invalid_utf8(a.target.path) == std::string_view::npos, "a path is UTF-8");
}

}  // namespace

// The first byte says how the input is cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (outcome(input, SIZE_MAX) != outcome(input, 1 + data[0] % 64)) std::abort();
  admit_it(input);
  return 0;
}
