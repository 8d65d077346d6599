#include "checkpoint/ggml_types.h"

#include <algorithm>
#include <array>

#include "base/text/suggest.h"

namespace fathom {
namespace {

enum class Kind : uint8_t {
  removed,
  repacked_once,
  coarse,
  ternary,
  small_float,
  activations,
  integers,
  ik,
  ik_repacked
};

struct KindText {
  std::string_view kind, advice;
};
constexpr std::array<KindText, 9> kKinds = {{
    {"a type that llama.cpp took out in 2023", "Convert the original checkpoint again"},
    {"a repacked type that llama.cpp took out in 2024",
     "Take the file of q4_0 or iq4_nl, which holds the same numbers"},
    {"one of llama.cpp's types below 4 bits, which fathom does not compute with",
     "Take a file of q2_k, q3_k_m or iq4_xs, or quantise the original to one"},
    {"one of llama.cpp's types of ternary numbers, for models trained with them", "Take a file of another type"},
    {"a 4-bit floating-point type, which fathom does not compute with",
     "Take a file of iq4_nl or q4_k, or quantise the original to one"},
    {"a type of activations, which are not stored", "The file is damaged or was made by another program's mistake"},
    {"a type of numbers that are no weights of the family", "Is it a model of the DeepSeek family?"},
    {"one of ik_llama.cpp's own types, which fathom does not compute with",
     "Take a file of the types of llama.cpp, such as iq4_xs or q4_k_m, or quantise the original to one"},
    {"a type that ik_llama.cpp repacks weights to",
     "Take the file from before the repacking, or run its llama-quantize "
     "on the original without it"},
}};

struct Row {
  int64_t ggml_type;
  std::string_view name;
  Kind kind;
};
// ggml.h of llama.cpp v0.5.0 and of ik_llama.cpp.
constexpr Row kTypes[] = {
    {4, "q4_2", Kind::removed},
    {5, "q4_3", Kind::removed},
    {9, "q8_1", Kind::activations},
    {15, "q8_k", Kind::activations},
    {16, "iq2_xxs", Kind::coarse},
    {17, "iq2_xs", Kind::coarse},
    {18, "iq3_xxs", Kind::coarse},
    {19, "iq1_s", Kind::coarse},
    {21, "iq3_s", Kind::coarse},
    {22, "iq2_s", Kind::coarse},
    {24, "i8", Kind::integers},
    {25, "i16", Kind::integers},
    {26, "i32", Kind::integers},
    {27, "i64", Kind::integers},
    {28, "f64", Kind::integers},
    {29, "iq1_m", Kind::coarse},
    {31, "q4_0_4_4", Kind::repacked_once},
    {32, "q4_0_4_8", Kind::repacked_once},
    {33, "q4_0_8_8", Kind::repacked_once},
    {34, "tq1_0", Kind::ternary},
    {35, "tq2_0", Kind::ternary},
    {36, "iq4_nl_4_4", Kind::repacked_once},
    {37, "iq4_nl_4_8", Kind::repacked_once},
    {38, "iq4_nl_8_8", Kind::repacked_once},
    {39, "mxfp4", Kind::small_float},
    {40, "nvfp4", Kind::small_float},
    {41, "q1_0", Kind::coarse},
    {42, "q2_0", Kind::coarse},
    {97, "q8_0_x4", Kind::activations},
    {98, "q8_1_x4", Kind::activations},
    {99, "q8_2_x4", Kind::activations},
    {133, "q6_0", Kind::ik},
    {134, "iq1_bn", Kind::ternary},
    {135, "iq2_bn", Kind::ternary},
    {136, "q8_k64", Kind::activations},
    {137, "iq2_k", Kind::ik},
    {138, "iq3_k", Kind::ik},
    {139, "iq4_k", Kind::ik},
    {140, "iq5_k", Kind::ik},
    {141, "iq6_k", Kind::ik},
    {142, "iq2_tn", Kind::ternary},
    {143, "iq1_tn", Kind::ternary},
    {144, "iq4_ks", Kind::ik},
    {145, "iq2_ks", Kind::ik},
    {146, "iq4_kss", Kind::ik},
    {147, "q8_k16", Kind::activations},
    {148, "q8_k32", Kind::activations},
    {149, "q8_kr8", Kind::activations},
    {150, "q8_k128", Kind::activations},
    {151, "q8_kv", Kind::ik},
    {152, "iq5_ks", Kind::ik},
    {153, "iq2_kt", Kind::ik},
    {154, "iq3_kt", Kind::ik},
    {155, "iq4_kt", Kind::ik},
    {156, "iq3_ks", Kind::ik},
    {157, "iq2_kl", Kind::ik},
    {158, "iq1_kt", Kind::ik},
    {202, "q4_0_r8", Kind::ik_repacked},
    {206, "q5_0_r4", Kind::ik_repacked},
    {208, "q8_0_r8", Kind::ik_repacked},
    {210, "q2_k_r4", Kind::ik_repacked},
    {211, "q3_k_r4", Kind::ik_repacked},
    {212, "q4_k_r4", Kind::ik_repacked},
    {213, "q5_k_r4", Kind::ik_repacked},
    {214, "q6_k_r4", Kind::ik_repacked},
    {216, "iq2_xxs_r4", Kind::ik_repacked},
    {217, "iq2_xs_r4", Kind::ik_repacked},
    {218, "iq3_xxs_r4", Kind::ik_repacked},
    {219, "iq1_s_r4", Kind::ik_repacked},
    {220, "iq4_nl_r4", Kind::ik_repacked},
    {221, "iq3_s_r4", Kind::ik_repacked},
    {222, "iq2_s_r4", Kind::ik_repacked},
    {223, "iq4_xs_r8", Kind::ik_repacked},
    {229, "iq1_m_r4", Kind::ik_repacked},
    {230, "bf16_r16", Kind::ik_repacked},
    {233, "q6_0_r4", Kind::ik_repacked},
    {335, "iq2_bn_r4", Kind::ik_repacked},
    {337, "iq2_k_r4", Kind::ik_repacked},
    {338, "iq3_k_r4", Kind::ik_repacked},
    {339, "iq4_k_r4", Kind::ik_repacked},
    {340, "iq5_k_r4", Kind::ik_repacked},
    {344, "iq4_ks_r4", Kind::ik_repacked},
    {352, "iq5_ks_r4", Kind::ik_repacked},
    {353, "mxfp4_r8", Kind::ik_repacked},
    {397, "q8_k_r16", Kind::ik_repacked},
    {398, "q8_kv_r8", Kind::ik_repacked},
    {399, "q8_k_r8", Kind::ik_repacked},
};

template <class Match>
std::optional<ForeignType> find(Match&& match) noexcept {
  const Row* row = std::find_if(std::begin(kTypes), std::end(kTypes), match);
  if (row == std::end(kTypes)) return std::nullopt;
  const KindText& text = kKinds[static_cast<size_t>(row->kind)];
  return ForeignType{row->name, text.kind, text.advice};
}

}  // namespace

std::optional<ForeignType> foreign_type(int64_t ggml_type) noexcept {
  return find([&](const Row& r) { return r.ggml_type == ggml_type; });
}
std::optional<ForeignType> foreign_type(std::string_view name) noexcept {
  return find([&](const Row& r) { return equal_in_any_case(r.name, name); });
}

}  // namespace fathom
