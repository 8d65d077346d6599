// What a person types at fathom chat, or a pipe brings: messages and commands, until the end.
#pragma once
#include <string>

#include "cli/chat/chat_session.h"
#include "cli/chat/line_reader.h"

namespace fathom {

struct ChatLook {
  bool interactive = false;  // a person is at the terminal: what goes wrong is said, and the conversation goes on
  bool timing = false;       // tokens and speed of every answer on stderr
  bool json = false;         // an answer is one line of JSON
};

class ChatLoop {
 public:
  ChatLoop(ChatSession& session, ChatLook look) : session_(session), look_(look) {}

  // Until the input ends, or somebody does: 0, or the number of the signal that asked the process to end.
  int run(LineReader& reader);
  // The answer to the conversation that the session holds.
  void answer();

 private:
  struct Message;
  struct Command;
  static const std::vector<Command>& commands();

  Message read_message(LineReader& reader) const;
  Message read_block(LineReader& reader, const std::string& first) const;
  bool handle(const std::string& text);  // false: the conversation is over
  void run_command(const std::string& name, const std::string& argument);
  template <class MakeAnswer>
  void turn(const MakeAnswer& make_answer);
  void report(const Answer& answer) const;

  void clear(const std::string&);
  void system(const std::string& text);
  void regenerate(const std::string&);
  void save(const std::string& file);
  void load(const std::string& file);
  void set(const std::string& setting);
  void help(const std::string&);

  ChatSession& session_;
  const ChatLook look_;
};

// Ctrl-C ends an answer from here on, not the process.
void catch_interrupts();

}  // namespace fathom
