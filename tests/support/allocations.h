// Counts every allocation of a test program, and makes some of them fail. It replaces operator new, so one file of a
// program includes it.
#pragma once
#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace fathom::testing {

inline std::atomic<int64_t> live_bytes = 0, peak_bytes = 0, allocations = 0;
inline constexpr int64_t kNever = int64_t{1} << 40;
inline std::atomic<int64_t> until_failure = kNever;  // allocations; those from 0 down to -n_failures + 1 fail
inline std::atomic<int64_t> n_failures = 0;
inline thread_local bool is_spared = false;  // no allocation of this thread fails, nor counts for the failures

inline bool fails() noexcept {
  if (is_spared) return false;
  const int64_t left = --until_failure;
  return left <= 0 && left > -n_failures;
}

inline void* allocate(size_t bytes) noexcept {
  if (fails()) return nullptr;
  void* p = std::malloc(bytes == 0 ? 1 : bytes);
  if (p == nullptr) return nullptr;
  ++allocations;
  const int64_t now = live_bytes += static_cast<int64_t>(malloc_usable_size(p));
  for (int64_t peak = peak_bytes; now > peak && !peak_bytes.compare_exchange_weak(peak, now);) {
  }
  return p;
}

inline void* allocate_or_throw(size_t bytes) {
  if (void* p = allocate(bytes)) return p;
  throw std::bad_alloc();
}

inline void release(void* p) noexcept {
  if (p != nullptr) live_bytes -= static_cast<int64_t>(malloc_usable_size(p));
  std::free(p);
}

}  // namespace fathom::testing

void* operator new(size_t n) { return fathom::testing::allocate_or_throw(n); }
void* operator new[](size_t n) { return fathom::testing::allocate_or_throw(n); }
void* operator new(size_t n, const std::nothrow_t&) noexcept { return fathom::testing::allocate(n); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return fathom::testing::allocate(n); }
void operator delete(void* p) noexcept { fathom::testing::release(p); }
void operator delete[](void* p) noexcept { fathom::testing::release(p); }
void operator delete(void* p, size_t) noexcept { fathom::testing::release(p); }
void operator delete[](void* p, size_t) noexcept { fathom::testing::release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { fathom::testing::release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { fathom::testing::release(p); }
