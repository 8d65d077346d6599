// Large blocks of memory in huge pages where the system gives them on request (Linux: transparent_hugepage "madvise"
// or "always"): a walk through gigabytes of weights or activations then misses the TLB hundreds of times less often.
#pragma once
#include <cstddef>
#include <span>

namespace fathom {

inline constexpr size_t kHugePage = size_t{1} << 21;
inline constexpr size_t kHugeBlock = kHugePage * 2;  // smaller blocks stay in ordinary pages

// n bytes at a multiple of `alignment` (a power of two); at a multiple of kHugePage when n >= kHugeBlock. Throws
// std::bad_alloc. To be given back with the same n and alignment.
void* allocate_pages(size_t n, size_t alignment);
void free_pages(void* p, size_t n, size_t alignment) noexcept;

// Asks for mapped bytes of a file in huge pages: Linux gives them where the file system keeps large folios. Only
// advice.
void advise_huge(std::span<const std::byte> mapped) noexcept;

}  // namespace fathom
