// Importance files of llama.cpp, both forms: any bytes are read or refused with an Error; what was read is whole.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "checkpoint/imatrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fathom::is_imatrix(bytes);
  try {
    for (const fathom::ImatrixEntry& e : fathom::parse_imatrix(bytes, "fuzz.dat").entries) {
      if (e.rows.empty() || e.mean_squares.empty() || e.mean_squares.size() % e.rows.size() != 0) std::abort();
      for (float x : e.mean_squares)
        if (!(x >= 0)) std::abort();
    }
  } catch (const fathom::Error&) {
  }
  return 0;
}
