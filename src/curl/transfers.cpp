#include "curl/transfers.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fathom::curl {
namespace {

void start_libcurl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw_resource("libcurl cannot be started: {}", curl_easy_strerror(started));
}

// libcurl is C: what the function throws waits until libcurl has returned.
size_t take_bytes(char* bytes, size_t, size_t n, void* transfer) noexcept {
  auto& t = *static_cast<Transfer*>(transfer);
  try {
    return t.on_bytes({bytes, n}) ? n : CURL_WRITEFUNC_ERROR;
  } catch (...) {
    t.thrown = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

}  // namespace

Transfer::Transfer() : easy(curl_easy_init()) {
  if (easy == nullptr) throw_resource("libcurl has no memory");
}

Transfer::~Transfer() {
  curl_slist_free_all(headers);
  curl_easy_cleanup(easy);
}

void Transfer::add_header(const std::string& line) {
  curl_slist* longer = curl_slist_append(headers, line.c_str());
  if (longer == nullptr) throw_resource("no memory for a request");
  headers = longer;
}

Transfers::Transfers() {
  start_libcurl();
  multi_ = curl_multi_init();
  if (multi_ == nullptr) throw_resource("libcurl has no memory");
}

Transfers::~Transfers() {
  for (const auto& t : transfers_) curl_multi_remove_handle(multi_, t->easy);
  transfers_.clear();
  curl_multi_cleanup(multi_);
}

void Transfers::start(std::unique_ptr<Transfer> t) {
  t->set(CURLOPT_HTTPHEADER, t->headers);
  t->set(CURLOPT_NOSIGNAL, 1L);
  t->set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // each request a connection of its own
  t->set(CURLOPT_WRITEFUNCTION, &take_bytes);
  t->set(CURLOPT_WRITEDATA, t.get());
  t->set(CURLOPT_PRIVATE, t.get());
  if (const CURLMcode failed = curl_multi_add_handle(multi_, t->easy); failed != CURLM_OK)
    throw_resource("libcurl cannot begin a request: {}", curl_multi_strerror(failed));
  transfers_.push_back(std::move(t));
}

void Transfers::finish(Transfer& transfer, CURLcode code) {
  curl_multi_remove_handle(multi_, transfer.easy);
  const auto it =
      std::find_if(transfers_.begin(), transfers_.end(), [&](const auto& t) { return t.get() == &transfer; });
  const std::unique_ptr<Transfer> kept = std::move(*it);
  *it = std::move(transfers_.back());
  transfers_.pop_back();
  if (kept->thrown) std::rethrow_exception(kept->thrown);
  kept->on_end(code);
}

bool Transfers::finish_ended() {
  bool any = false;
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    const CURLcode code = message->data.result;  // the message is gone once its transfer is
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    finish(*transfer, code);
    any = true;
  }
  return any;
}

void Transfers::step(double seconds) {
  int running = 0;
  curl_multi_perform(multi_, &running);
  if (finish_ended()) return;
  const double milliseconds = std::ceil(std::clamp(seconds, 0.0, 60.0) * 1000);
  curl_multi_poll(multi_, nullptr, 0, static_cast<int>(milliseconds), nullptr);
  curl_multi_perform(multi_, &running);
  finish_ended();
}

}  // namespace fathom::curl
