// A certificate made here, and OpenSSL as the client.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <csignal>
#include <future>

#include "http/client.h"
#include "support/allocations.h"

namespace fathom::http {
namespace {

struct Certificate {
  explicit Certificate(const std::string& name) {
    const std::string base = std::filesystem::temp_directory_path() / fmt::format("fathom-tls-{}-{}", ::getpid(), name);
    certificate = base + ".crt";
    key = base + ".key";
    write(name);
  }
  ~Certificate() {
    std::filesystem::remove(certificate);
    std::filesystem::remove(key);
  }
  // Self-signed, of an elliptic curve.
  void write(const std::string& name) const {
    EVP_PKEY* pair = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    X509* x = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pair);
    X509_NAME* subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                               -1, 0);
    X509_set_issuer_name(x, subject);
    X509_sign(x, pair, EVP_sha256());
    FILE* out = std::fopen(certificate.c_str(), "w");
    PEM_write_X509(out, x);
    std::fclose(out);
    out = std::fopen(key.c_str(), "w");
    PEM_write_PrivateKey(out, pair, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    std::filesystem::permissions(key, std::filesystem::perms(0600));
    X509_free(x);
    EVP_PKEY_free(pair);
  }
  std::string certificate, key;
};

struct TlsClient {
  explicit TlsClient(int port) : socket(port), context(SSL_CTX_new(TLS_client_method())), ssl(SSL_new(context)) {
    const timeval patience{10, 0};  // then reads fail with SSL_ERROR_WANT_READ
    ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_set_fd(ssl, socket.descriptor());
    connected = SSL_connect(ssl) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  std::string ask(const std::string& request) const {
    SSL_write(ssl, request.data(), static_cast<int>(request.size()));
    return read();
  }
  std::string read() const {
    char buffer[65536];
    const int n = SSL_read(ssl, buffer, sizeof buffer);
    return {buffer, static_cast<size_t>(std::max(n, 0))};
  }
  std::string name() const {
    X509* x = SSL_get1_peer_certificate(ssl);
    char text[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, text, sizeof text);
    X509_free(x);
    return text;
  }
  Client socket;
  SSL_CTX* context;
  SSL* ssl;
  bool connected = false;
};

Options with(const Certificate& c) {
  Options options = quick_options();
  options.tls_certificate = c.certificate;
  options.tls_key = c.key;
  return options;
}

TEST(Tls, ServesAndClosesCleanly) {
  const Certificate c("one");
  TestServer s(with(c));
  EXPECT_TRUE(s.server.address().starts_with("https://127.0.0.1:"));
  const TlsClient client(s.port());
  ASSERT_TRUE(client.connected);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.ask(get("/hello")).ends_with("\r\n\r\nhello "));
  EXPECT_TRUE(client.ask(get("/hello", "Connection: close\r\n")).ends_with("hello "));
  char byte = 0;
  const int n = SSL_read(client.ssl, &byte, 1);
  EXPECT_EQ(SSL_get_error(client.ssl, n), SSL_ERROR_ZERO_RETURN);  // close_notify, no cut
}

TEST(Tls, SurvivesWhatIsNoTls) {
  const Certificate c("two");
  Options options = with(c);
  options.limits.head_time = 200ms;
  TestServer s(options);
  Client plain(s.port()), silent(s.port());
  plain.send(get("/hello"));
  EXPECT_TRUE(plain.ended());
  EXPECT_TRUE(silent.ended());
  EXPECT_TRUE(TlsClient(s.port()).connected);
}

TEST(Tls, SeesThatAClientLeft) {
  const Certificate c("three");
  Router router;
  std::promise<std::shared_ptr<Exchange>> taken;
  router.add("GET", "/take", Access::open,
             [&](const Request&, std::shared_ptr<Exchange> e) { taken.set_value(std::move(e)); });
  TestServer s(with(c), router);
  std::shared_ptr<Exchange> exchange;
  {
    const TlsClient client(s.port());
    const std::string request = get("/take");
    SSL_write(client.ssl, request.data(), static_cast<int>(request.size()));
    exchange = taken.get_future().get();
    exchange->start(200, "text/plain", {});
    exchange->write("x");
    EXPECT_NE(client.read(), "");
  }
  EXPECT_TRUE(eventually([&] { return exchange->gone(); }));
}

// Whichever allocations of the server fail: that connection is answered or closed, nothing stays of it, and the next
// one is answered (G1).
TEST(Tls, MemoryThatRunsOutClosesOneConnection) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a connection that the server has closed
  testing::is_spared = true;
  const Certificate c("memory");
  TestServer s(with(c));
  int answered = 0, closed = 0;
  for (int64_t k = 1;; ++k) {
    testing::n_failures = k % 3 == 0 ? 5 : 1;
    testing::until_failure = k;
    {
      const TlsClient client(s.port());
      if (client.ask(post("/echo", "text", "Connection: close\r\n")).ends_with("\r\n\r\ntext"))
        ++answered;
      else
        ++closed;
      char byte = 0;
      const int n = SSL_read(client.ssl, &byte, 1);
      EXPECT_NE(SSL_get_error(client.ssl, n), SSL_ERROR_WANT_READ) << "neither answered nor closed: " << k;
    }
    const bool has_failed = testing::until_failure <= 0;
    testing::until_failure = testing::kNever;
    ASSERT_TRUE(TlsClient(s.port()).ask(get("/hello", "Connection: close\r\n")).ends_with("hello ")) << k;
    if (!has_failed) break;
  }
  EXPECT_GT(answered, 0);
  EXPECT_GT(closed, 10);
  EXPECT_TRUE(eventually([&] {
    const ServerCounts counts = s.server.counts();
    return counts.connections_open + counts.requests_running == 0;
  }));
}

TEST(Tls, ReadsANewCertificate) {
  const Certificate c("old");
  TestServer s(with(c));
  EXPECT_EQ(TlsClient(s.port()).name(), "old");
  c.write("new");
  s.server.reload_keys();
  EXPECT_EQ(TlsClient(s.port()).name(), "new");
  std::ofstream(c.certificate) << "broken";
  EXPECT_THROW(s.server.reload_keys(), Error);
  EXPECT_EQ(TlsClient(s.port()).name(), "new");
}

TEST(Tls, RefusesBadFiles) {
  const Certificate a("a"), b("b");
  Options mixed = with(a);
  mixed.tls_key = b.key;
  EXPECT_THROW(Server(mixed, Router()), Error);
  std::filesystem::permissions(a.key, std::filesystem::perms(0644));
  EXPECT_THROW(Server(with(a), Router()), Error);
}

}  // namespace
}  // namespace fathom::http
