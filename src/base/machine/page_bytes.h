// What the allocator of large blocks (huge_pages.h) counts.
#pragma once
#include <cstdint>

namespace fathom {

// Bytes that allocate_pages has given and that free_pages has not got back, of the whole process: every Buffer, arena
// and packed weight, as long as it lives. Any thread may ask.
int64_t page_bytes_in_use() noexcept;

}  // namespace fathom
