// Any text as a config.json: refused with an Error, or a config from which weights can be laid out and which survives
// writing and reading.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/footprint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const fathom::ModelConfig config = fathom::config_from_json(text, "fuzz");
    const std::string written = fathom::config_to_json(config, "bfloat16");
    const fathom::ModelConfig again = fathom::config_from_json(written, "written");
    if (!(again == config)) std::abort();
    if (config.num_hidden_layers * (config.n_routed_experts + 1) > 4096)
      return 0;  // a tree of many tensors is valid, but slow to walk
    if (fathom::footprint(config).parameters <= 0) std::abort();
  } catch (const fathom::Error&) {
  }
  return 0;
}
