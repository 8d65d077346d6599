// A connected socket, plain or within TLS. All functions are called on the I/O thread, and callbacks run there; where
// memory runs out on the way to one, it is destroyed without having been called.
#pragma once
#include <string>

#include "http/net/asio.h"

namespace fathom::http {

using Transferred = std::function<void(error_code, size_t)>;

class Transport {
 public:
  virtual ~Transport() = default;
  virtual void handshake(std::function<void(error_code)> then) = 0;
  virtual void read(char* into, size_t size, Transferred then) = 0;         // at least one byte; one read at a time
  virtual void write(const char* from, size_t size, Transferred then) = 0;  // all of it; one write at a time
  // Says that nothing more will be sent. With TLS no read may be under way, and none may follow.
  virtual void finish(std::function<void(error_code)> then) = 0;
  virtual bool is_tls() const noexcept = 0;
  virtual void cancel() noexcept = 0;  // what is under way fails with operation_aborted
  virtual void close() noexcept = 0;
};

std::unique_ptr<Transport> plain_transport(Socket socket);

// Certificate and key for the transports of new connections.
class TlsContext {
 public:
  // PEM files. A one-line Error when one cannot be read, the key is not that of the certificate or needs a passphrase,
  // or everybody may read the key.
  TlsContext(const std::string& certificate, const std::string& key);
  ~TlsContext();
  std::unique_ptr<Transport> transport(Socket socket) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fathom::http
