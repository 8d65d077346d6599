#include "hub/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace fathom::hub {

struct Hasher::State {
  DigestKind kind;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  explicit State(DigestKind k) : kind(k) {}
  ~State() { EVP_MD_CTX_free(context); }
};

namespace {

size_t digest_length(DigestKind kind) noexcept { return kind == DigestKind::sha256 ? 64 : 40; }

// Open and closed again.
class OpenedFile {
 public:
  explicit OpenedFile(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat st {};
    if (fd_ < 0 || ::fstat(fd_, &st) != 0)
      throw_resource("{}: cannot be opened: {}", path.string(), std::strerror(errno));
    if (!S_ISREG(st.st_mode)) throw_bad_input("{}: is no regular file", path.string());
    size_ = static_cast<uint64_t>(st.st_size);
  }
  ~OpenedFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenedFile(const OpenedFile&) = delete;
  OpenedFile& operator=(const OpenedFile&) = delete;
  int fd() const noexcept { return fd_; }
  uint64_t size() const noexcept { return size_; }

 private:
  int fd_;
  uint64_t size_ = 0;
};

}  // namespace

const char* name(DigestKind kind) noexcept { return kind == DigestKind::sha256 ? "SHA-256" : "git blob SHA-1"; }

std::string hex_digest(std::string_view text, DigestKind kind) {
  std::string out;
  for (const char c : text) {
    const bool is_digit = c >= '0' && c <= '9', is_small = c >= 'a' && c <= 'f', is_capital = c >= 'A' && c <= 'F';
    if (!is_digit && !is_small && !is_capital) return {};
    out += is_capital ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  return out.size() == digest_length(kind) ? out : std::string();
}

Hasher::Hasher(DigestKind kind, uint64_t size) : state_(std::make_unique<State>(kind)) {
  const EVP_MD* method = kind == DigestKind::sha256 ? EVP_sha256() : EVP_sha1();
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, method, nullptr) != 1)
    throw_resource("OpenSSL computes no {} on this machine", name(kind));
  if (kind == DigestKind::git_blob) {
    const std::string head = fmt::format("blob {}", size);
    add({head.c_str(), head.size() + 1});
  }
}

Hasher::~Hasher() = default;

void Hasher::add(std::string_view bytes) {
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "a digest goes on");
}

Digest Hasher::finish() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  check(EVP_DigestFinal_ex(state_->context, bytes, &n) == 1, "a digest ends");
  Digest out{.kind = state_->kind, .hex = {}};
  for (unsigned i = 0; i < n; ++i) out.hex += fmt::format("{:02x}", bytes[i]);
  return out;
}

Digest digest_of(DigestKind kind, std::string_view bytes) {
  Hasher hasher(kind, bytes.size());
  hasher.add(bytes);
  return hasher.finish();
}

Digest digest_of_file(DigestKind kind, const std::filesystem::path& path, const std::atomic<bool>* stop) {
  constexpr size_t kRead = size_t{1} << 20;
  const OpenedFile file(path);
  Hasher hasher(kind, file.size());
  std::vector<char> bytes(kRead);
  for (;;) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return {.kind = kind, .hex = {}};
    const ssize_t n = ::read(file.fd(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_resource("{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (n == 0) return hasher.finish();
    hasher.add({bytes.data(), static_cast<size_t>(n)});
  }
}

}  // namespace fathom::hub
