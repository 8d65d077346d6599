// The memory that the body of a request takes. Every allocation of this program is counted here.
#include <gtest/gtest.h>
#include <malloc.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>

#include "kernels/peak.h"
#include "server/api/parameters.h"

namespace {

std::atomic<int64_t> live_bytes = 0, peak_bytes = 0, allocations = 0;

void* allocate(size_t bytes) noexcept {
  void* p = std::malloc(bytes == 0 ? 1 : bytes);
  if (p == nullptr) return nullptr;
  ++allocations;
  const int64_t now = live_bytes += static_cast<int64_t>(malloc_usable_size(p));
  for (int64_t peak = peak_bytes; now > peak && !peak_bytes.compare_exchange_weak(peak, now);) {
  }
  return p;
}

void* allocate_or_throw(size_t bytes) {
  if (void* p = allocate(bytes)) return p;
  throw std::bad_alloc();
}

void release(void* p) noexcept {
  if (p != nullptr) live_bytes -= static_cast<int64_t>(malloc_usable_size(p));
  std::free(p);
}

}  // namespace

void* operator new(size_t n) { return allocate_or_throw(n); }
void* operator new[](size_t n) { return allocate_or_throw(n); }
void* operator new(size_t n, const std::nothrow_t&) noexcept { return allocate(n); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return allocate(n); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, size_t) noexcept { release(p); }
void operator delete[](void* p, size_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }

namespace fathom::server {
namespace {

struct Cost {
  double bytes, allocations, seconds;
};

Cost cost_of_reading(const std::string& body) {
  constexpr std::array kList = {Parameter{"list", Parameter::Type::array}, Parameter{"map", Parameter::Type::object},
                                Parameter{"text", Parameter::Type::text}};
  const int64_t live = live_bytes, count = allocations;
  peak_bytes = live;
  const double start = clock_seconds(true);
  try {
    const Parameters p(body, std::array{std::span<const Parameter>(kList)});
    EXPECT_TRUE(p.has("list") || p.has("map") || p.has("text"));
  } catch (const ApiError& e) {
    EXPECT_EQ(e.info().status, 400);
    EXPECT_LT(e.info().message.size(), 500u);
  }
  return {static_cast<double>(peak_bytes - live), static_cast<double>(allocations - count),
          clock_seconds(true) - start};
}

std::string repeated(const std::string& begin, const std::string& piece, size_t n, const std::string& end) {
  std::string out = begin;
  out.reserve(begin.size() + n * piece.size() + end.size());
  for (size_t i = 0; i < n; ++i) out += piece;
  return out + end;
}

std::string many_keys(const std::string& begin, size_t n, const std::string& end) {
  std::string out = begin;
  for (size_t i = 0; i < n; ++i) out += fmt::format("{}\"{:x}\":1", i == 0 ? "" : ",", i);
  return out + end;
}

// 16 times the body takes 16 times the memory and the work, and never more than a bound for each of its bytes. (A time
// that grew with the square would be 256 times as long.)
TEST(RequestMemory, OfAMillionElementsIsBoundedAndLinear) {
  constexpr size_t kMillion = 1'000'000, kText = 16 << 20;
  const std::pair<size_t, std::function<std::string(size_t)>> bodies[] = {
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",0", n, "]}"); }},
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",[[]]", n, "]}"); }},
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",{\"a\":\"\"}", n, "]}"); }},
      {kMillion, [](size_t n) { return many_keys("{\"map\":{", n, "}}"); }},
      {kMillion / 8, [](size_t n) { return many_keys("{", n, "}"); }},  // none of them known
      {kText, [](size_t n) { return repeated("{\"text\":\"", "a", n, "\"}"); }},
      {kText / 8, [](size_t n) { return repeated("{\"text\":\"", "\\u00e9\\n", n, "\"}"); }},
      {kText, [](size_t n) { return repeated("{\"", "a", n, "\":1}"); }},
      {kText, [](size_t n) { return repeated("{\"map\":{\"", "a", n, "\":1}}"); }},
      {kText, [](size_t n) { return repeated("{\"text\":\"\",", " ", n, "}"); }},
      {kText, [](size_t n) { return repeated("{\"list\":[", "1", n, "]}"); }},
  };
  for (const auto& [n, body_of] : bodies) {
    const std::string part = body_of(n / 16), whole = body_of(n);
    const Cost a = cost_of_reading(part), b = cost_of_reading(whole);
    const std::string name = whole.substr(0, 20);
    EXPECT_LE(b.bytes, 40.0 * static_cast<double>(whole.size())) << name;
    EXPECT_LE(b.bytes, 24 * a.bytes + (1 << 20)) << name;
    EXPECT_LE(b.allocations, 24 * a.allocations + 100) << name;
    EXPECT_LE(b.seconds, 100 * a.seconds + 0.5) << name;
  }
}

}  // namespace
}  // namespace fathom::server
