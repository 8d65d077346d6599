// Tensors that a file stores beside what is used, and that say the same.
#pragma once
#include <optional>
#include <string>

#include "checkpoint/tensor_source.h"
#include "config/config.h"
#include "model/weights.h"

namespace fathom {

// Why a tensor that is no part of `weights` changes nothing: "(equal to model.embed_tokens.weight, ...)"; empty when
// that is not worth saying; nothing when it is not known to be so. Reads the numbers of both. bad_input when they
// should be equal and are not.
std::optional<std::string> why_redundant(const ModelConfig& config, const ModelWeights& weights,
                                         const TensorInfo& tensor);

}  // namespace fathom
