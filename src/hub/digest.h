// What the hub says of a file's content: the SHA-256 of large files (git-lfs), the git blob SHA-1 of all others.
//     blob = SHA-1("blob " + size in decimal + "\0" + content)
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace fathom::hub {

enum class DigestKind : uint8_t { sha256, git_blob };

struct Digest {
  DigestKind kind = DigestKind::sha256;
  std::string hex = {};  // lower case, 64 or 40 digits
  bool operator==(const Digest&) const = default;
};

const char* name(DigestKind kind) noexcept;  // "SHA-256", "git blob SHA-1"

// Of text that should be one: lower case, or empty where it is not so many hexadecimal digits.
std::string hex_digest(std::string_view text, DigestKind kind);

class Hasher {
 public:
  Hasher(DigestKind kind, uint64_t size);  // of so many bytes
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void add(std::string_view bytes);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest digest_of(DigestKind kind, std::string_view bytes);

// Of a regular file, read from its start; `stop` ends it early with an
// empty digest. resource Error when it cannot be read.
Digest digest_of_file(DigestKind kind, const std::filesystem::path& path, const std::atomic<bool>* stop = nullptr);

}  // namespace fathom::hub
