#include "base/machine/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace fathom {
namespace {

std::align_val_t block_alignment(size_t n, size_t alignment) noexcept {
  return std::align_val_t(n >= kHugeBlock ? std::max(alignment, kHugePage) : alignment);
}

}  // namespace

void* allocate_pages(size_t n, size_t alignment) {
  void* p = ::operator new(n, block_alignment(n, alignment));
  if (n >= kHugeBlock) ::madvise(p, n / kHugePage * kHugePage, MADV_HUGEPAGE);  // only advice: a refusal is no error
  return p;
}

void free_pages(void* p, size_t n, size_t alignment) noexcept { ::operator delete(p, block_alignment(n, alignment)); }

void advise_huge(std::span<const std::byte> mapped) noexcept {
  ::madvise(const_cast<std::byte*>(mapped.data()), mapped.size(), MADV_HUGEPAGE);  // madvise's signature is not const
}

}  // namespace fathom
