// Characters sorted into fewer than 64 kinds, so that one word says which a set of texts holds: for skipping over whole
// branches of a vocabulary that an automaton reads without ever changing its place.
#pragma once
#include <array>
#include <cstdint>

namespace fathom::grammar {

using CharKinds = uint64_t;  // a set of them, a bit each

inline constexpr int kTwoBytes = 41, kThreeBytes = 42, kFourBytes = 43;  // characters of so many bytes
inline constexpr CharKinds kIllFormed = CharKinds{1} << 63;              // bytes that are not part of UTF-8 there

// The kind of an ASCII character. Letters of either case, digits and rare control characters are one each; space, tab,
// line ends, DEL and every other character are kinds of their own.
constexpr int ascii_kind(uint8_t c) {
  if (c >= 'a' && c <= 'z') return 0;
  if (c >= 'A' && c <= 'Z') return 1;
  if (c >= '0' && c <= '9') return 2;
  switch (c) {
    case '\t':
      return 4;
    case '\n':
      return 5;
    case '\r':
      return 6;
    case ' ':
      return 7;
    case 0x7F:
      return 8;
    default:
      break;
  }
  if (c < ' ') return 3;
  if (c < '0') return 9 + (c - '!');   // 9 to 23
  if (c < 'A') return 24 + (c - ':');  // to 30
  if (c < 'a') return 31 + (c - '[');  // to 36
  return 37 + (c - '{');               // to 40
}

// Which bytes may come next within a character, after those that have been read.
struct Continuation {
  uint8_t first = 0, last = 0;  // of the next byte
  int left = 0;                 // bytes still to come; 0: the character is whole
  int kind = -1;                // of the character; -1: ill-formed
  bool operator==(const Continuation&) const = default;
};

constexpr Continuation begin_char(uint8_t byte) {
  if (byte < 0x80) return {0, 0, 0, ascii_kind(byte)};
  if (byte >= 0xC2 && byte <= 0xDF) return {0x80, 0xBF, 1, kTwoBytes};
  if (byte >= 0xE0 && byte <= 0xEF)
    return {static_cast<uint8_t>(byte == 0xE0 ? 0xA0 : 0x80), static_cast<uint8_t>(byte == 0xED ? 0x9F : 0xBF), 2,
            kThreeBytes};
  if (byte >= 0xF0 && byte <= 0xF4)
    return {static_cast<uint8_t>(byte == 0xF0 ? 0x90 : 0x80), static_cast<uint8_t>(byte == 0xF4 ? 0x8F : 0xBF), 3,
            kFourBytes};
  return {};
}

// One byte further; what does not fit is ill-formed, and the next byte begins a character.
constexpr Continuation next_in_char(const Continuation& at, uint8_t byte) {
  if (at.left == 0) return begin_char(byte);
  if (byte < at.first || byte > at.last) return {};
  return {0x80, 0xBF, at.left - 1, at.kind};
}

}  // namespace fathom::grammar
