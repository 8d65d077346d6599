// The picture of benchmarks: tokens per second against depth, and against the number of sequences.
#pragma once
#include <string>
#include <vector>

#include "measure/bench.h"
#include "plot/figure.h"

namespace fathom {

struct NamedReport {
  std::string name;  // in the legend
  BenchReport report;
};

// Query tiles of what the reports hold: decode of one sequence by depth, prefill (of the first prompt size) by depth,
// and decode by the number of sequences, for the least depth and for each that has several numbers, each with its own
// x. Beside each curve of a report with the machine's limits, dashed: the most that reading and products of bytes
// allow. A report against a peer adds the peer's curves. With several thread counts: the largest. bad_input when there
// is nothing to draw.
Figure speed_figure(const std::vector<NamedReport>& reports);

}  // namespace fathom
