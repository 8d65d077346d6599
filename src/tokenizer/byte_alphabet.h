// GPT-2's byte alphabet: every byte is spelled as one visible character, so that a token is a text whatever its bytes
// are. Printable ASCII and Latin-1 stand for themselves, the other 68 bytes for U+0100, U+0101, ... in order. Space
// becomes U+0120. Source: bytes_to_unicode of github.com/openai/gpt-2, src/encoder.py.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// The code point that spells each byte, 0x21 .. 0x143.
const std::array<uint16_t, 256>& byte_alphabet() noexcept;

// The bytes that a token's spelling stands for; nothing when it has a character outside the alphabet or is not valid
// UTF-8.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

// The spelling of some bytes.
std::string spelling_of_bytes(std::string_view bytes);

}  // namespace fathom
