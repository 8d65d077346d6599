#include "data/hold_out.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/random.h"
#include "base/text/utf8.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

constexpr size_t kSmallestText = 2048, kLeastHeldOut = 4096;
constexpr size_t kSmallestPiece = 256, kLargestPiece = 4096, kPieces = 64;
constexpr uint64_t kSecondSeed = 0x66617468;  // of the other 64 bits that tell documents apart

// Where a piece of about `size` bytes ends: at the next line end, else at a space, else between two characters.
size_t end_of_piece(std::string_view text, size_t size) {
  if (text.size() <= size + size / 2) return text.size();
  for (const char c : {'\n', ' '})
    if (const size_t at = text.substr(0, 2 * size).find(c, size); at != std::string_view::npos) return at + 1;
  return size - unfinished_utf8_tail(text.substr(0, size));
}

std::vector<std::string_view> cut(std::string_view text) {
  const size_t size = std::clamp(text.size() / kPieces, kSmallestPiece, kLargestPiece);
  std::vector<std::string_view> pieces;
  for (; !text.empty(); text.remove_prefix(pieces.back().size()))
    pieces.push_back(text.substr(0, end_of_piece(text, size)));
  return pieces;
}

// The hashes of the pieces to hold out.
std::set<uint64_t> choose(const std::vector<std::string_view>& pieces, size_t wanted, uint64_t seed) {
  std::vector<std::pair<double, std::string_view>> order;
  for (const std::string_view piece : pieces)
    order.emplace_back(held_out_number(seed, xxh64(piece), second_text_hash(piece)), piece);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::set<uint64_t> chosen;
  size_t bytes = 0;
  for (size_t i = 0; i < order.size() && bytes < wanted; ++i) {
    chosen.insert(xxh64(order[i].second));
    bytes += order[i].second.size();
  }
  return chosen;
}

}  // namespace

double held_out_number(uint64_t seed, uint64_t hash, uint64_t second_hash) noexcept {
  return uniform01(seed, hash, second_hash);
}

uint64_t second_text_hash(std::string_view text) noexcept { return xxh64(text, kSecondSeed); }

SplitText hold_out_pieces(std::string_view text, double fraction, uint64_t seed) {
  if (text.size() < kSmallestText) return {.train = {text}, .held_out = {}};
  const std::vector<std::string_view> pieces = cut(text);
  const size_t least = std::min(kLeastHeldOut, text.size() / 10);
  const auto wanted = std::max(least, static_cast<size_t>(fraction * static_cast<double>(text.size())));
  const std::set<uint64_t> chosen = choose(pieces, wanted, seed);
  SplitText out;
  const char* end = nullptr;  // of the part before, when it is on the same side
  bool was_held_out = false;
  for (const std::string_view piece : pieces) {
    const bool held_out = chosen.count(xxh64(piece)) > 0;
    auto& side = held_out ? out.held_out : out.train;
    if (end == piece.data() && held_out == was_held_out)
      side.back() = {side.back().data(), side.back().size() + piece.size()};
    else
      side.push_back(piece);
    end = piece.data() + piece.size();
    was_held_out = held_out;
  }
  if (out.train.empty()) return {.train = {text}, .held_out = {}};  // one piece, again and again
  return out;
}

}  // namespace fathom
