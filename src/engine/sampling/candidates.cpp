#include "engine/sampling/candidates.h"

#include <algorithm>

#include "base/error.h"
#include "engine/sampling/top_scores.h"

namespace fathom {
Candidates::Candidates(std::span<const float> scores, float largest, double temperature)
    : scores_(scores), largest_(largest), per_degree_(static_cast<float>(std::min(1e30, 1 / temperature))) {
  if (std::ssize(scores) > kMostCandidates)
    throw_bad_input(
        "a vocabulary of {} tokens is sampled greedily alone; other sampling needs at most {}. Use "
        "--temperature 0",
        scores.size(), kMostCandidates);
}

template <bool with_distance>
Candidates::Sums Candidates::sums() const {
  Sums sum;
  if (is_listed_) {
    for (const Candidate& c : listed_) {
      sum.weight += c.weight;
      if (with_distance) {
        const float d = distance(static_cast<size_t>(c.id()));
        sum.weighted_distance += weight_units(exp_minus(d) * d);
      }
    }
    return sum;
  }
  const auto add = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const float d = distance(i), e = exp_minus(d);
      sum.weight += weight_units(e);
      if (with_distance) sum.weighted_distance += weight_units(e * std::min(d, kFarthest));
    }
  };
  size_t i = 0;
  for (; i + kScanBlock <= scores_.size(); i += kScanBlock) {
    uint32_t near = 0;
    for (size_t j = i; j < i + kScanBlock; ++j) near |= distance(j) <= kFarthest ? 1u : 0u;
    if (near != 0) add(i, i + kScanBlock);
  }
  add(i, scores_.size());
  return sum;
}

uint64_t Candidates::total() { return sums<false>().weight; }

float Candidates::mean_distance() {
  const Sums sum = sums<true>();
  return static_cast<float>(static_cast<double>(sum.weighted_distance) / static_cast<double>(sum.weight));
}

void Candidates::list(size_t id, float from_centre) {
  const uint64_t weight = weight_at(distance(id));
  if (weight > 0)
    listed_.push_back({uint64_t{std::bit_cast<uint32_t>(from_centre)} << 32 | static_cast<uint32_t>(id), weight});
}

// Lists those with above < |distance - centre| <= up_to. Returns their weight.
uint64_t Candidates::list_ring(float centre, float above, float up_to) {
  const size_t n_before = listed_.size();
  const auto from_centre = [&](size_t id) { return std::fabs(distance(id) - centre); };
  const auto is_inside = [&](float d) { return d > above && d <= up_to; };
  for (size_t i = 0; i < scores_.size();) {
    const size_t end = std::min(i + kScanBlock, scores_.size());
    uint32_t inside = 0;
    for (size_t j = i; j < end; ++j) inside |= is_inside(from_centre(j)) ? 1u : 0u;
    for (; inside != 0 && i < end; ++i)
      if (const float d = from_centre(i); is_inside(d)) list(i, d);
    i = end;
  }
  uint64_t sum = 0;
  for (size_t i = n_before; i < listed_.size(); ++i) sum += listed_[i].weight;
  return sum;
}

// Rings of growing width: the first mostly holds all that is needed.
void Candidates::list_nearest(float centre, uint64_t target) {
  is_listed_ = true;
  uint64_t sum = 0;
  float above = -1;
  for (float up_to = 2; sum < target && above < kFarthest; above = up_to, up_to *= 2)
    sum += list_ring(centre, above, up_to);
}

void Candidates::list_all() {
  if (is_listed_) return;
  is_listed_ = true;
  list_ring(0, -1, kFarthest);
}

void Candidates::measure_from(float centre) {
  for (Candidate& c : listed_) {
    const auto id = static_cast<uint32_t>(c.id());
    c.key = uint64_t{std::bit_cast<uint32_t>(std::fabs(distance(id) - centre))} << 32 | id;
  }
}

// Puts the fewest nearest whose weights reach target in front, the last of them last, and counts them. Most of the
// weight lies with few, so a quarter is cut off at a time; linear time.
size_t Candidates::fewest_reaching(std::vector<Candidate>& all, uint64_t target) {
  const auto nearer = [](const Candidate& a, const Candidate& b) { return a.key < b.key; };
  auto begin = all.begin(), end = all.end();
  uint64_t before = 0;
  while (end - begin > 64) {
    const auto quarter = begin + (end - begin) / 4;
    std::nth_element(begin, quarter, end, nearer);
    uint64_t sum = before;
    for (auto c = begin; c != quarter; ++c) sum += c->weight;
    if (sum >= target)
      end = quarter;
    else
      before = sum, begin = quarter;
  }
  std::sort(begin, end, nearer);
  while (begin != end && before < target) before += (begin++)->weight;
  return static_cast<size_t>(begin - all.begin());
}

void Candidates::keep_top_k(int64_t k) {
  if (k >= std::ssize(scores_)) return;
  is_listed_ = true;
  for (const uint64_t key : top_keys(scores_, k)) {
    const auto id = static_cast<size_t>(id_of_key(key));
    list(id, distance(id));
  }
}

void Candidates::keep_nearest(float centre, uint64_t target) {
  if (is_listed_)
    measure_from(centre);
  else
    list_nearest(centre, target);
  listed_.resize(fewest_reaching(listed_, target));
}

void Candidates::keep_within(float reach) {
  if (!is_listed_) {
    is_listed_ = true;
    list_ring(0, -1, reach);
    return;
  }
  float nearest = kFarthest;
  for (const Candidate& c : listed_) nearest = std::min(nearest, distance(static_cast<size_t>(c.id())));
  std::erase_if(listed_, [&](const Candidate& c) { return distance(static_cast<size_t>(c.id())) > nearest + reach; });
}

void Candidates::exclude_top_choices(uint64_t least) {
  list_all();
  measure_from(0);
  const auto is_top = [&](const Candidate& c) { return c.weight >= least; };
  uint64_t farthest = 0;
  int64_t n_top = 0;
  for (const Candidate& c : listed_)
    if (is_top(c)) farthest = std::max(farthest, c.key), ++n_top;
  if (n_top > 1) std::erase_if(listed_, [&](const Candidate& c) { return is_top(c) && c.key != farthest; });
}

int32_t Candidates::pick(uint64_t offset) {
  keep_nearest(0, offset + 1);
  return listed_.back().id();
}

}  // namespace fathom
