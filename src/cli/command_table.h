// All commands and their options as plain rows: what completion scripts and manual pages are made of.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace fathom {

struct OptionRow {
  std::vector<std::string> names;  // "-m", "--model"; of an argument without a name: none
  std::string argument;            // the name of an argument that needs no option's name before it; else empty
  std::string value;               // "MODEL"; empty for a flag
  std::string description, default_text;
  std::vector<std::string> choices;  // all words that the value may be; empty: any
  bool required = false, names_path = false;
};

struct CommandRow {
  std::string name;  // "data build"; empty: fathom itself
  std::string description, footer;
  std::vector<OptionRow> options;
  std::vector<std::pair<std::string, std::string>> commands;  // names and descriptions of those below
  std::vector<std::string> aliases;                           // other names
};

// fathom itself first, then depth first in the order of --help.
std::vector<CommandRow> command_table(const CLI::App& root);

}  // namespace fathom
