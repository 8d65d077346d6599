#include "measure/serve/server_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "measure/serve/http_client.h"

namespace fathom::serve_bench {
namespace {

using namespace std::chrono_literals;

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char** argv, int errors, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = open("/dev/null", O_RDWR);
  dup2(nothing, 0);
  dup2(nothing, 1);
  dup2(errors, 2);
  execvp(argv[0], argv);
  const char* const words = "it cannot be started\n";
  if (write(2, words, std::strlen(words)) < 0) _exit(126);
  _exit(127);
}

}  // namespace

ServerChild::ServerChild(const std::vector<std::string>& args) {
  std::vector<std::string> words = args;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_resource("a pipe cannot be made: {}", std::strerror(errno));
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(argv.data(), ends[1], parent);
  ::close(ends[1]);
  if (pid_ < 0) {
    ::close(ends[0]);
    throw_resource("{} cannot be started: {}", args[0], std::strerror(errno));
  }
  reader_ = std::thread([this, descriptor = ends[0]] { read_lines(descriptor); });
  try {
    wait_for_address();
    wait_until_ready();
  } catch (...) {
    end();
    throw;
  }
}

ServerChild::~ServerChild() { end(); }

void ServerChild::read_lines(int descriptor) {
  std::string line;
  std::array<char, 4096> bytes{};
  for (;;) {
    const ssize_t n = ::read(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (ssize_t i = 0; i < n; ++i) {
      if (bytes[static_cast<size_t>(i)] != '\n') {
        if (line.size() < 4096) line += bytes[static_cast<size_t>(i)];
        continue;
      }
      take_line(line);
      line.clear();
    }
  }
  ::close(descriptor);
  if (!line.empty()) take_line(line);
  const std::lock_guard lock(mutex_);
  silent_ = true;
  changed_.notify_all();
}

void ServerChild::take_line(const std::string& line) {
  const std::lock_guard lock(mutex_);
  last_line_ = line;
  const size_t at = line.find(" at http");
  if (at == std::string::npos || !found_root_.empty()) return;
  found_root_ = line.substr(at + 4, line.find_first_of(" \r", at + 4) - (at + 4));
  changed_.notify_all();
}

void ServerChild::wait_for_address() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return silent_ || !found_root_.empty(); });
  if (found_root_.empty()) throw_resource("the server ended before it was ready: {}", last_line_);
  root_ = found_root_;
}

void ServerChild::wait_until_ready() {
  while (fetch({.url = root_ + "/ready", .timeout = 10}).status != 200) {
    if (has_ended()) {
      const std::lock_guard lock(mutex_);
      throw_resource("the server ended before it was ready: {}", last_line_);
    }
    std::this_thread::sleep_for(20ms);
  }
}

bool ServerChild::has_ended() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

void ServerChild::end() noexcept {
  if (pid_ > 0) kill(pid_, SIGTERM);
  for (int i = 0; i < 500 && !has_ended(); ++i) std::this_thread::sleep_for(20ms);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
  if (reader_.joinable()) reader_.join();
}

}  // namespace fathom::serve_bench
