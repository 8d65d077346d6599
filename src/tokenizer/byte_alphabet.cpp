#include "tokenizer/byte_alphabet.h"

#include "base/text/utf8.h"

namespace fathom {
namespace {

constexpr uint16_t kLastSpelling = 0x143;

constexpr bool spells_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<uint16_t, 256> make_alphabet() {
  std::array<uint16_t, 256> out{};
  uint16_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) out[b] = spells_itself(b) ? static_cast<uint16_t>(b) : next++;
  return out;
}
constexpr std::array<uint16_t, 256> kAlphabet = make_alphabet();

// Byte + 1 of each code point up to kLastSpelling; 0: spells none.
constexpr std::array<uint16_t, kLastSpelling + 1> make_inverse() {
  std::array<uint16_t, kLastSpelling + 1> out{};
  for (uint16_t b = 0; b < 256; ++b) out[kAlphabet[b]] = static_cast<uint16_t>(b + 1);
  return out;
}
constexpr auto kInverse = make_inverse();

}  // namespace

const std::array<uint16_t, 256>& byte_alphabet() noexcept { return kAlphabet; }

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  for (size_t i = 0; i < spelling.size();) {
    const Utf8Char c = decode_utf8(spelling, i);
    if (!c.valid || c.code_point > kLastSpelling || kInverse[c.code_point] == 0) return std::nullopt;
    out += static_cast<char>(kInverse[c.code_point] - 1);
    i += c.length;
  }
  return out;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char b : bytes) append_utf8(out, kAlphabet[static_cast<uint8_t>(b)]);
  return out;
}

}  // namespace fathom
