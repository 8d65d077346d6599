#include "cli/command_table.h"

#include <algorithm>
#include <array>

namespace fathom {
namespace {

// The words of "TEXT:{a,b}", as CLI11 shows the validator that one_of (values.h) makes.
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> words;
  const size_t open = type.find('{');
  if (open == std::string::npos || type.back() != '}') return words;
  for (size_t begin = open + 1; begin < type.size();) {
    const size_t end = std::min(type.find(',', begin), type.size() - 1);
    words.push_back(type.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

bool is_path(const std::string& value) {
  constexpr std::array<std::string_view, 8> kPaths = {"MODEL", "FILE", "DIR", "CONFIG", "IN", "OUT", "RUN", "PATH"};
  return std::any_of(kPaths.begin(), kPaths.end(), [&](std::string_view p) {
    return value.starts_with(p) && (value.size() == p.size() || value[p.size()] == '.' || value[p.size()] == '[');
  });
}

OptionRow row_of(const CLI::Option& option) {
  const std::string type = option.get_items_expected_max() == 0 ? "" : option.get_type_name();
  OptionRow row{.names = {},
                .argument = option.get_name(/*positional=*/true),
                .value = type.substr(0, type.find(':')),
                .description = option.get_description(),
                .default_text = option.get_default_str(),
                .choices = choices_of(type),
                .required = option.get_required()};
  for (const std::string& name : option.get_snames()) row.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) row.names.push_back("--" + name);
  row.names_path = is_path(row.value);
  return row;
}

void add_rows(const CLI::App& app, const std::string& name, std::vector<CommandRow>& table) {
  CommandRow row{.name = name,
                 .description = app.get_description(),
                 .footer = app.get_footer(),
                 .options = {},
                 .commands = {},
                 .aliases = app.get_aliases()};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) row.options.push_back(row_of(*option));
  const auto below = app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); });
  for (const CLI::App* c : below) row.commands.emplace_back(c->get_name(), c->get_description());
  table.push_back(std::move(row));
  for (const CLI::App* c : below) add_rows(*c, name.empty() ? c->get_name() : name + " " + c->get_name(), table);
}

}  // namespace

std::vector<CommandRow> command_table(const CLI::App& root) {
  std::vector<CommandRow> table;
  add_rows(root, "", table);
  return table;
}

}  // namespace fathom
