// For test programs that draw text: fontconfig 2.14 keeps about a kilobyte, once a process, that LeakSanitizer cannot
// see a pointer to. The sanitizer asks this function what to pass over; without a sanitizer nobody calls it.
#pragma once

extern "C" __attribute__((visibility("default"), used)) const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig"; }
