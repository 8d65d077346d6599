// Named zones of time, kept while a trace is recorded (--trace FILE) and written as JSON in Chrome's Trace Event
// Format, which chrome://tracing, Perfetto (ui.perfetto.dev) and Speedscope read. Source of the format:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
//
// While none is recorded a zone costs one load and one branch. There is one recording at a time in a process.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

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

// The recording, from construction to destruction, and the file that finish() writes: a run that is refused, or ends
// before it, leaves a file that is there alone. One thread makes and destroys it, at a time when no other is inside a
// zone. An empty path records nothing.
class TraceFile {
 public:
  // Errors as of check_writable(), so that what cannot be written is refused before work begins.
  explicit TraceFile(const std::filesystem::path& path);
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

  // Ends the recording and writes it. Errors as of check_writable() and FileWriter. Nothing for an empty path, or a
  // second time, whether or not the first succeeded.
  void finish();
  // The same where a run ends by another error or by a signal, which is what it shall end by: an error of the file is
  // said on stderr.
  void finish_or_say() noexcept;

 private:
  std::filesystem::path path_;
  bool is_recording_ = false;
};

// Zones of one name, summed: their time without that of the zones inside them.
struct ZoneTime {
  std::string_view name;
  double caller_seconds = 0;  // on the thread that made the profile
  double other_seconds = 0;   // on the others, all together
};

// What a span of time was spent on, from construction to finish(), by zones that begin in it. Records on its own where
// no TraceFile records, beside which it reads what is recorded there. The thread that makes it is the one that made the
// TraceFile; both ends are at times when no thread is inside a zone.
class ZoneProfile {
 public:
  ZoneProfile();
  ~ZoneProfile();
  ZoneProfile(const ZoneProfile&) = delete;
  ZoneProfile& operator=(const ZoneProfile&) = delete;

  // By name, in no order; added to the times of other spans, where there are some.
  std::vector<ZoneTime> finish(std::vector<ZoneTime> times = {});

 private:
  bool is_own_ = false;  // the recording
  int64_t start_ns_ = 0;
};

}  // namespace fathom
