// Stored tensors by name, whatever the file format. Names are those of the file; shapes are outermost first ([out,
// in]).
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file/file.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

namespace fathom {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;        // outermost first; every dimension >= 1; empty never occurs
  std::span<const std::byte> bytes;  // lives as long as the source
  std::string file;                  // for messages

  int64_t elements() const noexcept {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // In file order.
  virtual const std::vector<TensorInfo>& tensors() const noexcept = 0;
  // nullptr when there is none of that name.
  virtual const TensorInfo* find(std::string_view name) const noexcept = 0;
  // What to call it in messages: the folder or file as the user gave it.
  virtual const std::string& where() const noexcept = 0;
  // The files that the tensors' bytes lie in; none when they lie elsewhere.
  virtual std::span<const MappedFile> files() const noexcept { return {}; }
};

// "[512, 2048]"
std::string shape_text(std::span<const int64_t> shape);

// The tensor as a matrix: [rows, cols] as it is, [cols] as one row. Any other number of dimensions, a row that is no
// whole number of blocks, or a count of bytes that does not follow from shape and dtype is refused (bad_input, naming
// file and tensor). scale_inv stays unset: the reader of an f8_e4m3 tensor sets it.
Weight as_matrix(const TensorInfo& tensor);

// Matrix `expert` of a stack of experts [n_experts, rows, cols], with the same checks; expert must be in range
// (bad_input otherwise).
Weight expert_matrix(const TensorInfo& tensor, int64_t expert);

}  // namespace fathom
