#include "http/admission.h"

#include <fmt/ranges.h>

#include "base/text/suggest.h"
#include "http/parse/authority.h"

namespace fathom::http {
namespace {

// The steps of admit(): each returns an error, or nothing when the request may pass.
class Admitter {
 public:
  Admitter(const RequestHead& head, const AdmissionContext& context, Admission& out)
      : head_(head), c_(context), out_(out) {}

  std::optional<Reply> run() {
    if (auto no = check_target()) return no;
    if (auto no = check_host()) return no;
    if (auto no = check_origin()) return no;
    match_ = c_.router.find(head_.method, out_.target.segments);
    if (is_preflight()) return preflight();
    if (auto no = check_key()) return no;
    if (auto no = check_route()) return no;
    if (auto no = check_drain()) return no;
    if (auto no = check_body()) return no;
    out_.route = match_.route;
    out_.path_parameters = std::move(match_.parameters);
    return std::nullopt;
  }

 private:
  Reply error(int status, std::string message, std::string code = "") const {
    return error_reply({.status = status, .message = std::move(message), .code = std::move(code)},
                       c_.router.error_form(out_.target.path));
  }

  std::optional<Reply> check_target() {
    auto target = split_target(head_.target);
    if (!target) return error(400, "The target of the request is not a path that is served.");
    out_.target = std::move(*target);
    return std::nullopt;
  }

  std::optional<Reply> check_host() {
    const size_t n = head_.count("host");
    if (n > 1 || (n == 0 && head_.http_1_1)) return error(400, "A request has one Host header.");
    authority_ = out_.target.authority.empty() ? std::string(head_.header("host")) : out_.target.authority;
    if (c_.unix_socket || (n == 0 && authority_.empty())) return std::nullopt;  // no browser sends these
    const auto host = host_of(authority_);
    if (!host) return error(400, "The Host header is not a host and port.");
    if (host_allowed(*host, c_.options.address, c_.options.hosts)) return std::nullopt;
    return error(403, "This server is not asked by that host name. Its operator can allow the name.",
                 "host_not_allowed");
  }

  std::optional<Reply> check_origin() {
    const std::string_view origin = head_.header("origin");
    switch (head_.count("origin") > 1 ? Origin::foreign : classify_origin(origin, authority_, c_.options.origins)) {
      case Origin::none:
      case Origin::same:
        return std::nullopt;
      case Origin::listed:
        out_.cors = {{"Access-Control-Allow-Origin", std::string(origin)}, {"Vary", "Origin"}};
        break;
      case Origin::any:
        out_.cors = {{"Access-Control-Allow-Origin", "*"}};
        break;
      case Origin::foreign:
        return error(403, "Pages of that origin may not ask this server. Its operator can allow the origin.",
                     "origin_not_allowed");
    }
    out_.cors.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    return std::nullopt;
  }

  bool is_preflight() const {
    return head_.method == "OPTIONS" && !out_.cors.empty() && head_.count("access-control-request-method") > 0;
  }

  // Browsers send preflights without keys; nothing runs. A page of a listed origin may send the headers that it asks
  // for.
  Reply preflight() const {
    Reply reply{.status = 204,
                .content_type = "",
                .headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"},
                            {"Access-Control-Max-Age", "600"}},
                .body = ""};
    const std::string_view asked = head_.header("access-control-request-headers");
    if (!asked.empty()) reply.headers.emplace_back("Access-Control-Allow-Headers", std::string(asked));
    return reply;
  }

  Access access() const { return match_.route == nullptr ? Access::key : match_.route->access; }

  std::optional<Reply> check_key() {
    if (c_.keys.empty()) {
      if (access() != Access::admin || c_.local_only) return std::nullopt;
      return error(403, "This route needs an admin key, and this server has no keys.", "admin_key_required");
    }
    const std::string_view sent = sent_key(head_.header("authorization"), head_.header("x-api-key"));
    const ApiKey* key = sent.empty() ? nullptr : c_.keys.find(sent);
    if (key != nullptr) out_.key_name = key->name;
    if (access() == Access::open) return std::nullopt;
    if (key == nullptr) {
      Reply reply = error(401,
                          sent.empty() ? "No API key was sent. Send `Authorization: Bearer KEY`."
                                       : "The API key is not one of this server's.",
                          "invalid_api_key");
      reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"fathom\"");
      return reply;
    }
    if (access() != Access::admin || key->admin) return std::nullopt;
    return error(403, "This route needs an admin key.", "admin_key_required");
  }

  std::optional<Reply> check_route() {
    if (match_.route != nullptr) return std::nullopt;
    if (match_.allowed.empty()) return error(404, "There is no such path on this server.", "not_found");
    const bool asks = head_.method == "OPTIONS";
    Reply reply = asks ? Reply{.status = 204, .content_type = "", .body = ""}
                       : error(405, "This path does not have that method.", "method_not_allowed");
    reply.headers.emplace_back("Allow", fmt::format("{}, OPTIONS", fmt::join(match_.allowed, ", ")));
    return reply;
  }

  std::optional<Reply> check_drain() {
    if (!c_.draining || access() == Access::open) return std::nullopt;
    Reply reply = error(503, "The server is about to end and takes no new requests.", "draining");
    reply.headers.emplace_back("Retry-After", std::to_string(c_.options.retry_after));
    return reply;
  }

  std::optional<Reply> check_body() {
    const std::string_view coding = head_.header("content-encoding");
    if (!coding.empty() && !equal_in_any_case(coding, "identity"))
      return error(415, "The body of a request must not be compressed.", "unsupported_content_encoding");
    if (head_.has_body() && (head_.method == "POST" || head_.method == "PUT" || head_.method == "PATCH") &&
        (head_.count("content-type") > 1 || !is_json_type(head_.header("content-type"))))
      return error(415, "The body of a request must be application/json, in UTF-8.", "unsupported_media_type");
    const std::string_view expect = head_.header("expect");
    if (!expect.empty() && !equal_in_any_case(expect, "100-continue"))
      return error(417, "Of expectations, only 100-continue is met.");
    if (head_.content_length > c_.options.limits.body_bytes)
      return error(
          413,
          fmt::format("The body of the request is too long: at most {} bytes are taken.", c_.options.limits.body_bytes),
          "body_too_long");
    return std::nullopt;
  }

  // No type at all, or application/json, with no charset but utf-8.
  static bool is_json_type(std::string_view type) {
    const auto trim = [](std::string_view text) {
      while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
      while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
      return text;
    };
    if (type.empty()) return true;
    size_t at = std::min(type.find(';'), type.size());
    if (!equal_in_any_case(trim(type.substr(0, at)), "application/json")) return false;
    while (at < type.size()) {
      const size_t end = std::min(type.find(';', at + 1), type.size());
      const std::string_view parameter = trim(type.substr(at + 1, end - at - 1));
      at = end;
      if (!equal_in_any_case(parameter.substr(0, 8), "charset=")) continue;
      std::string_view charset = parameter.substr(8);
      if (charset.size() >= 2 && charset.front() == '"' && charset.back() == '"')
        charset = charset.substr(1, charset.size() - 2);
      if (!equal_in_any_case(charset, "utf-8") && !equal_in_any_case(charset, "utf8")) return false;
    }
    return true;
  }

  const RequestHead& head_;
  const AdmissionContext& c_;
  Admission& out_;
  Router::Match match_;
  std::string authority_;
};

}  // namespace

Admission admit(const RequestHead& head, const AdmissionContext& context) {
  Admission out;
  out.refusal = Admitter(head, context, out).run();
  return out;
}

}  // namespace fathom::http
