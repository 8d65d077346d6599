// What the parts of latent attention in quantised arithmetic cost: the time of a multiply-add, that of scores and
// values in the absorbed form being 1. The form that a sequence is attended in follows from them (mla_int16.h). The
// numbers here are those of an AMD EPYC (Zen 3, AVX2; bench/attention_bench.cpp); engine/tuning/machine_costs.h has
// those of this machine.
#pragma once
#include <array>
#include <string_view>

namespace fathom {

struct MlaCosts {
  double naive = 1.1;          // scores and values of expanded positions
  double fold_packed = 2;      // queries into the latent and values out of it, kv_b_proj packed
  double fold_plain = 2;       //   and kv_b_proj as it is stored
  double expand_packed = 0.7;  // keys and values of the past out of the latent, kv_b_proj packed
  double expand_plain = 1.9;   //   and kv_b_proj as it is stored

  bool operator==(const MlaCosts&) const = default;
};

struct MlaCostName {
  std::string_view name, meaning;
  double MlaCosts::*cost;
};
inline constexpr std::array<MlaCostName, 5> kMlaCosts = {{
    {"naive", "scores and values, expanded", &MlaCosts::naive},
    {"fold_packed", "folding queries and values, packed weights", &MlaCosts::fold_packed},
    {"fold_plain", "folding queries and values, weights as stored", &MlaCosts::fold_plain},
    {"expand_packed", "expanding the past, packed weights", &MlaCosts::expand_packed},
    {"expand_plain", "expanding the past, weights as stored", &MlaCosts::expand_plain},
}};

}  // namespace fathom
