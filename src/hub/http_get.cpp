#include "hub/http_get.h"

#include "base/error.h"
#include "curl/transfers.h"
#include "hub/settings.h"

namespace fathom::hub {

namespace {

constexpr long kMostRedirects = 8;

std::string header_of(CURL* easy, const char* name) {
  curl_header* found = nullptr;
  return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : "";
}

HttpHead head_of(CURL* easy) {
  HttpHead head;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &head.status);
  char* url = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url != nullptr) head.origin = origin_of(url);
  if (head.status == 0) return head;
  head.etag = header_of(easy, "ETag");
  head.content_range = header_of(easy, "Content-Range");
  head.error_code = header_of(easy, "X-Error-Code");
  head.error_message = header_of(easy, "X-Error-Message");
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
    head.retry_after = static_cast<uint64_t>(seconds);
  return head;
}

HttpEnd::Kind kind_of(CURLcode code) noexcept {
  switch (code) {
    case CURLE_OK:
      return HttpEnd::Kind::whole;
    case CURLE_WRITE_ERROR:
      return HttpEnd::Kind::stopped;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return HttpEnd::Kind::unreachable;
    default:
      return HttpEnd::Kind::broken;
  }
}

}  // namespace

HttpSession::HttpSession(Limits limits) : limits_(limits), transfers_(std::make_unique<curl::Transfers>()) {}

HttpSession::~HttpSession() = default;

size_t HttpSession::running() const noexcept { return transfers_->running(); }

void HttpSession::start(const HttpGet& request, OnBytes on_bytes, OnEnd on_end) {
  auto t = std::make_unique<curl::Transfer>();
  // libcurl sends this header to no other host, port or scheme unless CURLOPT_UNRESTRICTED_AUTH is set.
  if (!request.token.empty()) t->add_header("Authorization: Bearer " + request.token);
  const char* protocols = origin_of(request.url).starts_with("https:") ? "https" : "http,https";
  t->set(CURLOPT_URL, request.url.c_str());
  t->set(CURLOPT_USERAGENT, "fathom");
  t->set(CURLOPT_FOLLOWLOCATION, 1L);
  t->set(CURLOPT_MAXREDIRS, kMostRedirects);
  t->set(CURLOPT_PROTOCOLS_STR, protocols);
  t->set(CURLOPT_REDIR_PROTOCOLS_STR, protocols);
  t->set(CURLOPT_BUFFERSIZE, 512L * 1024);
  t->set(CURLOPT_TCP_KEEPALIVE, 1L);
  t->set(CURLOPT_CONNECTTIMEOUT, limits_.connect);
  t->set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  t->set(CURLOPT_LOW_SPEED_TIME, limits_.silence);
  if (request.range)
    t->set(CURLOPT_RANGE, fmt::format("{}-{}", request.range->first, request.range->second).c_str());  // is copied
  t->on_bytes = [on_bytes = std::move(on_bytes), easy = t->easy,
                 head = std::optional<HttpHead>()](std::string_view bytes) mutable {
    if (!head) head = head_of(easy);
    return on_bytes(*head, bytes);
  };
  t->on_end = [on_end = std::move(on_end), easy = t->easy](CURLcode code) {
    HttpEnd end;
    end.head = head_of(easy);
    end.kind = kind_of(code);
    if (code != CURLE_OK) end.error = curl_easy_strerror(code);
    on_end(end);
  };
  transfers_->start(std::move(t));
}

void HttpSession::step(double seconds) { transfers_->step(seconds); }

}  // namespace fathom::hub
