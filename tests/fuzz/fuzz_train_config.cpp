// Any bytes as a training config: refused with an Error, or a config whose values are those that a checkpoint keeps and
// that may go on under itself.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "train/run/resume_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const fathom::TrainConfig config = fathom::parse_train_config(text, "fuzz", ".");
    const auto changes = fathom::check_config_unchanged(fathom::config_values(config), config, {.step = 10}, "fuzz");
    if (!changes.empty()) std::abort();
  } catch (const fathom::Error&) {
  }
  return 0;
}
