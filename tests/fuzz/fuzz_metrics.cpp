// Any bytes as a metrics.jsonl: refused with an Error, or curves that can be drawn and a file that a run can resume.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "plot/run_figure.h"
#include "support/fontconfig_leaks.h"
#include "train/run/run_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const std::string kept = fathom::keep_until_step(text, 100, "fuzz");
    if (fathom::keep_until_step(kept, 100, "fuzz") != kept) std::abort();
  } catch (const fathom::Error&) {
  }
  try {
    const fathom::RunMetrics run = fathom::parse_metrics(text, "fuzz");
    fathom::RunFigureOptions options;
    options.x = static_cast<fathom::PlotX>(size % 3);
    for (size_t i = 0; i < run.series.size() && i < 3; ++i) options.metrics.push_back(run.series[i].name);
    fathom::draw_figure(fathom::run_figure({run}, options), fathom::ImageFormat::svg, {});
  } catch (const fathom::Error&) {
  }
  return 0;
}
