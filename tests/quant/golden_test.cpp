// Against PyPI gguf's numpy code, from files that tools/quant/goldens.py wrote. FATHOM_QUANT_GOLDENS names another
// folder of such files (tools/quant/compare.py: many more blocks).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "quant/decode.h"
#include "quant/encode.h"
#include "support/files.h"

namespace fathom {
namespace {

std::filesystem::path golden_folder() {
  const char* other = std::getenv("FATHOM_QUANT_GOLDENS");
  return other != nullptr ? std::filesystem::path(other) : std::filesystem::path(FATHOM_GOLDEN_DIR) / "quant";
}

struct Golden {
  int64_t n_elements = 0;
  std::vector<std::byte> blocks;
  std::vector<float> values;
};

Golden read_golden(DType dtype, std::string_view kind, bool blocks_first) {
  const auto path = golden_folder() / (std::string(name(dtype)) + "." + std::string(kind));
  const std::string text = test::read_text(path);
  if (text.size() < 4) throw_bad_input("{}: missing", path.string());
  int32_t n_blocks = 0;
  std::memcpy(&n_blocks, text.data(), 4);
  Golden g;
  g.n_elements = int64_t{n_blocks} * info(dtype).block_elements;
  g.blocks.resize(static_cast<size_t>(row_bytes(dtype, g.n_elements)));
  g.values.resize(static_cast<size_t>(g.n_elements));
  const size_t value_bytes = g.values.size() * sizeof(float);
  if (text.size() != 4 + g.blocks.size() + value_bytes) throw_bad_input("{}: wrong size", path.string());
  std::memcpy(g.blocks.data(), text.data() + 4 + (blocks_first ? 0 : value_bytes), g.blocks.size());
  std::memcpy(g.values.data(), text.data() + 4 + (blocks_first ? g.blocks.size() : 0), value_bytes);
  return g;
}

class QuantGolden : public ::testing::TestWithParam<DType> {};
class QuantEncodeGolden : public ::testing::TestWithParam<DType> {};

TEST_P(QuantGolden, DecodesEveryBlockToTheSameBits) {
  const Golden g = read_golden(GetParam(), "decode", true);
  std::vector<float> out(g.values.size());
  decode_blocks(GetParam(), g.blocks.data(), g.n_elements, out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    if (std::isnan(g.values[i]) && std::isnan(out[i])) continue;  // payloads may differ
    ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(g.values[i]))
        << "element " << i << ": " << out[i] << " instead of " << g.values[i];
  }
}

TEST_P(QuantEncodeGolden, EncodesEveryBlockToTheSameBytes) {
  const Golden g = read_golden(GetParam(), "encode", false);
  std::vector<std::byte> out(g.blocks.size());
  encode_row(GetParam(), g.values.data(), g.n_elements, out.data());
  const auto block_bytes = static_cast<size_t>(info(GetParam()).block_bytes);
  const bool has_min = GetParam() == DType::q4_1 || GetParam() == DType::q5_1;
  for (size_t i = 0; i < out.size(); ++i) {
    // numpy's minimum of zeros of both signs may be either, ours is +0; they decode alike.
    const bool is_zero_min = has_min && i % block_bytes == 3 && g.blocks[i - 1] == std::byte{0} &&
                             (g.blocks[i] & std::byte{0x7F}) == std::byte{0};
    const std::byte ignored = is_zero_min ? std::byte{0x80} : std::byte{0};
    ASSERT_EQ(out[i] | ignored, g.blocks[i] | ignored) << "block " << i / block_bytes << ", byte " << i % block_bytes;
  }
}

std::string test_name(const ::testing::TestParamInfo<DType>& i) { return std::string(name(i.param)); }

INSTANTIATE_TEST_SUITE_P(All, QuantGolden,
                         ::testing::Values(DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0,
                                           DType::q5_1, DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k,
                                           DType::iq4_nl, DType::iq4_xs),
                         test_name);
INSTANTIATE_TEST_SUITE_P(All, QuantEncodeGolden,
                         ::testing::Values(DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0,
                                           DType::q5_1),
                         test_name);

}  // namespace
}  // namespace fathom
