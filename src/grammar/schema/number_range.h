// Decimal numbers between two bounds, exactly.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "grammar/expression.h"

namespace fathom::grammar {

// A bound of a range: its decimal digits, as "12.5" or "-3".
struct Bound {
  bool negative = false;
  std::string whole = "0";  // without leading zeros
  std::string fraction;     // without trailing zeros
  bool exclusive = false;
  bool is_zero() const noexcept { return whole == "0" && fraction.empty(); }
};

// Of a JSON number: the shortest decimal that names the same double. Nothing when it needs more than 18 digits on one
// side of the point.
std::optional<Bound> bound_of(double number, bool exclusive);
Bound bound_of(int64_t number, bool exclusive);

struct NumberRange {
  std::optional<Bound> min, max;
  int64_t max_fraction = 0;  // digits behind the point; 0: whole numbers
  int64_t multiple_of = 1;   // whole numbers only; 1 to kMaxMultiple
};
inline constexpr int64_t kMaxMultiple = 1000;

// The numbers of the range without exponents, leading zeros or "-0"; whole numbers have at most 18 digits where no
// bound says more, multiples at most 15 in all. A range in which there is none matches nothing.
Expr number_in(const NumberRange& range, Expressions& out);

}  // namespace fathom::grammar
