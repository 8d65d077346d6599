#include "checkpoint/tensor_source.h"

#include <fmt/format.h>

namespace fathom {

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace fathom
