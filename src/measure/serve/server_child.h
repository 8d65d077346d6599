// A server that is started to be measured.
#pragma once
#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fathom::serve_bench {

// Runs a program that, as `fathom serve` does, says " at http://ADDRESS:PORT" on a line of stderr, and ends it when
// this is destroyed: SIGTERM, and SIGKILL ten seconds later. It also ends when this process does.
class ServerChild {
 public:
  // Waits until the line is there and GET /ready answers 200. resource Error with the last words of a program that
  // ends before.
  explicit ServerChild(const std::vector<std::string>& args);
  ~ServerChild();
  ServerChild(const ServerChild&) = delete;
  ServerChild& operator=(const ServerChild&) = delete;

  const std::string& root() const noexcept { return root_; }  // "http://127.0.0.1:40123"

 private:
  void read_lines(int descriptor);
  void take_line(const std::string& line);
  void wait_for_address();
  void wait_until_ready();
  void end() noexcept;
  bool has_ended();

  pid_t pid_ = -1;
  std::string root_;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string found_root_, last_line_;  // under the mutex
  bool silent_ = false;                 // its stderr is closed
};

}  // namespace fathom::serve_bench
