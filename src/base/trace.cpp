#include "base/trace.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file/file.h"

namespace fathom {
namespace {

int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Recorded {
  const char* name;
  int64_t number, start_ns, end_ns;
};

// Written by its thread alone; read when that thread is outside every zone.
struct ThreadZones {
  int number = 0;
  std::vector<Recorded> zones;
  int64_t n_left_out = 0;
};

// Of all threads of a recording. Threads that are gone leave their zones here.
struct Recording {
  std::mutex mutex;  // of `threads`
  std::vector<std::unique_ptr<ThreadZones>> threads;
  uint64_t number = 0;  // of the recording, so that a thread knows zones of an older one
  int64_t start_ns = 0;
};

Recording& recording() {
  static Recording r;
  return r;
}

thread_local ThreadZones* zones_of_thread = nullptr;
thread_local uint64_t recording_of_thread = 0;
thread_local const char* innermost = nullptr;

// nullptr where memory is short.
ThreadZones* my_zones() noexcept {
  Recording& r = recording();
  if (recording_of_thread == r.number) return zones_of_thread;
  try {
    auto mine = std::make_unique<ThreadZones>();
    const std::lock_guard lock(r.mutex);
    mine->number = static_cast<int>(r.threads.size());
    zones_of_thread = r.threads.emplace_back(std::move(mine)).get();
    recording_of_thread = r.number;
    return zones_of_thread;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Of all threads, from nothing on; the caller is thread 0.
void begin_recording() {
  Recording& r = recording();
  check(!trace::is_recorded.load(std::memory_order_relaxed), "one recording at a time");
  r.threads.clear();
  ++r.number;
  r.start_ns = now_ns();
  my_zones();
  trace::is_recorded.store(true, std::memory_order_release);
}

// Calls add(name, seconds) for every zone that begins at start_ns or later, without the time of zones inside it. At
// start_ns no zone was open, so these are the last ones.
template <class Add>
void for_each_own_time(const std::vector<Recorded>& all, int64_t start_ns, Add add) {
  const auto first =
      std::partition_point(all.begin(), all.end(), [&](const Recorded& z) { return z.start_ns < start_ns; });
  std::vector<Recorded> zones(first, all.end());
  std::stable_sort(zones.begin(), zones.end(), [](const Recorded& a, const Recorded& b) {
    return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.end_ns > b.end_ns;  // the outer one first
  });
  std::vector<const Recorded*> around;
  for (const Recorded& z : zones) {
    while (!around.empty() && around.back()->end_ns <= z.start_ns) around.pop_back();
    const double seconds = static_cast<double>(z.end_ns - z.start_ns) * 1e-9;
    add(z.name, seconds);
    if (!around.empty()) add(around.back()->name, -seconds);
    around.push_back(&z);
  }
}

double microseconds(int64_t ns) { return static_cast<double>(ns) / 1000; }

void write_zone(FileWriter& out, const Recorded& z, int thread, int64_t start_ns) {
  out.write(fmt::format(R"({{"name":"{}","ph":"X","ts":{:.3f},"dur":{:.3f},"pid":{},"tid":{}{}}},)"
                        "\n",
                        z.name, microseconds(z.start_ns - start_ns), microseconds(z.end_ns - z.start_ns), ::getpid(),
                        thread, z.number < 0 ? std::string() : fmt::format(R"(,"args":{{"n":{}}})", z.number)));
}

void write_thread_name(FileWriter& out, int thread, bool last) {
  out.write(fmt::format(R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}}{})"
                        "\n",
                        ::getpid(), thread, thread == 0 ? "caller" : fmt::format("thread {}", thread),
                        last ? "" : ","));
}

}  // namespace

const char* Zone::current() noexcept { return innermost; }

void Zone::begin(const char* name, int64_t number) noexcept {
  name_ = name;
  number_ = number;
  outer_ = innermost;
  innermost = name;
  start_ns_ = now_ns();
}

void Zone::end() noexcept {
  innermost = outer_;
  if (!trace::is_recorded.load(std::memory_order_relaxed)) return;
  ThreadZones* mine = my_zones();
  if (mine == nullptr) return;
  try {
    if (std::ssize(mine->zones) < kMostZones) return mine->zones.push_back({name_, number_, start_ns_, now_ns()});
  } catch (const std::bad_alloc&) {
  }
  ++mine->n_left_out;
}

TraceFile::TraceFile(const std::filesystem::path& path) : path_(path) {
  if (path.empty()) return;
  check_writable(path);
  begin_recording();
  is_recording_ = true;
}

void TraceFile::finish() {
  if (!std::exchange(is_recording_, false)) return;
  trace::is_recorded.store(false, std::memory_order_release);
  check_writable(path_);  // what is mapped by now is an input
  FileWriter out(path_);
  Recording& r = recording();
  int64_t n_left_out = 0;
  for (const auto& t : r.threads) n_left_out += t->n_left_out;
  out.write(
      fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"program\":\"fathom\",\"zones_left_out\":{}}},\n"
                  "\"traceEvents\":[\n",
                  n_left_out));
  for (const auto& t : r.threads)
    for (const Recorded& z : t->zones) write_zone(out, z, t->number, r.start_ns);
  for (const auto& t : r.threads) write_thread_name(out, t->number, t == r.threads.back());
  out.write("]}\n");
  out.commit();
}

void TraceFile::finish_or_say() noexcept {
  try {
    finish();
  } catch (const std::exception& e) {
    std::fputs(fmt::format("fathom: the trace could not be written: {}\n", e.what()).c_str(), stderr);
  }
}

TraceFile::~TraceFile() {
  if (is_recording_) trace::is_recorded.store(false, std::memory_order_release);
}

ZoneProfile::ZoneProfile() : is_own_(!trace::is_recorded.load(std::memory_order_relaxed)) {
  if (is_own_) begin_recording();
  start_ns_ = now_ns();
}

std::vector<ZoneTime> ZoneProfile::finish(std::vector<ZoneTime> times) {
  const auto of = [&](std::string_view name) -> ZoneTime& {
    const auto at = std::find_if(times.begin(), times.end(), [&](const ZoneTime& t) { return t.name == name; });
    return at != times.end() ? *at : times.emplace_back(ZoneTime{.name = name});
  };
  for (const auto& t : recording().threads) {
    double ZoneTime::*const seconds = t->number == 0 ? &ZoneTime::caller_seconds : &ZoneTime::other_seconds;
    for_each_own_time(t->zones, start_ns_, [&](const char* name, double s) { of(name).*seconds += s; });
  }
  return times;
}

ZoneProfile::~ZoneProfile() {
  if (!is_own_) return;
  trace::is_recorded.store(false, std::memory_order_release);
  recording().threads.clear();
}

}  // namespace fathom
