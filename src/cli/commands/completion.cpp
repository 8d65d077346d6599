// fathom completion: a script that completes commands, options and their values in a shell.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command_table.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/values.h"

namespace fathom {
namespace {

// 'text' for a POSIX shell and for fish.
std::string quoted(std::string_view text, std::string_view quote_inside) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += quote_inside;
    else
      out += c;
  }
  return out + "'";
}

std::vector<std::string> all_names(const CommandRow& command) {
  std::vector<std::string> names;
  for (const OptionRow& o : command.options) names.insert(names.end(), o.names.begin(), o.names.end());
  return names;
}

// What may stand where no option does: the commands below, or the words that an argument may be.
std::vector<std::string> argument_words(const CommandRow& command, const std::vector<CommandRow>& table) {
  std::vector<std::string> words;
  for (const auto& [name, description] : command.commands) words.push_back(name);
  for (const OptionRow& o : command.options) {
    if (o.names.empty()) words.insert(words.end(), o.choices.begin(), o.choices.end());
    if (o.value == "COMMAND")
      for (const auto& [name, description] : table.front().commands) words.push_back(name);
  }
  return words;
}

// Lines of `case` that know commands by their other names.
std::string alias_cases(const std::vector<CommandRow>& table) {
  std::string out;
  for (const CommandRow& c : table)
    for (const std::string& alias : c.aliases) out += fmt::format("\n      '{}') command='{}' ;;", alias, c.name);
  return out;
}

// "generate:-m|generate:--model": the option of that command, as a pattern of `case`.
std::string bash_pattern(const CommandRow& command, const OptionRow& o) {
  std::string pattern;
  for (const std::string& name : o.names)
    pattern += fmt::format("{}'{}:{}'", pattern.empty() ? "" : "|", command.name, name);
  return pattern;
}

// "'generate'|'chat'": any command, as a pattern of `case`.
std::string command_pattern(const std::vector<CommandRow>& table) {
  std::string pattern;
  for (const CommandRow& c : table)
    if (!c.name.empty()) pattern += fmt::format("{}'{}'", pattern.empty() ? "" : "|", c.name);
  return pattern;
}

std::string bash_script(const std::vector<CommandRow>& table) {
  std::string values, words;
  for (const CommandRow& c : table) {
    for (const OptionRow& o : c.options) {
      if (o.value.empty() || o.names.empty()) continue;
      const std::string reply = o.names_path        ? "_fathom_files"
                                : o.choices.empty() ? "COMPREPLY=()"
                                                    : fmt::format("_fathom_words '{}'", fmt::join(o.choices, " "));
      values += fmt::format("    {}) {}; return ;;\n", bash_pattern(c, o), reply);
    }
    words += fmt::format("    '{}') words='{}' arguments='{}' ;;\n", c.name, fmt::join(all_names(c), " "),
                         fmt::join(argument_words(c, table), " "));
  }
  return fmt::format(
      R"(# Completion of fathom for bash: source this file, or put it into bash-completion's folder under the name fathom.
_fathom_files() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}}
_fathom_words() {{
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}}
_fathom() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words='' arguments='' i
  COMPREPLY=()
  if [ "$cur" = '=' ]; then cur=''; elif [ "$prev" = '=' ]; then prev=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{command:+$command }}${{COMP_WORDS[i]}}" in
      {}) command="${{command:+$command }}${{COMP_WORDS[i]}}" ;;{}
    esac
  done
  case "$command:$prev" in
{}  esac
  case "$command" in
{}  esac
  case "$cur" in
    -*) _fathom_words "$words" ;;
    *) if [ -n "$arguments" ]; then _fathom_words "$arguments"; else _fathom_files; fi ;;
  esac
}}
complete -F _fathom fathom
)",
      command_pattern(table), alias_cases(table), values, words);
}

// What _arguments reads between brackets and behind colons.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const OptionRow& o) {
  if (o.value.empty()) return {};
  const std::string action = o.names_path        ? "_files"
                             : o.choices.empty() ? " "
                                                 : fmt::format("({})", fmt::join(o.choices, " "));
  return fmt::format(":{}:{}", zsh_text(o.value), action);
}

