// Signals that ask a program to end: SIGINT (Ctrl-C), SIGTERM, and SIGHUP (its terminal is gone).
//
// They end it as they do every program, so that a shell or a supervisor sees by which signal, but first everything
// half-written is removed. A command that has something to finish holds a StopRequest: signals are then only noted.
// One that was ignored when the program began (nohup, a job in the background) stays ignored.
#pragma once
#include <signal.h>

#include <climits>
#include <cstdint>
#include <filesystem>
#include <list>

namespace fathom {

// Called once, by main(), before there are threads. Without it (in tests) the classes below do nothing.
void handle_end_signals() noexcept;

// While it lives, a signal that ends the process waits: between a file that appears on the disk and HalfWritten that
// says so, or between its final name and the end of HalfWritten. Short, and one thread at a time; it may be held twice.
class EndSignalsHeld {
 public:
  EndSignalsHeld() noexcept;
  ~EndSignalsHeld();
  EndSignalsHeld(const EndSignalsHeld&) = delete;
  EndSignalsHeld& operator=(const EndSignalsHeld&) = delete;

 private:
  sigset_t before_{};
};

// Says, while it lives, what to remove when a signal ends the process. Destroyed, it removes nothing: that, or giving
// the file its final name, is left to its owner. Thread-safe.
class HalfWritten {
 public:
  enum class Kind : uint8_t {
    file,
    contents,  // of a folder: its files, and those of the folders in it
    folder     // and the folder
  };
  explicit HalfWritten(const std::filesystem::path& path, Kind kind = Kind::file);
  ~HalfWritten();
  HalfWritten(const HalfWritten&) = delete;
  HalfWritten& operator=(const HalfWritten&) = delete;

  struct Entry {
    std::filesystem::path path;
    Kind kind;
  };

 private:
  std::list<Entry>::iterator entry_;
};

// For a handler of another signal that ends the process: removes all of it at once. After it nothing of this header may
// be used. Async-signal-safe.
void remove_half_written() noexcept;

// While it lives, up to `most` signals are counted and end nothing; one more ends the process as if there were none of
// this, for who does not want to wait. One at a time. System calls that wait begin again.
class StopRequest {
 public:
  explicit StopRequest(int most = INT_MAX) noexcept;
  ~StopRequest();
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;

  int count() const noexcept;   // signals since it was made
  int signal() const noexcept;  // the first of them; 0: none
};

// Ends the process as the signal would have: for who was told of it and has finished.
[[noreturn]] void end_by(int signal) noexcept;

}  // namespace fathom
