// Aligned memory that owns itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/machine/huge_pages.h"
#include "tensor/view.h"

namespace fathom {

inline constexpr size_t kBufferAlignment = 64;  // one cache line, one AVX-512 register

// n numbers of a trivial type, 64-byte aligned, zero at first. Throws std::bad_alloc.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(int64_t n)
      : data_(static_cast<T*>(allocate_pages(sizeof(T) * static_cast<size_t>(n), kBufferAlignment)),
              Free{sizeof(T) * static_cast<size_t>(n)}),
        size_(n) {
    for (int64_t i = 0; i < n; ++i) data_.get()[i] = T{};
  }
  Buffer(Buffer&& o) noexcept : data_(std::move(o.data_)), size_(std::exchange(o.size_, 0)) {}
  Buffer& operator=(Buffer&& o) noexcept {
    data_ = std::move(o.data_);
    size_ = std::exchange(o.size_, 0);
    return *this;
  }
  T* data() const noexcept { return data_.get(); }
  int64_t size() const noexcept { return size_; }
  T& operator[](int64_t i) const noexcept { return data_.get()[i]; }
  VecView<T> vec() const noexcept { return {data(), size_}; }
  MatView<T> mat(int64_t rows, int64_t cols) const noexcept {
    dcheck(rows * cols <= size_, "the matrix fits the buffer");
    return {data(), rows, cols};
  }

 private:
  struct Free {
    size_t bytes = 0;
    void operator()(T* p) const noexcept { free_pages(p, bytes, kBufferAlignment); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

}  // namespace fathom
