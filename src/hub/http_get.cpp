#include "hub/http_get.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <vector>

#include "base/error.h"
#include "hub/settings.h"

namespace fathom::hub {

struct HttpSession::Transfer {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  HttpGet request;
  OnBytes on_bytes;
  OnEnd on_end;
  std::optional<HttpHead> head;  // once its body has begun
  std::exception_ptr thrown;

  ~Transfer() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
  }
};

struct HttpSession::Handles {
  CURLM* multi = nullptr;
  std::vector<std::unique_ptr<Transfer>> transfers;
};

namespace {

constexpr long kMostRedirects = 8;

void start_libcurl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw_resource("libcurl cannot be started: {}", curl_easy_strerror(started));
}

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

HttpSession::HttpSession(Limits limits) : limits_(limits), handles_(std::make_unique<Handles>()) {
  start_libcurl();
  handles_->multi = curl_multi_init();
  if (handles_->multi == nullptr) throw_resource("libcurl has no memory");
}

HttpSession::~HttpSession() {
  for (const auto& t : handles_->transfers) curl_multi_remove_handle(handles_->multi, t->easy);
  handles_->transfers.clear();
  curl_multi_cleanup(handles_->multi);
}

size_t HttpSession::running() const noexcept { return handles_->transfers.size(); }

size_t HttpSession::take_bytes(char* bytes, size_t, size_t n, void* transfer) noexcept {
  auto& t = *static_cast<Transfer*>(transfer);
  try {
    if (!t.head) t.head = head_of(t.easy);
    return t.on_bytes(*t.head, {bytes, n}) ? n : CURL_WRITEFUNC_ERROR;
  } catch (...) {  // libcurl is C
    t.thrown = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

void HttpSession::start(HttpGet request, OnBytes on_bytes, OnEnd on_end) {
  auto t = std::make_unique<Transfer>();
  t->easy = curl_easy_init();
  if (t->easy == nullptr) throw_resource("libcurl has no memory");
  t->request = std::move(request);
  t->on_bytes = std::move(on_bytes);
  t->on_end = std::move(on_end);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(t->easy, option, value); };
  // libcurl sends this header to no other host, port or scheme unless CURLOPT_UNRESTRICTED_AUTH is set.
  if (!t->request.token.empty())
    t->headers = curl_slist_append(nullptr, ("Authorization: Bearer " + t->request.token).c_str());
  const bool is_encrypted = origin_of(t->request.url).starts_with("https:");
  set(CURLOPT_URL, t->request.url.c_str());
  set(CURLOPT_HTTPHEADER, t->headers);
  set(CURLOPT_USERAGENT, "fathom");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, kMostRedirects);
  set(CURLOPT_PROTOCOLS_STR, is_encrypted ? "https" : "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, is_encrypted ? "https" : "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // each request a connection of its own
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_BUFFERSIZE, 512L * 1024);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_CONNECTTIMEOUT, limits_.connect);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, limits_.silence);
  const std::string range =
      t->request.range ? fmt::format("{}-{}", t->request.range->first, t->request.range->second) : "";
  if (!range.empty()) set(CURLOPT_RANGE, range.c_str());
  set(CURLOPT_WRITEFUNCTION, &HttpSession::take_bytes);
  set(CURLOPT_WRITEDATA, t.get());
  set(CURLOPT_PRIVATE, t.get());
  if (const CURLMcode failed = curl_multi_add_handle(handles_->multi, t->easy); failed != CURLM_OK)
    throw_resource("libcurl cannot begin a request: {}", curl_multi_strerror(failed));
  handles_->transfers.push_back(std::move(t));
}

void HttpSession::finish(Transfer& transfer, int code) {
  HttpEnd end;
  end.head = head_of(transfer.easy);
  end.kind = kind_of(static_cast<CURLcode>(code));
  if (code == CURLE_WRITE_ERROR) end.kind = HttpEnd::Kind::stopped;
  if (code != CURLE_OK) end.error = curl_easy_strerror(static_cast<CURLcode>(code));
  curl_multi_remove_handle(handles_->multi, transfer.easy);
  auto& all = handles_->transfers;
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.get() == &transfer; });
  const std::unique_ptr<Transfer> kept = std::move(*it);
  all.erase(it);
  if (kept->thrown) std::rethrow_exception(kept->thrown);
  kept->on_end(end);
}

void HttpSession::step(double seconds) {
  int running = 0;
  curl_multi_perform(handles_->multi, &running);
  if (static_cast<size_t>(running) == handles_->transfers.size()) {
    const double milliseconds = std::ceil(std::clamp(seconds, 0.0, 60.0) * 1000);
    curl_multi_poll(handles_->multi, nullptr, 0, static_cast<int>(milliseconds), nullptr);
    curl_multi_perform(handles_->multi, &running);
  }
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(handles_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    const CURLcode code = message->data.result;  // the message is gone once its transfer is
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    finish(*transfer, code);
  }
}

}  // namespace fathom::hub
