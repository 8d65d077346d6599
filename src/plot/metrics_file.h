// Reads the metrics.jsonl that a training run writes: docs/metrics.md.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct MetricSample {
  double step, tokens, time;  // of its record; tokens and time are NaN where the record has none
  double value;               // NaN where the record says null
};

// One scalar over the run, by rising step.
struct MetricSeries {
  std::string name;
  std::vector<MetricSample> samples = {};
};

struct RunMetrics {
  std::string run;                   // for legends
  std::vector<MetricSeries> series;  // in the order of first appearance
  std::vector<std::string> arrays;   // names whose values are lists

  const MetricSeries* find(std::string_view name) const noexcept;
};

// One JSON object with an integer "step" a line; a last line without a line end is being written and is left out. Where
// a step comes again, or an earlier one follows, the later record counts: that part was repeated. Numbers beyond 1e30
// are read as NaN. Other values than numbers, nulls and lists are passed over. bad_input naming `where` and the line
// otherwise. Linear in the text.
RunMetrics parse_metrics(std::string_view text, const std::string& where);

// Of a run folder, or of the file itself. bad_input when there is none.
RunMetrics read_run_metrics(const std::filesystem::path& run);

}  // namespace fathom
