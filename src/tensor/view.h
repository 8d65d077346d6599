// Typed, non-owning views of rows of numbers.
#pragma once
#include <cstdint>
#include <type_traits>

#include "base/error.h"

namespace fathom {

template <class T>
struct VecView {
  T* data = nullptr;
  int64_t size = 0;

  VecView() = default;
  VecView(T* d, int64_t n) : data(d), size(n) {}
  operator VecView<const T>() const noexcept requires(!std::is_const_v<T>) { return {data, size}; }
  T& operator[](int64_t i) const noexcept { return data[i]; }
  bool empty() const noexcept { return size == 0; }
  VecView sub(int64_t first, int64_t n) const noexcept { return {data + first, n}; }
  T* begin() const noexcept { return data; }
  T* end() const noexcept { return data + size; }
};

// Row i starts at data + i * stride; stride >= cols, in elements.
template <class T>
struct MatView {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;

  MatView() = default;
  MatView(T* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  MatView(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  operator MatView<const T>() const noexcept requires(!std::is_const_v<T>) { return {data, rows, cols, stride}; }
  T* row(int64_t i) const noexcept { return data + i * stride; }
  VecView<T> vec(int64_t i) const noexcept { return {row(i), cols}; }
  T& operator()(int64_t i, int64_t j) const noexcept { return data[i * stride + j]; }
  bool empty() const noexcept { return rows == 0 || cols == 0; }
  MatView sub_rows(int64_t first, int64_t n) const noexcept { return {row(first), n, cols, stride}; }
  MatView sub_cols(int64_t first, int64_t n) const noexcept { return {data + first, rows, n, stride}; }
};

}  // namespace fathom
