// Lines from a person at a terminal, with editing and history (libedit), or from a file or pipe.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace fathom {

enum class LineEnd { line, end_of_input, interrupted };
struct Line {
  LineEnd end = LineEnd::line;
  std::string text;  // without its newline
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  // prompt: shown by terminals only. interrupted: a signal came; what was typed is dropped.
  virtual Line read(const std::string& prompt) = 0;
  // The line can be had again with the arrow keys.
  virtual void remember(const std::string& line) = 0;
};

// One for stdin and stdout being terminals. history: where lines are kept between runs, written after each one; a file
// that cannot be read or written is done without. Needs signal handlers without SA_RESTART to notice a signal.
std::unique_ptr<LineReader> make_terminal_reader(std::filesystem::path history);
// One for anything else.
std::unique_ptr<LineReader> make_plain_reader();

// ~/.local/state/fathom/NAME (XDG_STATE_HOME moves it), its folder made; empty when there is no place.
std::filesystem::path state_file(const std::string& name);

}  // namespace fathom
