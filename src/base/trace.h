// Named zones of time, kept while a trace is recorded (--trace FILE) and written as JSON in Chrome's Trace Event
// Format, which chrome://tracing, Perfetto (ui.perfetto.dev) and Speedscope read. Source of the format:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
//
// While none is recorded a zone costs one load and one branch. There is one recording at a time in a process.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/file/file.h"

namespace fathom {

namespace trace {
inline std::atomic<bool> is_recorded = false;
}

// From its construction to its destruction, on the thread that makes it. Zones of a thread nest. Throws nothing; where
// memory is short, or after kMostZones of a thread, zones are counted and left out.
class Zone {
 public:
  // name: a literal, which must live as long as the process. number: shown beside it (a layer, rows); negative: none.
  explicit Zone(const char* name, int64_t number = -1) noexcept {
    if (trace::is_recorded.load(std::memory_order_relaxed)) begin(name, number);
  }
  ~Zone() {
    if (name_ != nullptr) end();
  }
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

  // The innermost zone of the calling thread, for what other threads do for it; nullptr: none, or nothing is recorded.
  static const char* current() noexcept;

 private:
  void begin(const char* name, int64_t number) noexcept;
  void end() noexcept;

  const char* name_ = nullptr;  // nullptr: nothing is recorded
  const char* outer_ = nullptr;
  int64_t number_ = 0, start_ns_ = 0;
};

inline constexpr int64_t kMostZones = int64_t{1} << 22;  // of one thread: 128 MB

// The recording, from construction to destruction, and the file that it ends in. One thread makes and destroys it, at a
// time when no other is inside a zone. An empty path records nothing.
class TraceFile {
 public:
  // Opens the file, so that what cannot be written is refused before work begins: errors as of FileWriter.
  explicit TraceFile(const std::filesystem::path& path);
  // Writes the file if finish() has not; says on stderr when that fails.
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  // Ends the recording and writes it. Errors as of FileWriter. Nothing for an empty path, or a second time.
  void finish();

 private:
  std::filesystem::path path_;
  std::optional<FileWriter> writer_;
};

}  // namespace fathom
