#include "plot/metrics_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double number_or_nan(const json::value* v) {
  if (v == nullptr || !v->is_number()) return kNaN;
  const double number = v->to_number<double>();
  return std::abs(number) <= 1e30 ? number : kNaN;  // no picture, and its square must not overflow
}

class Collector {
 public:
  void add(const json::object& record, const std::string& where) {
    const json::value* step = record.if_contains("step");
    if (step == nullptr || !step->is_int64())
      throw_bad_input("{}: a record of a training run needs a whole number as \"step\"", where);
    MetricSample sample{static_cast<double>(step->get_int64()), number_or_nan(record.if_contains("tokens")),
                        number_or_nan(record.if_contains("time")), kNaN};
    for (const auto& [key, value] : record) {
      if (key == "step" || key == "tokens" || key == "time") continue;
      if (value.is_array()) {
        index_of(array_index_, metrics.arrays, key);
      } else if (value.is_number() || value.is_null()) {
        sample.value = number_or_nan(&value);
        add_sample(series(key), sample);
      }
    }
  }

  RunMetrics metrics;

 private:
  static void add_sample(std::vector<MetricSample>& samples, const MetricSample& sample) {
    while (!samples.empty() && samples.back().step >= sample.step) samples.pop_back();
    samples.push_back(sample);
  }

  std::vector<MetricSample>& series(std::string_view name) {
    return metrics.series[index_of(series_index_, metrics.series, name)].samples;
  }

  using Index = std::unordered_map<std::string, size_t>;
  template <class List>
  static size_t index_of(Index& index, List& list, std::string_view name) {
    const auto [at, is_new] = index.try_emplace(std::string(name), list.size());
    if (is_new) list.push_back({std::string(name)});
    return at->second;
  }

  Index series_index_, array_index_;
};

}  // namespace

const MetricSeries* RunMetrics::find(std::string_view name) const noexcept {
  const auto at = std::find_if(series.begin(), series.end(), [&](const MetricSeries& s) { return s.name == name; });
  return at == series.end() ? nullptr : &*at;
}

RunMetrics parse_metrics(std::string_view text, const std::string& where) {
  Collector collector;
  int64_t number = 1;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1), ++number) {
    const std::string line = fmt::format("{}, line {}", where, number);
    const json::value record = parse_json(text.substr(0, end), line);
    if (!record.is_object()) throw_bad_input("{}: {} is found; an object is needed", line, json_kind_name(record));
    collector.add(record.get_object(), line);
  }
  return std::move(collector.metrics);
}

RunMetrics read_run_metrics(const std::filesystem::path& run) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(run, ignored);
  const std::filesystem::path file = is_folder ? run / "metrics.jsonl" : run;
  if (is_folder && !std::filesystem::exists(file, ignored))
    throw_bad_input("{}: has no metrics.jsonl; give the folder that `fathom train` writes", run.string());
  RunMetrics metrics = parse_metrics(read_file(file, uint64_t{1} << 34), file.string());
  std::filesystem::path name = is_folder ? run : run.parent_path();
  if (name.filename().empty() || name.filename() == ".") name = std::filesystem::absolute(name, ignored).parent_path();
  metrics.run = replace_invalid_utf8(name.filename().string());
  return metrics;
}

}  // namespace fathom
