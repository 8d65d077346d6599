// Lines from a person at a terminal, with editing and history (libedit), or from a file or pipe.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace fathom {

enum class LineEnd { line, end_of_input, interrupted, terminated };
struct Line {
  LineEnd end = LineEnd::line;
  std::string text = {};  // without its newline; text that was pasted keeps those within it
  int signal = 0;         // that interrupted or terminated
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  // prompt: shown by terminals only. interrupted: Ctrl-C; what was typed is dropped. terminated: a signal asks the
  // process to end. The terminal is as it was before, whatever ends the line; also while Ctrl-Z stops the process.
  virtual Line read(const std::string& prompt) = 0;
  // The line can be had again with the arrow keys.
  virtual void remember(const std::string& line) = 0;
};

// One for stdin and stdout being terminals. history: where lines are kept between runs, written after each one; a file
// that cannot be read or written is done without.
std::unique_ptr<LineReader> make_terminal_reader(std::filesystem::path history);
// One for anything else.
std::unique_ptr<LineReader> make_plain_reader();

// ~/.local/state/fathom/NAME (XDG_STATE_HOME moves it), its folder made; empty when there is no place.
std::filesystem::path state_file(const std::string& name);

}  // namespace fathom
