// Where the time of a work went, by the zones that were recorded while it was timed.
#pragma once
#include <array>

#include "measure/cost.h"
#include "measure/measure.h"

namespace fathom {

// Of the median repetition, in seconds of the thread that runs the steps; all of them make up its whole time.
struct Profile {
  std::array<double, kPartNames.size()> parts{};
  double waiting = 0;         // for threads that are still at work
  double others_at_work = 1;  // the part of the time that the other threads work; 1 where there are none
};

Profile profile_of(const Timing& timing, int threads);

}  // namespace fathom
