#include "base/interrupt.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "base/error.h"

namespace fathom {
namespace {

constexpr std::array kEndSignals = {SIGINT, SIGTERM, SIGHUP};

// What the handler reads. It runs between any two instructions of any thread, so it may not allocate and may wait for
// no lock that its own thread holds: EndSignalsHeld blocks the signals of its thread while it holds this one.
std::atomic_flag section_lock = ATOMIC_FLAG_INIT;
std::list<HalfWritten::Entry> half_written;
std::atomic<bool> stop_is_noted{false};
std::atomic<int> stop_count{0}, stop_signal{0}, stop_most{0};

thread_local int times_held = 0;

void lock() noexcept {
  if (times_held++ > 0) return;
  while (section_lock.test_and_set(std::memory_order_acquire)) {
  }
}

void unlock() noexcept {
  if (--times_held == 0) section_lock.clear(std::memory_order_release);
}

// Here and below only system calls: readdir() allocates.
struct RawEntry {
  ino64_t inode;
  off64_t next;
  unsigned short length;
  unsigned char type;
  char name[1];
};

void remove_contents(int parent, const char* name, int depth) noexcept {
  const int folder = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (folder < 0) return;
  alignas(RawEntry) std::array<char, 4096> entries;
  for (long n; (n = ::syscall(SYS_getdents64, folder, entries.data(), entries.size())) > 0;) {
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const RawEntry*>(entries.data() + at);
      const char* child = entry->name;
      at += entry->length;
      const bool itself = child[0] == '.' && (child[1] == '\0' || (child[1] == '.' && child[2] == '\0'));
      if (itself || ::unlinkat(folder, child, 0) == 0 || depth == 0) continue;
      remove_contents(folder, child, depth - 1);
      ::unlinkat(folder, child, AT_REMOVEDIR);
    }
  }
  ::close(folder);
}

extern "C" void on_end_signal(int number) {
  if (stop_is_noted.load()) {
    int none = 0;
    stop_signal.compare_exchange_strong(none, number);
    if (stop_count.fetch_add(1) < stop_most.load()) return;
  }
  remove_half_written();
  end_by(number);
}

}  // namespace

void remove_half_written() noexcept {
  lock();  // and keep it: nothing more is begun
  for (const HalfWritten::Entry& e : half_written) {
    if (e.kind == HalfWritten::Kind::file) {
      ::unlink(e.path.c_str());
      continue;
    }
    remove_contents(AT_FDCWD, e.path.c_str(), 2);
    if (e.kind == HalfWritten::Kind::folder) ::rmdir(e.path.c_str());
  }
}

void handle_end_signals() noexcept {
  struct sigaction action = {}, before = {};
  action.sa_handler = on_end_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int s : kEndSignals) sigaddset(&action.sa_mask, s);
  for (const int s : kEndSignals)
    if (::sigaction(s, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) ::sigaction(s, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN);  // a file beyond `ulimit -f` is then an error of its write, which is told as any other
}

void end_by(int signal) noexcept {
  ::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // where it is one that ends nothing
}

EndSignalsHeld::EndSignalsHeld() noexcept {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int s : kEndSignals) sigaddset(&ends, s);
  ::pthread_sigmask(SIG_BLOCK, &ends, &before_);
  lock();
}

EndSignalsHeld::~EndSignalsHeld() {
  unlock();
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

HalfWritten::HalfWritten(const std::filesystem::path& path, Kind kind) {
  std::list<Entry> one{{path, kind}};
  const EndSignalsHeld held;
  half_written.splice(half_written.begin(), one);
  entry_ = half_written.begin();
}

HalfWritten::~HalfWritten() {
  std::list<Entry> one;
  const EndSignalsHeld held;
  one.splice(one.begin(), half_written, entry_);
}

StopRequest::StopRequest(int most) noexcept {
  stop_count.store(0);
  stop_most.store(most);
  stop_signal.store(0);
  check(!stop_is_noted.exchange(true), "one StopRequest at a time");
}

StopRequest::~StopRequest() { stop_is_noted.store(false); }

int StopRequest::count() const noexcept { return stop_count.load(); }
int StopRequest::signal() const noexcept { return stop_signal.load(); }

}  // namespace fathom
