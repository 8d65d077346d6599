// The types of Boost.Asio that the server is made of. Included by the .cpp files of this folder and by its own headers
// only: it takes seconds to compile.
#pragma once
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace fathom::http {

namespace asio = boost::asio;
using boost::system::error_code;

// One thread runs all I/O, so that nothing of it needs a strand: a strand takes memory whenever an operation ends, and
// where there is none, what was to be told of it is lost, or the strand stands still for ever.
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

// One thing to do later, on the I/O thread; setting it again, or clearing it, takes the place of what was set before,
// also when that is about to run.
class Deadline {
 public:
  explicit Deadline(const Executor& executor) : timer_(executor) {}

  void set(Clock::duration after, std::function<void()> then) {
    const uint64_t mine = ++*generation_;
    timer_.expires_after(after);
    timer_.async_wait([mine, generation = generation_, then = std::move(then)](const error_code& ec) {
      if (!ec && *generation == mine) then();
    });
  }
  void clear() {
    ++*generation_;
    timer_.cancel();
  }

 private:
  Timer timer_;
  std::shared_ptr<uint64_t> generation_ = std::make_shared<uint64_t>(0);
};

}  // namespace fathom::http
