#include "checkpoint/shard_name.h"

#include <fmt/format.h>

#include <charconv>

namespace fathom {
namespace {

// Five digits, not zero; nothing when they are not.
std::optional<int> five_digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.size() != 5 || error != std::errc() || end != text.data() + 5 || value < 1) return std::nullopt;
  return value;
}

}  // namespace

std::string ShardName::file(int other, std::string_view extension) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, other, count, extension);
}

std::optional<ShardName> parse_shard_name(std::string_view file_name, std::string_view extension) {
  constexpr size_t kTail = std::string_view("-00000-of-00000").size();
  if (!file_name.ends_with(extension) || file_name.size() < kTail + extension.size()) return std::nullopt;
  file_name.remove_suffix(extension.size());
  const std::string_view tail = file_name.substr(file_name.size() - kTail);
  const auto number = five_digits(tail.substr(1, 5)), count = five_digits(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !number || !count || *number > *count) return std::nullopt;
  return ShardName{std::string(file_name.substr(0, file_name.size() - kTail)), *number, *count};
}

}  // namespace fathom
