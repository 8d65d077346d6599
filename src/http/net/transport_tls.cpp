#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "base/error.h"
#include "http/net/transport.h"

namespace fathom::http {
namespace {

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(std::move(socket), *context_) {}

  void handshake(std::function<void(error_code)> then) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(then));
  }
  void read(char* into, size_t size, Transferred then) override {
    stream_.async_read_some(asio::buffer(into, size), std::move(then));
  }
  void write(const char* from, size_t size, Transferred then) override {
    asio::async_write(stream_, asio::buffer(from, size), std::move(then));
  }
  void finish(std::function<void(error_code)> then) override { stream_.async_shutdown(std::move(then)); }
  bool is_tls() const noexcept override { return true; }
  void cancel() noexcept override {
    error_code ignored;
    stream_.next_layer().cancel(ignored);
  }
  void close() noexcept override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }

 private:
  std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<Socket> stream_;
};

void refuse_tls(const std::string& path, const char* what, const error_code& ec) {
  throw_bad_input("{}: {}: {}", path, what, ec.message());
}

void check_key_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    throw_bad_input("{}: everybody on this machine may read or write this private key. Try: chmod 600 {}", path, path);
}

}  // namespace

struct TlsContext::Impl {
  std::shared_ptr<asio::ssl::context> context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
};

TlsContext::TlsContext(const std::string& certificate, const std::string& key) : impl_(std::make_shared<Impl>()) {
  asio::ssl::context& context = *impl_->context;
  error_code ec;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                          asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                          asio::ssl::context::single_dh_use,
                      ec);
  SSL_CTX_set_options(context.native_handle(), SSL_OP_NO_RENEGOTIATION);
  // A key with a passphrase would otherwise ask for it on the terminal.
  context.set_password_callback([](size_t, asio::ssl::context::password_purpose) { return std::string(); }, ec);
  context.use_certificate_chain_file(certificate, ec);
  if (ec) refuse_tls(certificate, "this is not a certificate in PEM form that can be read", ec);
  check_key_file(key);
  context.use_private_key_file(key, asio::ssl::context::pem, ec);
  if (ec) refuse_tls(key, "this is not a private key in PEM form, without a passphrase, of the certificate", ec);
  if (SSL_CTX_check_private_key(context.native_handle()) != 1)
    throw_bad_input("{}: this is not the private key of the certificate {}", key, certificate);
}

TlsContext::~TlsContext() = default;

std::unique_ptr<Transport> TlsContext::transport(Socket socket) const {
  return std::make_unique<TlsTransport>(std::move(socket), impl_->context);
}

}  // namespace fathom::http
