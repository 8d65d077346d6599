// A training config for somebody's own data: sizes, ids and a schedule filled in, every line with its reason.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "data/dataset.h"
#include "train/config/train_config.h"

namespace fathom {

// Widths of the residual stream that have a name; with a vocabulary of 4096 about 2, 9, 55 and 390 million parameters.
struct ModelSize {
  std::string_view name;
  int64_t hidden_size;
};
inline constexpr std::array<ModelSize, 4> kModelSizes{{{"tiny", 96}, {"small", 192}, {"medium", 384}, {"large", 768}}};

struct TemplateOptions {
  int64_t hidden_size = kModelSizes[0].hidden_size;  // a multiple of 32
  bool dense = false;                                // no experts
  std::optional<double> tokens = std::nullopt;       // of the whole run
  std::string data_path = "data";                    // as the config is to name it
};

// The width whose model, with this vocabulary, has the number of parameters nearest to `parameters`.
int64_t hidden_size_for(double parameters, int64_t vocab_size, bool dense);

// The text of the file, which parse_train_config reads. A model of V2-Lite's design, width and depth in proportion to
// those of configs/bundled.toml; unless options.tokens says otherwise, tokens for 20 a parameter, but at least one and
// at most four epochs of the data: what a small run can use, and what repeating is worth.
std::string config_template(const TokenDataset& data, const TemplateOptions& options);

}  // namespace fathom
