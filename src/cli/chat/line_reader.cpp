#include "cli/chat/line_reader.h"

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
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "cli/chat/terminal_signals.h"

namespace fathom {
namespace {

constexpr int kHistoryLines = 1000;

// libedit reads characters of the locale's encoding; without a UTF-8 locale it would break what is typed into bytes.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

// The terminal tells pasted text from typed text, and shows it as a block, from here to the end.
class BracketedPaste {
 public:
  explicit BracketedPaste(bool works) : works_(works) { set("\x1B[?2004h"); }
  ~BracketedPaste() { set("\x1B[?2004l"); }
  BracketedPaste(const BracketedPaste&) = delete;
  BracketedPaste& operator=(const BracketedPaste&) = delete;

 private:
  void set(std::string_view command) const {
    if (works_ && write(STDOUT_FILENO, command.data(), command.size()) < 0) return;  // the terminal has gone
  }
  bool works_;
};
constexpr std::wstring_view kPasteEnd = L"\x1B[201~";

// A terminal that knows no commands: a line is read as the terminal itself edits it.
bool is_plain_terminal() {
  const char* name = std::getenv("TERM");
  return name == nullptr || *name == '\0' || std::strcmp(name, "dumb") == 0;
}

class TerminalReader : public LineReader {
 public:
  explicit TerminalReader(std::filesystem::path history_file)
      : file_(std::move(history_file)), screen_(fdopen(dup(STDOUT_FILENO), "w")) {
    if (screen_ == nullptr) throw_resource("no descriptors are left for the terminal");
    use_utf8_locale();
    HistEvent event;
    history_ = history_init();
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
    editor_ = el_init("fathom", stdin, screen_, stderr);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &TerminalReader::prompt_of);
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_HIST, history, history_);
    el_wset(editor_, EL_GETCFN, &TerminalReader::next_char);
    if (is_plain_) {
      el_set(editor_, EL_EDITMODE, 0);
      return;
    }
    el_set(editor_, EL_EDITOR, "emacs");
    el_wset(editor_, EL_ADDFN, L"fathom-paste", L"insert pasted text", &TerminalReader::insert_paste);
    el_set(editor_, EL_BIND, "\\e[200~", "fathom-paste", nullptr);
    el_set(editor_, EL_BIND, "^I", "ed-insert", nullptr);
    el_source(editor_, nullptr);  // ~/.editrc, as other programs with libedit
  }
  ~TerminalReader() override {
    el_end(editor_);
    history_end(history_);
    std::fclose(screen_);
  }
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;

  Line read(const std::string& prompt) override {
    prompt_ = prompt;
    bytes_.clear();
    last_ = {};
    TerminalSignals signals;
    signals_ = &signals;
    int n = 0;
    paste_.emplace(!is_plain_);
    if (!is_plain_)
      el_set(editor_, EL_PREP_TERM, 1);  // el_gets would do it behind the prompt: a Ctrl-D between is lost
    el_resize(editor_);                  // the size may have changed while nobody read
    const char* text = el_gets(editor_, &n);
    if (text == nullptr || n <= 0) el_reset(editor_);
    paste_.reset();
    signals_ = nullptr;
    if (last_.end == LineEnd::line && text != nullptr && n > 0) {
      last_.text.assign(text, static_cast<size_t>(n));
      if (last_.text.back() == '\n') last_.text.pop_back();
      return std::move(last_);
    }
    if (last_.end == LineEnd::line) last_.end = LineEnd::end_of_input;
    std::fputc('\n', screen_);
    std::fflush(screen_);
    return std::move(last_);
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
  static TerminalReader& self_of(EditLine* editor) {
    TerminalReader* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *self;
  }
  static char* prompt_of(EditLine* editor) { return self_of(editor).prompt_.data(); }

  // libedit's function for one character: 1, 0 at the end of the input, -1 when a signal ends the line.
  static int next_char(EditLine* editor, wchar_t* out) { return self_of(editor).read_char(*out); }

  int read_char(wchar_t& out) {
    while (true) {
      const int signal = signals_->wait_for_input(STDIN_FILENO);
      if (signal != 0) {
        if (!go_on_after(signal)) return -1;
        continue;
      }
      char byte = 0;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) return 0;
      bytes_ += byte;
      if (unfinished_utf8_tail(bytes_) > 0) continue;
      out = static_cast<wchar_t>(decode_utf8(bytes_, 0).code_point);
      bytes_.clear();
      return 1;
    }
  }

  // false: the line ends here, and last_ says why.
  bool go_on_after(int signal) {
    if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) {
      last_.end = signal == SIGINT ? LineEnd::interrupted : LineEnd::terminated;
      last_.signal = signal;
      return false;
    }
    if (signal == SIGTSTP) {
      el_set(editor_, EL_PREP_TERM, 0);
      paste_.reset();
      obey_signal(signal);
    }
    if (signal != SIGWINCH) paste_.emplace(!is_plain_);
    if (signal == SIGWINCH)
      el_resize(editor_);
    else if (!is_plain_)
      el_set(editor_, EL_PREP_TERM, 1);  // a shell has had the terminal
    if (!is_plain_) el_set(editor_, EL_REFRESH);
    return true;
  }

  static unsigned char insert_paste(EditLine* editor, wint_t) {
    std::wstring text;
    while (!text.ends_with(kPasteEnd)) {
      wchar_t c = 0;
      if (el_wgetc(editor, &c) != 1) return CC_EOF;
      if (c != L'\0') text += c == L'\r' ? L'\n' : c;
    }
    text.resize(text.size() - kPasteEnd.size());
    return text.empty() || el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  const bool is_plain_ = is_plain_terminal();
  std::filesystem::path file_;
  std::FILE* screen_;  // stdout shows control characters instead of obeying them (base/text/terminal_text.h)
  std::string prompt_, bytes_;
  Line last_;
  TerminalSignals* signals_ = nullptr;
  std::optional<BracketedPaste> paste_;
  History* history_ = nullptr;
  EditLine* editor_ = nullptr;
};

class PlainReader : public LineReader {
 public:
  Line read(const std::string&) override {
    Line line;
    if (!std::getline(std::cin, line.text)) line.end = LineEnd::end_of_input;
    if (std::exchange(is_first_, false) && line.text.starts_with("\xEF\xBB\xBF")) line.text.erase(0, 3);
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
    return line;
  }
  void remember(const std::string&) override {}

 private:
  bool is_first_ = true;  // a byte order mark in front of it is no text
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
