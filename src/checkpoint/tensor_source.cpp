#include "checkpoint/tensor_source.h"

#include <fmt/format.h>

namespace fathom {

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

namespace {

// The stack of `n` matrices (rows, cols) that the tensor's bytes hold, as one Weight of n * rows rows.
Weight stacked_rows(const TensorInfo& t, int64_t n, int64_t rows, int64_t cols) {
  const DTypeInfo& type = info(t.dtype);
  if (cols % type.block_elements != 0) {
    throw_bad_input(
        "{}: tensor {} of shape {} is stored as {}, whose blocks hold {} elements; its rows of {} are no whole number "
        "of blocks",
        t.file, quoted_for_message(t.name), shape_text(t.shape), type.name, type.block_elements, cols);
  }
  int64_t total_rows = 0, bytes = 0;
  if (n < 1 || rows < 1 || cols < 1 || __builtin_mul_overflow(n, rows, &total_rows) ||
      __builtin_mul_overflow(total_rows, row_bytes(t.dtype, cols), &bytes) ||
      static_cast<uint64_t>(bytes) != t.bytes.size()) {
    throw_bad_input("{}: tensor {} of shape {} and type {} does not fit its {} bytes", t.file,
                    quoted_for_message(t.name), shape_text(t.shape), type.name, t.bytes.size());
  }
  return {.dtype = t.dtype, .rows = total_rows, .cols = cols, .data = t.bytes.data()};
}

}  // namespace

Weight as_matrix(const TensorInfo& tensor) {
  const auto& s = tensor.shape;
  if (s.size() == 1) return stacked_rows(tensor, 1, 1, s[0]);
  if (s.size() == 2) return stacked_rows(tensor, 1, s[0], s[1]);
  throw_bad_input("{}: tensor {} has shape {}; a matrix or a vector is needed", tensor.file,
                  quoted_for_message(tensor.name), shape_text(s));
}

Weight expert_matrix(const TensorInfo& tensor, int64_t expert) {
  const auto& s = tensor.shape;
  if (s.size() != 3) {
    throw_bad_input("{}: tensor {} has shape {}; a stack of experts [n_experts, rows, cols] is needed", tensor.file,
                    quoted_for_message(tensor.name), shape_text(s));
  }
  if (expert < 0 || expert >= s[0]) {
    throw_bad_input("{}: tensor {} of shape {} holds experts 0 to {}; expert {} was asked for", tensor.file,
                    quoted_for_message(tensor.name), shape_text(s), s[0] - 1, expert);
  }
  Weight one = stacked_rows(tensor, s[0], s[1], s[2]).sub_rows(expert * s[1], s[1]);
  one.first_row = 0;
  return one;
}

}  // namespace fathom
