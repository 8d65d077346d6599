// Any bytes as a list of CPUs: none, or numbers that ascend and stay in range.
#include <cstdint>
#include <cstdlib>

#include "base/machine/numa.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto cpus = fathom::parse_cpu_list({reinterpret_cast<const char*>(data), size});
  if (!cpus) return 0;
  for (size_t i = 0; i < cpus->size(); ++i)
    if ((*cpus)[i] < 0 || (*cpus)[i] >= fathom::kMaxListed || (i > 0 && (*cpus)[i] <= (*cpus)[i - 1])) std::abort();
  return 0;
}
