#include "http/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.h"
#include "base/file/file.h"
#include "base/text/suggest.h"
#include "base/text/utf8.h"
#include "http/parse/token.h"

namespace fathom::http {
namespace {

constexpr size_t kShortestKey = 16;
constexpr uint64_t kLargestFile = 1 << 20;

std::array<unsigned char, 32> sha256(std::string_view text) noexcept {
  std::array<unsigned char, 32> digest{};
  check(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1, "SHA-256 failed");
  return digest;
}

std::optional<std::array<unsigned char, 32>> digest_of_hex(std::string_view text) {
  if (text.size() != 64) return std::nullopt;
  std::array<unsigned char, 32> digest{};
  for (size_t i = 0; i < 64; ++i) {
    const size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(text[i] | 0x20));
    if (digit == std::string_view::npos || (text[i] < '0')) return std::nullopt;
    digest[i / 2] = static_cast<unsigned char>(digest[i / 2] * 16 + digit);
  }
  return digest;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

bool is_plain_key(std::string_view text) {
  return text.starts_with("sk-") && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

std::string read_key_file(const std::filesystem::path& path) {
  const std::string text = read_file(path, kLargestFile);
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    throw_bad_input("{}: everybody on this machine may read or write this file of API keys. Try: chmod 600 {}",
                    path.string(), path.string());
  return text;
}

}  // namespace

KeySet::KeySet(std::string_view text, const std::string& where) {
  text = without_byte_order_mark(text);
  for (size_t at = 0, number = 1; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    add_line(trimmed(line.substr(0, line.find('#'))), fmt::format("{}, line {}", where, number));
    at = end + 1;
  }
  if (keys_.empty())
    throw_bad_input("{}: there is no key in it. A line is NAME: followed by the SHA-256 of a key, or by sk-...", where);
}

KeySet::KeySet(const std::filesystem::path& path) : KeySet(read_key_file(path), path.string()) {}

void KeySet::add_line(std::string_view line, const std::string& place) {
  if (line.empty()) return;
  const size_t colon = line.find(':');
  ApiKey key;
  if (colon != std::string_view::npos) key.name = trimmed(line.substr(0, colon));
  if (!is_token_id(key.name))
    throw_bad_input("{}: a line begins with NAME: of letters, digits, '.', '_' and '-'", place);
  std::string_view value = trimmed(line.substr(colon + 1));
  if (const size_t space = value.find_first_of(" \t"); space != std::string_view::npos) {
    if (trimmed(value.substr(space)) != "admin")
      throw_bad_input("{}: behind the key only the word admin may stand", place);
    key.admin = true;
    value = value.substr(0, space);
  }
  if (value.starts_with("sha256:")) value.remove_prefix(7);
  if (const auto digest = digest_of_hex(value)) {
    key.sha256 = *digest;
  } else if (!is_plain_key(value)) {
    throw_bad_input("{}: behind the name stands neither a SHA-256 (64 hexadecimal digits) nor a key (sk-...)", place);
  } else if (value.size() < kShortestKey) {
    throw_bad_input("{}: the key is shorter than {} characters", place, kShortestKey);
  } else {
    key.sha256 = sha256(value);
  }
  for (const ApiKey& other : keys_) {
    if (other.name == key.name) throw_bad_input("{}: the name {} is there already", place, key.name);
    if (other.sha256 == key.sha256) throw_bad_input("{}: the key is that of {}", place, other.name);
  }
  keys_.push_back(std::move(key));
}

const ApiKey* KeySet::find(std::string_view sent) const noexcept {
  if (keys_.empty()) return nullptr;
  const auto digest = sha256(sent);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    const bool equal = CRYPTO_memcmp(key.sha256.data(), digest.data(), digest.size()) == 0;
    found = equal ? &key : found;
  }
  return found;
}

std::string_view sent_key(std::string_view authorization, std::string_view x_api_key) noexcept {
  const std::string_view scheme = "Bearer ";
  if (equal_in_any_case(authorization.substr(0, scheme.size()), scheme))
    return trimmed(authorization.substr(scheme.size()));
  return trimmed(x_api_key);
}

}  // namespace fathom::http
