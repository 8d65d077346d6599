// What all connections of a server share.
#pragma once
#include <fmt/format.h>

#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "http/keys.h"
#include "http/log.h"
#include "http/net/asio.h"
#include "http/net/connection_table.h"
#include "http/net/transport.h"
#include "http/options.h"
#include "http/router.h"
#include "http/server.h"

namespace fathom::http {

class Core {
 public:
  Core(Options o, Router r, Log l)
      : options(std::move(o)), router(std::move(r)), log(std::move(l)), io(1), handlers(options.threads) {}

  const Options options;
  const Router router;
  const Log log;
  asio::io_context io;        // run by one thread: sockets, timers, and whatever changes a connection
  asio::io_context handlers;  // run by Options::threads: what may take long
  ConnectionTable connections;
  bool local_only = true, unix_socket = false;  // set before the start
  std::string request_id_prefix;                // likewise
  std::atomic<bool> draining{false};
  std::atomic<uint64_t> next_request{0};
  std::atomic<uint64_t> running{0}, accepted{0}, refused{0}, evicted{0}, accept_errors{0}, timeouts{0}, gone{0},
      dropped{0}, received{0}, sent{0};

  std::string new_request_id() { return fmt::format("{}{:06x}", request_id_prefix, next_request++); }

  void set_secrets(std::shared_ptr<const KeySet> keys, std::shared_ptr<const TlsContext> tls) {
    const std::lock_guard lock(mutex_);
    keys_ = std::move(keys);
    tls_ = std::move(tls);
  }
  std::shared_ptr<const KeySet> keys() const {
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  std::shared_ptr<const TlsContext> tls() const {  // null: plain
    const std::lock_guard lock(mutex_);
    return tls_;
  }

  void count_answer(const Route* route, int status) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      ++answered_[{route, status}];
    } catch (const std::bad_alloc&) {  // one that is not counted
      return;
    }
  }
  std::vector<ServerCounts::Answered> answered() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const KeySet> keys_ = std::make_shared<const KeySet>();
  std::shared_ptr<const TlsContext> tls_;
  std::map<std::pair<const Route*, int>, uint64_t> answered_;
};

}  // namespace fathom::http
