// Integers rounded to multiples.
#pragma once
#include <type_traits>

namespace fathom {

// The smallest multiple that is not below n; n >= 0, multiple > 0.
template <class Integer>
constexpr Integer rounded_up(Integer n, std::type_identity_t<Integer> multiple) noexcept {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace fathom
