#include "quant/decode.h"

#include <gtest/gtest.h>

#include "kernels/inputs.h"

namespace fathom {
namespace {

// Equal bits, or both NaN: a conversion may quieten a signalling NaN.
void expect_same(const std::vector<float>& got, const std::vector<float>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << ": element " << i << " is " << got[i] << ", want " << want[i];
  }
}

void check_all_tables(DType t, const std::byte* bytes, int64_t n) {
  std::vector<float> want(static_cast<size_t>(n));
  decode_blocks(t, bytes, n, want.data());
  for (const KernelTable* k : runnable_kernels()) {
    SCOPED_TRACE(std::string(name(k->isa)) + " " + std::string(name(t)));
    std::vector<float> got(want.size() + 1, 12345.0f);
    decoder(*k, t)(bytes, n, got.data());
    EXPECT_EQ(got.back(), 12345.0f) << "written past the end";
    got.pop_back();
    expect_same(got, want, "decode");
  }
}

TEST(Decode, EveryTableGivesTheBitsOfTheDefinition) {
  for (const DTypeInfo& d : kDTypes)
    for (int64_t blocks : {1, 2, 3, 7, 16, 33})
      for (int misaligned : {0, 1, 3}) {
        const StoredWeight s = random_weight(d.dtype, 1, blocks * d.block_elements, 10, misaligned);
        check_all_tables(d.dtype, s.w.data, s.w.cols);
      }
}

TEST(Decode, AnyBitsAtAllDecodeAlike) {  // scales that are infinite, NaN, subnormal, and codes at their ends
  for (const DTypeInfo& d : kDTypes)
    for (uint64_t seed = 0; seed < 50; ++seed) {
      std::vector<std::byte> bytes(static_cast<size_t>(4 * d.block_bytes));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(philox(seed, 3, i)[0] & 255);
      if (seed == 0) std::fill(bytes.begin(), bytes.end(), std::byte{0});
      if (seed == 1) std::fill(bytes.begin(), bytes.end(), std::byte{255});
      if (seed == 2) std::fill(bytes.begin(), bytes.end(), std::byte{128});
      check_all_tables(d.dtype, bytes.data(), 4 * d.block_elements);
    }
}

TEST(Decode, EveryCodeOfTheShortTypes) {
  std::vector<uint16_t> codes(65536);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  const auto* bytes = reinterpret_cast<const std::byte*>(codes.data());
  check_all_tables(DType::f16, bytes, 65536);
  check_all_tables(DType::bf16, bytes, 65536);
  check_all_tables(DType::f8_e4m3, bytes, 131072);
}

}  // namespace
}  // namespace fathom
