#include "measure/profile.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace fathom {
namespace {

// The part that a zone is of; nullopt: it waits.
std::optional<Part> part_of_zone(std::string_view zone) {
  constexpr std::array<std::pair<std::string_view, Part>, 7> kParts = {{{"attention", Part::projections},
                                                                        {"attend", Part::attention},
                                                                        {"route", Part::routing},
                                                                        {"combine", Part::routing},
                                                                        {"experts", Part::experts},
                                                                        {"mlp", Part::dense},
                                                                        {"lm_head", Part::head}}};
  if (zone == "wait for threads") return std::nullopt;
  const auto* at = std::find_if(kParts.begin(), kParts.end(), [&](const auto& p) { return p.first == zone; });
  return at != kParts.end() ? at->second : Part::rest;
}

}  // namespace

Profile profile_of(const Timing& timing, int threads) {
  const double all = std::accumulate(timing.seconds.begin(), timing.seconds.end(), 0.0),
               scale = median(timing.seconds) / all;  // from all repetitions to the median one
  Profile profile;
  double named = 0, others = 0;
  for (const ZoneTime& z : timing.zones) {
    const auto part = part_of_zone(z.name);
    (part ? profile.parts[static_cast<size_t>(*part)] : profile.waiting) += scale * z.caller_seconds;
    named += z.caller_seconds;
    others += z.other_seconds;
  }
  profile.parts[static_cast<size_t>(Part::rest)] += scale * std::max(0.0, all - named);
  if (threads > 1) profile.others_at_work = std::min(1.0, others / (all * (threads - 1)));
  return profile;
}

}  // namespace fathom
