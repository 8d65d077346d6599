#include "cli/line_reader.h"

#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace fathom {
namespace {

constexpr int kHistoryLines = 1000;

// libedit reads characters of the locale's encoding; without a UTF-8 locale it would break what is typed into bytes.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

class TerminalReader : public LineReader {
 public:
  explicit TerminalReader(std::filesystem::path history_file) : file_(std::move(history_file)) {
    use_utf8_locale();
    HistEvent event;
    history_ = history_init();
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
    editor_ = el_init("fathom", stdin, stdout, stderr);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &TerminalReader::prompt_of);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_HIST, history, history_);
    el_source(editor_, nullptr);  // ~/.editrc, as other programs with libedit
  }
  ~TerminalReader() override {
    el_end(editor_);
    history_end(history_);
  }
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;

  Line read(const std::string& prompt) override {
    prompt_ = prompt;
    int n = 0;
    errno = 0;
    const char* text = el_gets(editor_, &n);
    if (text == nullptr || n <= 0) {
      const bool interrupted = text == nullptr && n < 0 && errno == EINTR;
      el_reset(editor_);
      std::fputc('\n', stdout);
      return {interrupted ? LineEnd::interrupted : LineEnd::end_of_input, {}};
    }
    std::string line(text, static_cast<size_t>(n));
    if (!line.empty() && line.back() == '\n') line.pop_back();
    return {LineEnd::line, std::move(line)};
  }

  void remember(const std::string& line) override {
    HistEvent event;
    history(history_, &event, H_ENTER, line.c_str());
    if (file_.empty()) return;
    const mode_t mask = umask(077);  // what people ask is theirs alone
    history(history_, &event, H_SAVE, file_.c_str());
    umask(mask);
  }

 private:
  static char* prompt_of(EditLine* editor) {
    TerminalReader* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return self->prompt_.data();
  }

  std::filesystem::path file_;
  std::string prompt_;
  History* history_ = nullptr;
  EditLine* editor_ = nullptr;
};

class PlainReader : public LineReader {
 public:
  Line read(const std::string&) override {
    Line line;
    if (!std::getline(std::cin, line.text)) line.end = LineEnd::end_of_input;
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
    return line;
  }
  void remember(const std::string&) override {}
};

}  // namespace

std::unique_ptr<LineReader> make_terminal_reader(std::filesystem::path history) {
  return std::make_unique<TerminalReader>(std::move(history));
}

std::unique_ptr<LineReader> make_plain_reader() { return std::make_unique<PlainReader>(); }

std::filesystem::path state_file(const std::string& name) {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state == '/')
    folder = state;
  else if (home != nullptr && *home == '/')
    folder = std::filesystem::path(home) / ".local" / "state";
  else
    return {};
  folder /= "fathom";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::filesystem::path() : folder / name;
}

}  // namespace fathom
