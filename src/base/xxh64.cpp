#include "base/xxh64.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>
#include <new>

namespace fathom {

void Xxh64::Free::operator()(XXH64_state_s* state) const noexcept { XXH64_freeState(state); }

Xxh64::Xxh64(uint64_t seed) : state_(XXH64_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH64_reset(state_.get(), seed);
}

void Xxh64::update(std::span<const std::byte> bytes) noexcept {
  XXH64_update(state_.get(), bytes.data(), bytes.size());
}

uint64_t Xxh64::digest() const noexcept { return XXH64_digest(state_.get()); }

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed) noexcept {
  return XXH64(bytes.data(), bytes.size(), seed);
}

std::string hash_text(uint64_t hash) { return fmt::format("{:016x}", hash); }

bool parse_hash(std::string_view text, uint64_t& hash) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  return text.size() == 16 && error == std::errc() && end == text.data() + text.size();
}

}  // namespace fathom
