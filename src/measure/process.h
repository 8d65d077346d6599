// Runs a program and reads what it prints.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace fathom {

struct ProcessResult {
  int status = 0;           // exit code; 128 + the signal that ended it
  std::string out, errors;  // what it wrote to stdout and stderr, each cut to its last 64 KB
};

// args[0] is looked up in PATH; no shell is between. on_line gets every whole line of stdout as it comes. resource
// Error when the program cannot be started.
ProcessResult run_process(const std::vector<std::string>& args,
                          const std::function<void(const std::string&)>& on_line = {});

// The last line of `text` that is not blank, without white space at its end.
std::string last_line(const std::string& text);

}  // namespace fathom
