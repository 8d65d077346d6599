// The ids that one token may be chosen from, with their distances and weights (steps 7 to 13 of sampler.h).
//
// At first all ids are candidates and none is listed. The first filter lists the few that it keeps; it sees the others
// in passes over the scores that compare, and does not sort them.
#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/sampling/weight.h"

namespace fathom {

class Candidates {
 public:
  // scores        read as long as this lives; none is NaN or +infinity, -infinity is no candidate
  // largest       of them, finite
  // temperature   > 0
  Candidates(std::span<const float> scores, float largest, double temperature);

  uint64_t total();       // sum of the weights
  float mean_distance();  // sum(weight * distance) / sum(weight)

  void keep_top_k(int64_t k);
  // The fewest nearest to `centre` whose weights reach `target`; 1 <= target <= total().
  void keep_nearest(float centre, uint64_t target);
  // Those up to `reach` farther than the nearest.
  void keep_within(float reach);
  // Of those with at least `least` weight, only the farthest.
  void exclude_top_choices(uint64_t least);
  // The one in whose part of the sum `offset` lies, nearest first; offset < total().
  int32_t pick(uint64_t offset);

 private:
  struct Candidate {
    uint64_t key;  // distance from a centre as bits (it is not negative), then the id: sorts as both do
    uint64_t weight;
    int32_t id() const noexcept { return static_cast<int32_t>(static_cast<uint32_t>(key)); }
  };
  struct Sums {
    uint64_t weight = 0, weighted_distance = 0;
  };

  float distance(size_t id) const noexcept { return (largest_ - scores_[id]) * per_degree_; }
  void list(size_t id, float from_centre);
  uint64_t list_ring(float centre, float above, float up_to);
  void list_nearest(float centre, uint64_t target);
  void list_all();
  void measure_from(float centre);
  static size_t fewest_reaching(std::vector<Candidate>& all, uint64_t target);
  template <bool with_distance>
  Sums sums() const;

  std::span<const float> scores_;
  float largest_, per_degree_;  // 1 / temperature
  bool is_listed_ = false;
  std::vector<Candidate> listed_;
};

}  // namespace fathom
