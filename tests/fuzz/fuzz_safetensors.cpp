// Any bytes as a .safetensors file: refused with an Error, or tensors that lie inside the bytes.
#include <cstdint>
#include <cstdlib>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    size_t total = 0;
    for (const fathom::TensorInfo& t : fathom::parse_safetensors(file, "fuzz")) {
      const bool inside = t.bytes.data() >= file.data() && t.bytes.data() + t.bytes.size() <= file.data() + file.size();
      const fathom::PlannedTensor planned{t.name, t.dtype, t.shape};
      if (!inside || planned.bytes() != t.bytes.size()) std::abort();
      total += t.bytes.size();
    }
    if (total > size) std::abort();
  } catch (const fathom::Error&) {
  }
  return 0;
}
