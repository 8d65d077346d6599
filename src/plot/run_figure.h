// The figure of training runs that `fathom plot` draws.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "plot/figure.h"
#include "plot/metrics_file.h"

namespace fathom {

enum class PlotX : uint8_t { steps, tokens, time };

struct RunFigureOptions {
  PlotX x = PlotX::steps;            // time: since the run's first record, pauses included
  std::vector<std::string> metrics;  // one panel each; empty: the panels of default_query_tiles
  int64_t smooth = 0;                // records whose mean is drawn; 1: none; 0: a fiftieth of each run's records
};

// Without `metrics`: training and held-out loss; held-out bits per byte; learning rate; gradient norm; the greatest
// expert load of any layer over the mean. Those of which no run has a value are left out. Learning rate and held-out
// values are never smoothed. bad_input for a metric that no run has (the sentence lists those there are), and when
// there is nothing to draw.
Figure run_figure(const std::vector<RunMetrics>& runs, const RunFigureOptions& options);

}  // namespace fathom
