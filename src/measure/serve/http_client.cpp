#include "measure/serve/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace fathom::serve_bench {

struct HttpClient::Transfer {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  HttpRequest request;
  OnBytes on_bytes;
  OnEnd on_end;

  ~Transfer() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
  }

  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers, line.c_str());
    if (longer == nullptr) throw_resource("no memory for a request");
    headers = longer;
  }
};

struct HttpClient::Handles {
  CURLM* multi = nullptr;
  std::vector<std::unique_ptr<Transfer>> transfers;
};

namespace {

size_t take_bytes(char* bytes, size_t, size_t n, void* on_bytes) {
  (*static_cast<HttpClient::OnBytes*>(on_bytes))({bytes, n});
  return n;
}

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw_resource("libcurl cannot be started: {}", curl_easy_strerror(started));
}

}  // namespace

HttpClient::HttpClient() : handles_(std::make_unique<Handles>()) {
  start_curl();
  handles_->multi = curl_multi_init();
  if (handles_->multi == nullptr) throw_resource("libcurl has no memory");
  curl_multi_setopt(handles_->multi, CURLMOPT_MAXCONNECTS, 16384L);
}

HttpClient::~HttpClient() {
  for (const auto& t : handles_->transfers) curl_multi_remove_handle(handles_->multi, t->easy);
  handles_->transfers.clear();
  curl_multi_cleanup(handles_->multi);
}

size_t HttpClient::running() const noexcept { return handles_->transfers.size(); }

void HttpClient::start(HttpRequest request, OnBytes on_bytes, OnEnd on_end) {
  auto t = std::make_unique<Transfer>();
  t->easy = curl_easy_init();
  if (t->easy == nullptr) throw_resource("libcurl has no memory");
  t->request = std::move(request);
  t->on_bytes = std::move(on_bytes);
  t->on_end = std::move(on_end);
  t->add_header("Content-Type: application/json");
  t->add_header("Expect:");
  if (!t->request.api_key.empty()) t->add_header("Authorization: Bearer " + t->request.api_key);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(t->easy, option, value); };
  set(CURLOPT_URL, t->request.url.c_str());
  set(CURLOPT_HTTPHEADER, t->headers);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(t->request.timeout * 1000));
  if (!t->request.body.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(t->request.body.size()));
    set(CURLOPT_POSTFIELDS, t->request.body.data());
  }
  set(CURLOPT_WRITEFUNCTION, &take_bytes);
  set(CURLOPT_WRITEDATA, &t->on_bytes);
  set(CURLOPT_PRIVATE, t.get());
  if (const CURLMcode failed = curl_multi_add_handle(handles_->multi, t->easy); failed != CURLM_OK)
    throw_resource("libcurl cannot begin a request: {}", curl_multi_strerror(failed));
  handles_->transfers.push_back(std::move(t));
}

void HttpClient::finish(Transfer& transfer, int code) {
  HttpEnd end;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &end.status);
  if (code != CURLE_OK) end.error = curl_easy_strerror(static_cast<CURLcode>(code));
  curl_multi_remove_handle(handles_->multi, transfer.easy);
  auto& all = handles_->transfers;
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.get() == &transfer; });
  const std::unique_ptr<Transfer> kept = std::move(*it);
  *it = std::move(all.back());
  all.pop_back();
  kept->on_end(end);
}

void HttpClient::step(double seconds) {
  int running = 0;
  curl_multi_perform(handles_->multi, &running);
  const auto finish_ended = [&] {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(handles_->multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* transfer = nullptr;
      const CURLcode code = message->data.result;  // the message is gone once its transfer is
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      finish(*transfer, code);
      any = true;
    }
    return any;
  };
  if (finish_ended()) return;
  const double milliseconds = std::ceil(std::clamp(seconds, 0.0, 60.0) * 1000);
  curl_multi_poll(handles_->multi, nullptr, 0, static_cast<int>(milliseconds), nullptr);
  curl_multi_perform(handles_->multi, &running);
  finish_ended();
}

HttpAnswer fetch(HttpRequest request) {
  HttpAnswer answer;
  HttpClient client;
  client.start(
      std::move(request), [&](std::string_view bytes) { answer.body += bytes; },
      [&](const HttpEnd& end) {
        answer.status = end.status;
        answer.error = end.error;
      });
  while (client.running() > 0) client.step(1);
  return answer;
}

}  // namespace fathom::serve_bench
