#include "measure/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): unistd.h declares it under _GNU_SOURCE alone

namespace fathom {
namespace {

constexpr size_t kKept = size_t{64} << 10;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_resource("a pipe cannot be made: {}", std::strerror(errno));
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read() {
    if (read >= 0) ::close(std::exchange(read, -1));
  }
  void close_write() {
    if (write >= 0) ::close(std::exchange(write, -1));
  }
};

pid_t start(const std::vector<std::string>& args, const Pipe& out, const Pipe& errors) {
  std::vector<std::string> words = args;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write, 1);
  posix_spawn_file_actions_adddup2(&actions, errors.write, 2);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw_resource("{} cannot be started: {}", args[0], std::strerror(failed));
  return pid;
}

// Appends what is there to read; closes the end at end of file.
void drain(Pipe& pipe, std::string& text) {
  std::array<char, 4096> bytes{};
  const ssize_t n = ::read(pipe.read, bytes.data(), bytes.size());
  if (n > 0)
    text.append(bytes.data(), static_cast<size_t>(n));
  else if (n == 0 || errno != EINTR)
    pipe.close_read();
}

void cut(std::string& text) {
  if (text.size() > kKept) text.erase(0, text.size() - kKept);
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& args,
                          const std::function<void(const std::string&)>& on_line) {
  Pipe out, errors;
  const pid_t pid = start(args, out, errors);
  out.close_write();
  errors.close_write();
  ProcessResult result;
  std::string pending;
  while (out.read >= 0 || errors.read >= 0) {
    std::array<pollfd, 2> ends = {{{out.read, POLLIN, 0}, {errors.read, POLLIN, 0}}};
    if (::poll(ends.data(), ends.size(), -1) < 0) continue;  // EINTR
    if (ends[1].revents != 0) drain(errors, result.errors);
    if (ends[0].revents != 0) drain(out, pending);
    for (size_t end = 0; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      const std::string line = pending.substr(0, end);
      result.out += line + "\n";
      if (on_line) on_line(line);
    }
    cut(result.out);
    cut(result.errors);
  }
  result.out += pending;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t before = text.find_last_of('\n', end);
  return text.substr(before == std::string::npos ? 0 : before + 1,
                     end - (before == std::string::npos ? 0 : before + 1) + 1);
}

}  // namespace fathom
