#include <boost/asio/write.hpp>

#include "http/net/transport.h"

namespace fathom::http {
namespace {

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

  void handshake(std::function<void(error_code)> then) override {
    asio::post(socket_.get_executor(), [then = std::move(then)] { then({}); });
  }
  void read(char* into, size_t size, Transferred then) override {
    socket_.async_read_some(asio::buffer(into, size), std::move(then));
  }
  void write(const char* from, size_t size, Transferred then) override {
    asio::async_write(socket_, asio::buffer(from, size), std::move(then));
  }
  void finish(std::function<void(error_code)> then) override {
    error_code ec;
    socket_.shutdown(Socket::shutdown_send, ec);
    asio::post(socket_.get_executor(), [then = std::move(then), ec] { then(ec); });
  }
  bool is_tls() const noexcept override { return false; }
  void cancel() noexcept override {
    error_code ignored;
    socket_.cancel(ignored);
  }
  void close() noexcept override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

}  // namespace

std::unique_ptr<Transport> plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace fathom::http
