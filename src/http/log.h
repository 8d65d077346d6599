// Log lines of a server: text for people or JSON for machines, written by a thread of its own.
//
// Nothing that writes a log ever waits: lines go into a bounded queue, and when it is full the oldest is dropped and
// counted. A full disk, a closed descriptor and a pipe that nobody reads lose lines, nothing else; SIGPIPE is not
// raised.
#pragma once
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

namespace fathom::http {

struct LogOptions {
  bool json = false;
  std::string path = {};  // appended to; empty: standard error
  size_t queue = 4096;    // lines
  bool requests = true;   // a line for every request
};

enum class LogLevel : uint8_t { info, warning, error };

struct AccessLine {
  std::string_view request_id, peer, key_name, method, path;  // the path without the query
  int status = 0;                    // what the client got; 499: it left before its answer was complete
  uint64_t bytes = 0;                // of the body of the answer
  std::chrono::microseconds time{};  // from the first byte of the request to the last of the answer
};

// A handle; copies write to the same log. The last to go writes what is queued and ends the thread. Thread-safe.
class Log {
 public:
  Log() = default;                          // writes nothing
  explicit Log(const LogOptions& options);  // an Error when the file cannot be opened

  // One line: the message, then the fields (names of ours, values from anywhere: they are quoted). Never a key, and of
  // prompts and outputs nothing: that is for the caller to see to.
  struct Field {
    std::string_view name, value;
    bool number = false;  // JSON writes it without quotes
  };
  using Fields = std::initializer_list<Field>;
  void line(LogLevel level, std::string_view message, Fields fields = {}) const noexcept;
  void access(const AccessLine& line) const noexcept;

  // Opens the file again by its path, as when it was moved away; an Error leaves the old one in use. Nothing to do on
  // standard error.
  void reopen() const;

  uint64_t dropped() const noexcept;  // lines so far that were not written

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fathom::http
