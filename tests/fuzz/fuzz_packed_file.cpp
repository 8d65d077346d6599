// The header of a file of packed weights: any bytes are read or refused with an Error. The first byte chooses; with 's'
// the checksum is made to fit, so that what lies behind it is reached. The size of the file is what the header says:
// the weights themselves are never read here.
#include <cstdint>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/xxh64.h"
#include "packing/packed_file.h"

namespace {

void seal(std::string& bytes) {
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 32, sizeof header_bytes);
  if (header_bytes < 56 || header_bytes > bytes.size()) return;
  fathom::Xxh64 hash;
  hash.update(std::as_bytes(std::span(bytes)).first(48));
  hash.update(std::as_bytes(std::span(bytes)).subspan(56, header_bytes - 56));
  const uint64_t checksum = hash.digest();
  std::memcpy(bytes.data() + 48, &checksum, sizeof checksum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  uint64_t file_bytes = 0;
  if (bytes.size() >= 56) {
    std::memcpy(&file_bytes, bytes.data() + 24, sizeof file_bytes);
    if (*data == 's') seal(bytes);
  }
  try {
    const fathom::PackedHeader h =
        fathom::parse_packed_header(std::as_bytes(std::span(bytes)), file_bytes, "fuzz.panels");
    uint64_t end = 0;
    for (const fathom::PackedTensor& t : h.tensors) {
      fathom::check(t.offset >= end && t.offset % fathom::kPackedAlign == 0, "packed weights lie apart and aligned");
      fathom::check(t.bytes() <= file_bytes && t.offset <= file_bytes - t.bytes(),
                    "packed weights lie inside the file");
      end = t.offset + t.bytes();
    }
    fathom::check(bytes.starts_with(fathom::packed_header_bytes(h)), "a header that is read is written alike");
  } catch (const fathom::Error&) {
  }
  return 0;
}
