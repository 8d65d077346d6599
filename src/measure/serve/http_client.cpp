#include "measure/serve/http_client.h"

#include "curl/transfers.h"

namespace fathom::serve_bench {

HttpClient::HttpClient() : transfers_(std::make_unique<curl::Transfers>()) {
  curl_multi_setopt(transfers_->multi(), CURLMOPT_MAXCONNECTS, 16384L);
}

HttpClient::~HttpClient() = default;

size_t HttpClient::running() const noexcept { return transfers_->running(); }

void HttpClient::start(HttpRequest request, OnBytes on_bytes, OnEnd on_end) {
  auto t = std::make_unique<curl::Transfer>();
  t->add_header("Content-Type: application/json");
  t->add_header("Expect:");
  if (!request.api_key.empty()) t->add_header("Authorization: Bearer " + request.api_key);
  t->set(CURLOPT_URL, request.url.c_str());
  t->set(CURLOPT_PROXY, "");
  t->set(CURLOPT_PROTOCOLS_STR, "http,https");
  t->set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout * 1000));
  const auto body = std::make_shared<const std::string>(std::move(request.body));
  if (!body->empty()) {
    t->set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    t->set(CURLOPT_POSTFIELDS, body->data());  // is not copied
  }
  t->on_bytes = [on_bytes = std::move(on_bytes)](std::string_view bytes) {
    on_bytes(bytes);
    return true;
  };
  t->on_end = [on_end = std::move(on_end), body, easy = t->easy](CURLcode code) {
    HttpEnd end;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &end.status);
    if (code != CURLE_OK) end.error = curl_easy_strerror(code);
    on_end(end);
  };
  transfers_->start(std::move(t));
}

void HttpClient::step(double seconds) { transfers_->step(seconds); }

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
