// Text of a model or of a file on its way to a terminal. Its control characters could move the cursor, rewrite what is
// on the screen, set the clipboard or answer for the person at the keyboard; they are shown instead of obeyed.
#pragma once
#include <cstdio>
#include <string>
#include <string_view>

namespace fathom {

// Control characters as `less` shows them: ^X below U+0020 and for U+007F, <9B> from U+0080 to U+009F; '\n' and '\t'
// stay. Bytes that are no UTF-8 become U+FFFD: a terminal may read 0x9B alone as the start of a command.
class TerminalText {
 public:
  // What of the text so far can be shown. A character that is not whole yet waits for the next piece.
  std::string push(std::string_view piece);
  // The rest, when nothing more comes.
  std::string flush();

 private:
  std::string held_;  // the start of a character
};

std::string for_terminal(std::string_view text);

// for_terminal when the descriptor is a terminal, else the bytes as they are.
std::string shown_on(int descriptor, std::string_view text);

// From here on, what is written to `stdout` passes through TerminalText where descriptor 1 is a terminal. Called once,
// before anything is written. Who steers the terminal on purpose (a line editor) opens a stream of its own.
void make_stdout_show_controls();

}  // namespace fathom
