// API keys: who they belong to, and whether one that came with a request is among them.
//
// A file of lines, read whole; '#' begins a comment:
//
//     NAME: SHA-256 of the key, 64 hexadecimal digits [admin]      printf %s "$KEY" | sha256sum
//     NAME: sk-...          [admin]                                the key itself: works, but whoever reads the file
//                                                                  then has it
//
// A NAME is [A-Za-z0-9._-]{1,64} and stands in logs and metrics. Only digests are kept in memory.
#pragma once
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::http {

struct ApiKey {
  std::string name;
  bool admin = false;
  std::array<unsigned char, 32> sha256{};
};

class KeySet {
 public:
  KeySet() = default;  // no keys are set: nobody is asked for one

  // bad_input Errors name `where` and the line, never what stands in it: a line of another form, a name or a key that
  // occurs twice, a plain key of fewer than 16 characters, no key at all.
  KeySet(std::string_view text, const std::string& where);

  // Of a file; also refused when it is no regular file, larger than 1 MiB, or others than its owner and group may read
  // or write it.
  explicit KeySet(const std::filesystem::path& path);

  bool empty() const noexcept { return keys_.empty(); }
  size_t size() const noexcept { return keys_.size(); }

  // The key that was sent, or null. Hashes what was sent and compares it with every key, in a time that depends on the
  // length of what was sent and on the number of keys only.
  const ApiKey* find(std::string_view sent) const noexcept;

 private:
  void add_line(std::string_view line, const std::string& place);

  std::vector<ApiKey> keys_;
};

// The key of `Authorization: Bearer KEY`, else of `x-api-key: KEY`; empty when there is neither.
std::string_view sent_key(std::string_view authorization, std::string_view x_api_key) noexcept;

}  // namespace fathom::http
