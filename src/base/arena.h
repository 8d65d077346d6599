// Scratch memory in nested scopes: taking is a pointer bump, and closing a scope gives back all that was taken inside
// it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/machine/huge_pages.h"
#include "base/round.h"

namespace fathom {

// Grows by whole chunks, which it keeps, so that the second step of a run allocates nothing. One thread takes; the
// memory may be used by all. Throws std::bad_alloc.
class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // n uninitialised numbers, 64-byte aligned, valid until the innermost open scope closes.
  template <class T>
  T* take(int64_t n) {
    static_assert(std::is_trivially_copyable_v<T>);
    return static_cast<T*>(take_bytes(static_cast<size_t>(n) * sizeof(T)));
  }

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), chunk_(arena.chunk_), used_(arena.used_) {}
    ~Scope() {
      arena_.chunk_ = chunk_;
      arena_.used_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t chunk_, used_;
  };

  size_t capacity() const noexcept {
    size_t total = 0;
    for (const Chunk& c : chunks_) total += c.size;
    return total;
  }

 private:
  struct Free {
    size_t bytes = 0;
    void operator()(std::byte* p) const noexcept { free_pages(p, bytes, kAlignment); }
  };
  struct Chunk {
    std::unique_ptr<std::byte, Free> data;
    size_t size;
  };
  static constexpr size_t kMinChunk = size_t{1} << 22;

  void* take_bytes(size_t n) {
    n = rounded_up(n, kAlignment);
    while (chunk_ < chunks_.size() && used_ + n > chunks_[chunk_].size) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      const size_t size = std::max(n, kMinChunk);
      chunks_.push_back({{static_cast<std::byte*>(allocate_pages(size, kAlignment)), Free{size}}, size});
      used_ = 0;
    }
    void* p = chunks_[chunk_].data.get() + used_;
    used_ += n;
    return p;
  }

  std::vector<Chunk> chunks_;
  size_t chunk_ = 0, used_ = 0;  // next free byte; chunks after chunk_ are free
};

}  // namespace fathom
