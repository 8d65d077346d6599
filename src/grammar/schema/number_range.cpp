#include "grammar/schema/number_range.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "base/error.h"

namespace fathom::grammar {
namespace {

constexpr size_t kFreeDigits = 18;
constexpr size_t kMultipleDigits = 15;  // readers that make doubles of them still see multiples

// An automaton of the magnitudes between two bounds. A state says how many digits are still to come in front of the
// point (or how many have come behind it), whether the digits so far are those of the lower or upper bound, and the
// remainder of the number so far. Only a number as long as a bound can have its digits.
class MagnitudeGraph {
 public:
  MagnitudeGraph(const std::optional<Bound>& low, const std::optional<Bound>& high, const NumberRange& range,
                 Expressions& out)
      : low_(low.value_or(Bound{})), high_(high), range_(range), out_(out) {}

  Graph run() {
    const size_t longest = high_ ? high_->whole.size() : std::max(kFreeDigits, low_.whole.size());
    const size_t end = range_.multiple_of == 1 ? longest : std::min(longest, kMultipleDigits);
    for (size_t length = low_.whole.size(); length <= end; ++length)
      for (int digit = length == 1 ? 0 : 1; digit < 10; ++digit)
        read_digit(0, {static_cast<int64_t>(length), length == low_.whole.size(), high_ && length == longest, 0},
                   digit);
    while (!work_.empty()) {
      const State s = work_.back();
      work_.pop_back();
      expand(s, index_.at(s));
    }
    return std::move(graph_);
  }

 private:
  // left > 0: digits to come in front of the point; left <= 0: -left have come behind it.
  struct State {
    int64_t left;
    bool at_low, at_high;
    int64_t remainder;
    bool operator<(const State& o) const {
      return std::tie(left, at_low, at_high, remainder) < std::tie(o.left, o.at_low, o.at_high, o.remainder);
    }
  };

  static int digit_at(const Bound& bound, int64_t left) {
    if (left > 0) return bound.whole[bound.whole.size() - static_cast<size_t>(left)] - '0';
    const auto place = static_cast<size_t>(-left);
    return place < bound.fraction.size() ? bound.fraction[place] - '0' : 0;
  }
  static bool only_zeros_from(const Bound& bound, int64_t place) {
    return bound.fraction.size() <= static_cast<size_t>(place);
  }

  uint32_t state_of(const State& s) {
    const auto [known, is_new] = index_.try_emplace(s, 0);
    if (is_new) {
      known->second = graph_.add_state();
      work_.push_back(s);
    }
    return known->second;
  }

  // The digit that `s` waits for; falls away when it leaves the range.
  void read_digit(uint32_t from, const State& s, int digit) {
    if (s.at_low && digit < digit_at(low_, s.left)) return;
    if (s.at_high && digit > digit_at(*high_, s.left)) return;
    const State to = {s.left - 1, s.at_low && digit == digit_at(low_, s.left),
                      s.at_high && digit == digit_at(*high_, s.left), (s.remainder * 10 + digit) % range_.multiple_of};
    out_.count_graph_edges(1);
    graph_.add(from, digit_text(digit), state_of(to));
  }

  void expand(const State& s, uint32_t index) {
    const int64_t behind = -s.left;
    if (s.left <= 0 && may_end(s)) graph_.accepting.push_back(index);
    if (behind == range_.max_fraction) return;
    uint32_t from = index;
    if (behind == 0) {
      from = graph_.add_state();
      graph_.add(index, out_.literal("."), from);
    }
    for (int digit = 0; digit < 10; ++digit) read_digit(from, s, digit);
  }

  bool may_end(const State& s) const {
    if (s.remainder != 0) return false;
    if (s.at_low && (low_.exclusive || !only_zeros_from(low_, -s.left))) return false;
    return !s.at_high || !high_->exclusive || !only_zeros_from(*high_, -s.left);
  }

  Expr digit_text(int digit) {
    Expr& known = digits_[digit];
    if (known == kNone) known = out_.literal(std::string(1, static_cast<char>('0' + digit)));
    return known;
  }

  static constexpr Expr kNone = UINT32_MAX;
  const Bound low_;
  const std::optional<Bound> high_;
  const NumberRange& range_;
  Expressions& out_;
  Graph graph_;
  std::map<State, uint32_t> index_;
  std::vector<State> work_;
  std::vector<Expr> digits_ = std::vector<Expr>(10, kNone);
};

bool above(const Bound& a, const Bound& b) {  // magnitudes
  if (a.whole.size() != b.whole.size()) return a.whole.size() > b.whole.size();
  return a.whole != b.whole ? a.whole > b.whole : a.fraction > b.fraction;
}

Expr magnitudes(const std::optional<Bound>& low, const std::optional<Bound>& high, const NumberRange& range,
                Expressions& out) {
  if (low && high && above(*low, *high)) return out.nothing();
  return out.graph(MagnitudeGraph(low, high, range, out).run());
}

}  // namespace

std::optional<Bound> bound_of(double number, bool exclusive) {
  Bound out{.negative = number < 0, .whole = {}, .fraction = {}, .exclusive = exclusive};
  std::string text = fmt::format("{}", std::abs(number));
  int64_t exponent = 0;
  if (const size_t e = text.find('e'); e != std::string::npos) {
    exponent = std::stoi(text.substr(e + 1));
    text.resize(e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point) + (point < text.size() ? text.substr(point + 1) : "");
  const int64_t in_front = static_cast<int64_t>(point) + exponent;
  if (in_front > static_cast<int64_t>(kFreeDigits) || in_front < -static_cast<int64_t>(kFreeDigits))
    return std::nullopt;
  if (in_front < 0) digits.insert(0, static_cast<size_t>(-in_front), '0');
  const auto cut = static_cast<size_t>(std::max<int64_t>(in_front, 0));
  if (digits.size() < cut) digits.append(cut - digits.size(), '0');
  out.whole = digits.substr(0, cut);
  out.fraction = digits.substr(cut);
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size()));
  if (out.whole.empty()) out.whole = "0";
  out.fraction.resize(out.fraction.find_last_not_of('0') + 1);
  if (out.fraction.size() > kFreeDigits) return std::nullopt;
  return out;
}

Bound bound_of(int64_t number, bool exclusive) {
  std::string digits = fmt::format("{}", number);
  const bool negative = digits[0] == '-';
  return {.negative = negative, .whole = digits.substr(negative ? 1 : 0), .fraction = {}, .exclusive = exclusive};
}

Expr number_in(const NumberRange& range, Expressions& out) {
  const std::optional<Bound>&min = range.min, &max = range.max;
  std::vector<Expr> ways;
  // Numbers of zero and above.
  if (!max || !max->negative) {
    const bool from_min = min && !min->negative;
    ways.push_back(magnitudes(from_min ? min : std::nullopt, max, range, out));
  }
  // Below zero: the magnitudes from that of max, or from above zero, to that of min.
  if (!min || (min->negative && !min->is_zero())) {
    std::optional<Bound> low =
        max && max->negative
            ? max
            : std::optional<Bound>(Bound{.negative = false, .whole = "0", .fraction = {}, .exclusive = true});
    ways.push_back(out.sequence({out.literal("-"), magnitudes(low, min, range, out)}));
  }
  return out.alternatives(std::move(ways));
}

}  // namespace fathom::grammar
