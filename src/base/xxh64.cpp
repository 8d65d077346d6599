#include "base/xxh64.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace fathom {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu, kPrime3 = 0x165667B19E3779F9u,
                   kPrime4 = 0x85EBCA77C2B2AE63u, kPrime5 = 0x27D4EB2F165667C5u;

template <class T>
uint64_t load(const std::byte* p) noexcept {  // little-endian machines only, as all of fathom's files
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

uint64_t round_of(uint64_t lane, uint64_t input) noexcept { return std::rotl(lane + input * kPrime2, 31) * kPrime1; }

void stripe(std::array<uint64_t, 4>& lanes, const std::byte* p) noexcept {
  for (size_t i = 0; i < 4; ++i) lanes[i] = round_of(lanes[i], load<uint64_t>(p + 8 * i));
}

uint64_t merged(const std::array<uint64_t, 4>& lanes) noexcept {
  uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
  for (const uint64_t lane : lanes) hash = (hash ^ round_of(0, lane)) * kPrime1 + kPrime4;
  return hash;
}

}  // namespace

Xxh64::Xxh64(uint64_t seed) noexcept
    : lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, seed_(seed) {}

void Xxh64::update(std::span<const std::byte> bytes) noexcept {
  const size_t waiting = total_ % rest_.size();
  total_ += bytes.size();
  if (waiting > 0) {
    const size_t n = std::min(rest_.size() - waiting, bytes.size());
    std::copy_n(bytes.begin(), n, rest_.begin() + static_cast<std::ptrdiff_t>(waiting));
    bytes = bytes.subspan(n);
    if (waiting + n < rest_.size()) return;
    stripe(lanes_, rest_.data());
  }
  for (; bytes.size() >= rest_.size(); bytes = bytes.subspan(rest_.size())) stripe(lanes_, bytes.data());
  std::copy(bytes.begin(), bytes.end(), rest_.begin());
}

uint64_t Xxh64::digest() const noexcept {
  uint64_t hash = (total_ >= rest_.size() ? merged(lanes_) : seed_ + kPrime5) + total_;
  const std::byte *p = rest_.data(), *end = p + total_ % rest_.size();
  for (; end - p >= 8; p += 8) hash = std::rotl(hash ^ round_of(0, load<uint64_t>(p)), 27) * kPrime1 + kPrime4;
  for (; end - p >= 4; p += 4) hash = std::rotl(hash ^ load<uint32_t>(p) * kPrime1, 23) * kPrime2 + kPrime3;
  for (; p < end; ++p) hash = std::rotl(hash ^ load<uint8_t>(p) * kPrime5, 11) * kPrime1;
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed) noexcept {
  Xxh64 hash(seed);
  hash.update(bytes);
  return hash.digest();
}

std::string hash_text(uint64_t hash) { return fmt::format("{:016x}", hash); }

bool parse_hash(std::string_view text, uint64_t& hash) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  return text.size() == 16 && error == std::errc() && end == text.data() + text.size();
}

}  // namespace fathom
