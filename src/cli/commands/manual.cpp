// fathom manual: the manual pages, made of the same table as --help (man(7), groff's and mandoc's common part).
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file/file.h"
#include "cli/command_table.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace fathom {
namespace {

// Text of a page: a hyphen that is to be copied stays one, and no line begins with a control character.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

std::string page_name(const CommandRow& command) {
  std::string name = "fathom" + (command.name.empty() ? "" : " " + command.name);
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string option_entry(const OptionRow& o) {
  std::string head;
  for (const std::string& name : o.names) head += fmt::format("{}\\fB{}\\fR", head.empty() ? "" : ", ", roff(name));
  if (o.names.empty()) head = fmt::format("\\fI{}\\fR", roff(o.argument));
  if (!o.value.empty() && !o.names.empty()) head += fmt::format(" \\fI{}\\fR", roff(o.value));
  std::string text = roff(o.description);
  if (!o.choices.empty()) text += fmt::format(" ({})", roff(fmt::format("{}", fmt::join(o.choices, ", "))));
  if (!o.default_text.empty()) text += fmt::format(" [{}]", roff(o.default_text));
  if (o.required) text += " (required)";
  return fmt::format(".TP\n{}\n{}\n", head, text);
}

std::string synopsis(const CommandRow& c) {
  std::string out = fmt::format("\\fBfathom{}\\fR", c.name.empty() ? "" : " " + roff(c.name));
  if (!c.commands.empty()) return out + " \\fICOMMAND\\fR";
  out += " [\\fIOPTION\\fR]...";
  for (const OptionRow& o : c.options)
    if (!o.argument.empty())
      out += fmt::format(" {}\\fI{}\\fR{}", o.required ? "" : "[", roff(o.argument), o.required ? "" : "]");
  return out;
}

// The footer of --help: examples, indented there, keep their lines.
std::string footer(const std::string& text) {
  std::string out;
  bool in_example = false;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    const bool is_example = line.starts_with("  ");
    if (is_example != in_example) out += is_example ? ".PP\n.nf\n" : ".fi\n.PP\n";
    in_example = is_example;
    if (line == "Examples:")
      out += ".SH EXAMPLES\n";
    else if (line.empty())
      out += ".PP\n";
    else
      out += roff(line.substr(is_example ? 2 : 0)) + "\n";
  }
  return out + (in_example ? ".fi\n" : "");
}

std::string page(const CommandRow& c) {
  std::string name = page_name(c), title = name;
  std::transform(title.begin(), title.end(), title.begin(),
                 [](char ch) { return ch >= 'a' && ch <= 'z' ? char(ch - 32) : ch; });
  std::string out = fmt::format(".TH {} 1 \"\" \"fathom {}\" \"fathom\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}\n",
                                title, FATHOM_VERSION, roff(name), roff(c.description), synopsis(c));
  if (!c.commands.empty()) {
    out += ".SH COMMANDS\n";
    for (const auto& [below, description] : c.commands)
      out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(below), roff(description));
  }
  if (!c.options.empty()) out += ".SH OPTIONS\n";
  for (const OptionRow& o : c.options) out += option_entry(o);
  if (!c.footer.empty()) out += ".SH NOTES\n" + footer(c.footer);
  return out +
         ".SH EXIT STATUS\n0: done. 2: something that you can mend, said in one sentence. 1: a defect of fathom.\n";
}

void write_pages(const std::vector<CommandRow>& table, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw_bad_input("{}: cannot be made: {}", folder, error.message());
  for (const CommandRow& c : table) {
    FileWriter file(std::filesystem::path(folder) / (page_name(c) + ".1"));
    file.write(page(c));
    file.commit();
  }
}

void print_page(const std::vector<CommandRow>& table, const std::vector<std::string>& words) {
  const std::string name = fmt::format("{}", fmt::join(words, " "));
  const auto found = std::find_if(table.begin(), table.end(), [&](const CommandRow& c) { return c.name == name; });
  if (found == table.end())
    throw_bad_input("there is no command {}; fathom --help lists them", quoted_for_message(name));
  write_stdout(page(*found));
}

}  // namespace

void add_manual(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("manual", "the manual page of fathom, or of a command of it");
  const auto words = std::make_shared<std::vector<std::string>>();
  const auto folder = std::make_shared<std::string>();
  auto* name = command.add_option("command", *words, "default: fathom itself")->type_name("COMMAND");
  command.add_option("-o,--output", *folder, "write all pages into this folder")->type_name("DIR")->excludes(name);
  command.footer("Examples:\n  fathom manual generate | man -l -\n  fathom manual -o man1");
  command.callback([=, &app] {
    const std::vector<CommandRow> table = command_table(app);
    folder->empty() ? print_page(table, *words) : write_pages(table, *folder);
  });
}

}  // namespace fathom
