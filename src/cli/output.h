// What commands write to stdout. A write that fails (a full disk, a reader that has gone) is a resource Error and never
// exit code 0; main() flushes once more at the end, so what goes there by other means is held to the same.
#pragma once
#include <string_view>

#include "base/json.h"

namespace fathom {

// Written and flushed: for text that somebody watches as it comes.
void write_stdout(std::string_view text);

// Everything written so far by whatever means. resource Error when any of it could not be written.
void flush_stdout();

// The value on one line, with its line end. Always valid JSON: numbers that are not finite become null, ill-formed
// UTF-8 (the name of a file may hold any byte) U+FFFD.
std::string to_json_line(json::value value);
void write_json_line(json::value value);  // of stdout

}  // namespace fathom
