// GGUF: any bytes are read or refused with an Error. What was read is then used: every value printed, every tensor
// decoded.
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "checkpoint/gguf.h"
#include "quant/decode.h"

namespace {

void use(const fathom::GgufFile& file) {
  for (const std::string& key : file.metadata.keys()) file.metadata.text(key);
  for (const fathom::TensorInfo& t : file.tensors) {
    std::vector<float> values(static_cast<size_t>(t.elements()));
    fathom::decode_blocks(t.dtype, t.bytes.data(), t.elements(), values.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    use(fathom::parse_gguf(std::as_bytes(std::span(data, size)), "fuzz.gguf"));
  } catch (const fathom::Error&) {
  }
  return 0;
}
