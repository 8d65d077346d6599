// Any text as a JSON schema: compiled or refused, within limits; then some tokens under it.
#include "fuzz/grammar_steps.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fathom::fuzz::try_source(data, size,
                                  [](std::string_view text) { return fathom::Grammar::from_json_schema(text); });
}
