#include "base/machine/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "base/machine/page_bytes.h"

namespace fathom {
namespace {

std::atomic<int64_t> bytes_in_use = 0;

std::align_val_t block_alignment(size_t n, size_t alignment) noexcept {
  return std::align_val_t(n >= kHugeBlock ? std::max(alignment, kHugePage) : alignment);
}

}  // namespace

void* allocate_pages(size_t n, size_t alignment) {
  void* p = ::operator new(n, block_alignment(n, alignment));
  if (n >= kHugeBlock) ::madvise(p, n / kHugePage * kHugePage, MADV_HUGEPAGE);  // only advice: a refusal is no error
  bytes_in_use.fetch_add(static_cast<int64_t>(n), std::memory_order_relaxed);
  return p;
}

void free_pages(void* p, size_t n, size_t alignment) noexcept {
  if (p != nullptr) bytes_in_use.fetch_sub(static_cast<int64_t>(n), std::memory_order_relaxed);
  ::operator delete(p, block_alignment(n, alignment));
}

int64_t page_bytes_in_use() noexcept { return bytes_in_use.load(std::memory_order_relaxed); }

void advise_huge(std::span<const std::byte> mapped) noexcept {
  ::madvise(const_cast<std::byte*>(mapped.data()), mapped.size(), MADV_HUGEPAGE);  // madvise's signature is not const
}

}  // namespace fathom
