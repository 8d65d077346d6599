// Any bytes as a file of API keys: refused with an Error that shows none of it, or keys that are found.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "http/keys.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fathom;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const http::KeySet keys(text, "fuzz");
    check(!keys.empty(), "a file without keys is refused");
    if (const http::ApiKey* key = keys.find(text)) check(!key->name.empty(), "a key has a name");
  } catch (const Error& e) {
    check(std::string_view(e.what()).find('\n') == std::string_view::npos, "an Error is one line");
  }
  return 0;
}
