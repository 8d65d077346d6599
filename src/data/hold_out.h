// Holding out a part of one text, for data that has too few documents to hold out a whole one.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace fathom {

struct SplitText {
  std::vector<std::string_view> train, held_out;  // parts of the text, in order
};

// Cuts the text into pieces of some hundred bytes to some thousand, at line ends where there are any, and holds out
// those whose hash with the seed comes first (as documents are chosen), until they make up `fraction` of it, but at
// least 4096 bytes, or a tenth of a shorter text: fewer tell little about a model. Equal pieces fall on the same side.
// Neighbours on the same side stay in one part. Nothing is held out of less than 2048 bytes.
SplitText hold_out_pieces(std::string_view text, double fraction, uint64_t seed);

// The number in [0, 1) that decides on which side a document with these two hashes falls.
double held_out_number(uint64_t seed, uint64_t hash, uint64_t second_hash) noexcept;
// The second of them.
uint64_t second_text_hash(std::string_view text) noexcept;

}  // namespace fathom
