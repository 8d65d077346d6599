// What a command line says that is not spelled as fathom spells it.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace fathom {

// The arguments after the program's name, with what has one meaning under another name in fathom's own spelling: `run
// MODEL` is `chat -m MODEL`, `help COMMAND` is `COMMAND --help`; `--name=` is an empty value, not the next argument's.
std::vector<std::string> read_arguments(int argc, const char* const* argv);

// Of arguments that CLI11 takes for a call for help: false where only -hf and its like are there.
bool asks_for_help(const std::vector<std::string>& arguments);

// One sentence on stderr, with what was probably meant; the exit code.
int report_usage_error(const CLI::App& root, const CLI::ParseError& error, const std::vector<std::string>& arguments);

}  // namespace fathom