std::string zsh_arguments(const CommandRow& command, const std::vector<CommandRow>& table) {
  std::string out = "_arguments -S";
  for (const OptionRow& o : command.options) {
    for (const std::string& name : o.names)
      out += " \\\n        " + quoted(fmt::format("*{}[{}]{}", name, zsh_text(o.description), zsh_value(o)), "'\\''");
  }
  const std::vector<std::string> words = argument_words(command, table);
  return out + (words.empty() ? " \\\n        '*:file:_files'"
                              : fmt::format(" \\\n        '*:word:({})'", fmt::join(words, " ")));
}

std::string zsh_script(const std::vector<CommandRow>& table) {
  std::string cases;
  for (const CommandRow& c : table) {
    std::string action;
    if (c.commands.empty()) {
      action = zsh_arguments(c, table);
    } else {
      action = "local -a commands=(";
      for (const auto& [name, description] : c.commands)
        action += "\n        " + quoted(zsh_text(name) + ":" + description, "'\\''");
      action += "); _describe command commands";
    }
    cases += fmt::format("    '{}') {} ;;\n", c.name, action);
  }
  return fmt::format(R"(#compdef fathom
# Completion of fathom for zsh: put this file into a folder of $fpath under the name _fathom.
_fathom() {{
  local command='' i
  for ((i = 2; i < CURRENT; i++)); do
    case "${{command:+$command }}${{words[i]}}" in
      {}) command="${{command:+$command }}${{words[i]}}" ;;{}
    esac
  done
  case "$command" in
{}  esac
}}
_fathom "$@"
)",
                     command_pattern(table), alias_cases(table), cases);
}

std::string fish_script(const std::vector<CommandRow>& table) {
  std::string out =
      "# Completion of fathom for fish: put this file into ~/.config/fish/completions under the name fathom.fish.\n"
      "complete -c fathom -f\n";
  const auto is_below = [](const std::string& name) { return name.find(' ') != std::string::npos; };
  const auto escaped = [](std::string_view text) { return quoted(text, "\\'"); };
  for (const CommandRow& c : table) {
    const std::string first = c.name.substr(0, c.name.find(' '));
    const std::string when = c.name.empty() ? "__fish_use_subcommand"
                             : is_below(c.name)
                                 ? fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}",
                                               first, c.name.substr(first.size() + 1))
                                 : fmt::format("__fish_seen_subcommand_from {}{}{}", c.name,
                                               c.aliases.empty() ? "" : " ", fmt::join(c.aliases, " "));
    for (const auto& [name, description] : c.commands)
      out += fmt::format("complete -c fathom -n '{}' -a {} -d {}\n", when, name, escaped(description));
    if (c.commands.empty())
      if (const auto words = argument_words(c, table); !words.empty())
        out += fmt::format("complete -c fathom -n '{}' -a '{}'\n", when, fmt::join(words, " "));
    for (const OptionRow& o : c.options) {
      if (o.names.empty() && !o.names_path) continue;
      std::string line = fmt::format("complete -c fathom -n '{}'", when);
      for (const std::string& name : o.names)
        line += name.starts_with("--") ? fmt::format(" -l {}", name.substr(2)) : fmt::format(" -s {}", name.substr(1));
      if (!o.value.empty() && !o.names.empty()) line += " -r";
      if (o.names_path) line += " -F";
      if (!o.choices.empty()) line += fmt::format(" -a '{}'", fmt::join(o.choices, " "));
      out += line + " -d " + escaped(o.description) + "\n";
    }
  }
  return out;
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("completion", "a script that completes commands and options in a shell");
  const auto shell = std::make_shared<std::string>();
  command.add_option("shell", *shell, "bash, zsh or fish")->required()->transform(one_of({"bash", "zsh", "fish"}));
  command.footer(
      "Examples:\n  source <(fathom completion bash)\n  fathom completion zsh > _fathom\n  fathom completion fish > "
      "fathom.fish");
  command.callback([shell, &app] {
    const std::vector<CommandRow> table = command_table(app);
    write_stdout(*shell == "bash" ? bash_script(table) : *shell == "zsh" ? zsh_script(table) : fish_script(table));
  });
}

}  // namespace fathom
