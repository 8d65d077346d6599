// Transfers of libcurl, many at a time from one thread: what its clients share. Only they include this header, in their
// .cpp files.
#pragma once
#include <curl/curl.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::curl {

// One transfer. Its options are set before it is started; what they point to must outlive it.
struct Transfer {
  Transfer();  // resource Error when libcurl has no memory
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  template <class Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(easy, option, value);
  }
  void add_header(const std::string& line);

  CURL* easy;
  curl_slist* headers = nullptr;
  std::function<bool(std::string_view bytes)> on_bytes = {};  // of the body, as they come; false ends the transfer
  std::function<void(CURLcode code)> on_end = {};             // once, the last call
  std::exception_ptr thrown = {};                             // by on_bytes
};

class Transfers {
 public:
  Transfers();
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  CURLM* multi() noexcept { return multi_; }
  size_t running() const noexcept { return transfers_.size(); }
  void start(std::unique_ptr<Transfer> transfer);
  // Waits at most so long (to the millisecond) for something to do, and does it: the functions are called from here,
  // and what they throw comes out of here. It does not wait when a transfer has ended.
  void step(double seconds);

 private:
  bool finish_ended();
  void finish(Transfer& transfer, CURLcode code);

  CURLM* multi_ = nullptr;
  std::vector<std::unique_ptr<Transfer>> transfers_;
};

}  // namespace fathom::curl
