#include "base/xxh64.h"

#include <gtest/gtest.h>

#include <vector>

namespace fathom {
namespace {

// Values of the reference implementation (xxHash 0.8.1's XXH64) on bytes (i*i + 7*i) mod 256.
TEST(Xxh64, EqualsTheReferenceForEveryKindOfLength) {
  struct Row {
    size_t length;
    uint64_t seed_0, seed_prime;
  };
  const Row rows[] = {
      {0, 0xef46db3751d8e999u, 0x6ec6d05f61c7e7a7u},   {1, 0xe934a84adb052768u, 0x60508b0ced72c717u},
      {3, 0xbb3a592908a981a8u, 0xb76684d7f964b3a4u},   {4, 0x798a8b758de10b9cu, 0x36775dc72cfb18d1u},
      {7, 0xc524fe6186d68234u, 0x9d96d3c4864c9a97u},   {8, 0x628b254fd17d4862u, 0x4012d2f57e5c4c42u},
      {15, 0x4d507d18ed8c77b7u, 0xa66c919072cf8157u},  {31, 0xff266226c2de2379u, 0x484cad9f9bc03d1bu},
      {32, 0xad211363e6d6be0fu, 0x9c464208aec1cfc5u},  {33, 0xa8489fde2b7ec3aeu, 0x330c5d1f4a520673u},
      {63, 0xe91f43e8d0ae523eu, 0x1d887e41fffd4837u},  {64, 0x81c939fdb6a47468u, 0xa8f874c48c390604u},
      {65, 0x536aef3c02ce033fu, 0xdca2a5900577db32u},  {100, 0xe43cd255bde054f5u, 0xd8c51c9b7ca691a0u},
      {300, 0xed210355d92c9beeu, 0x3f86a2a479234c65u},
  };
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>((i * i + 7 * i) & 255);
  for (const Row& row : rows) {
    EXPECT_EQ(xxh64(std::string_view(bytes).substr(0, row.length)), row.seed_0) << row.length;
    EXPECT_EQ(xxh64(std::string_view(bytes).substr(0, row.length), 0x9E3779B185EBCA87u), row.seed_prime) << row.length;
  }
}

TEST(Xxh64, PiecesGiveTheHashOfTheWhole) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>((i * 31) & 255);
  const auto all = std::as_bytes(std::span(bytes));
  for (const size_t piece : {1, 7, 31, 32, 33, 100, 299}) {
    Xxh64 hash(5);
    for (size_t at = 0; at < all.size(); at += piece) hash.update(all.subspan(at, std::min(piece, all.size() - at)));
    EXPECT_EQ(hash.digest(), xxh64(bytes, 5)) << piece;
  }
}

TEST(Xxh64, TextFormGoesBothWays) {
  uint64_t back = 0;
  for (const uint64_t hash : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{0x0123456789abcdef}}) {
    EXPECT_TRUE(parse_hash(hash_text(hash), back));
    EXPECT_EQ(back, hash);
  }
  for (const char* bad : {"", "123", "0123456789abcdeg", "0123456789abcdef0", "-123456789abcdef", "0x23456789abcdef"})
    EXPECT_FALSE(parse_hash(bad, back)) << bad;
}

}  // namespace
}  // namespace fathom
