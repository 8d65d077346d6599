// fathom plot: the curves of training runs as SVG or PNG.
#include <filesystem>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/file/file.h"
#include "base/text/suggest.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/values.h"
#include "plot/run_figure.h"

namespace fathom {
namespace {

struct PlotOptions {
  std::vector<std::string> runs;
  std::string output, x = "steps";
  RunFigureOptions figure;
  ImageSize size;
  bool quiet = false;
};

ImageFormat image_format(const std::filesystem::path& file) {
  if (is_stream(file)) return ImageFormat::svg;
  const std::string extension = lower_case(file.extension().string());
  if (extension == ".svg") return ImageFormat::svg;
  if (extension == ".png") return ImageFormat::png;
  throw_bad_input("{}: the name of a figure must end in .svg or .png", file.string());
}

std::filesystem::path output_file(const PlotOptions& o) {
  if (!o.output.empty()) return file_output(o.output);
  const std::filesystem::path run = o.runs.front();
  return (std::filesystem::is_directory(run) ? run : run.parent_path()) / "plot.svg";
}

void run_plot(const PlotOptions& o) {
  const std::filesystem::path output = output_file(o);
  const ImageFormat format = image_format(output);
  const std::vector<std::filesystem::path> inputs(o.runs.begin(), o.runs.end());
  check_writable(output, inputs);
  std::vector<RunMetrics> runs;
  std::map<std::string, int> n_of_name;
  for (const std::string& path : o.runs) ++n_of_name[runs.emplace_back(read_run_metrics(path)).run];
  for (size_t i = 0; i < runs.size(); ++i)
    if (n_of_name[runs[i].run] > 1) runs[i].run = o.runs[i];  // a/run and b/run
  RunFigureOptions figure = o.figure;
  figure.x = o.x == "time" ? PlotX::time : o.x == "tokens" ? PlotX::tokens : PlotX::steps;
  const std::string image = draw_figure(run_figure(runs, figure), format, o.size);
  FileWriter writer(output);
  writer.write(image);
  writer.commit();
  if (!o.quiet && !is_stream(output)) fmt::print("{}\n", output.string());
}

}  // namespace

void add_plot(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("plot", "draw the curves of training runs as SVG or PNG");
  const auto o = std::make_shared<PlotOptions>();
  command.add_option("runs", o->runs, "folders of training runs, or their metrics.jsonl")->required()->type_name("RUN");
  command
      .add_option("-o,--output", o->output,
                  "FILE.svg or FILE.png (default: plot.svg in the first run); - for stdout, which gets SVG as pipes do")
      ->type_name("FILE");
  command.add_option("--x", o->x, "steps, tokens or time (default: steps)")
      ->transform(one_of({"steps", "tokens", "time"}))
      ->type_name("AXIS");
  command
      .add_option("--metric", o->figure.metrics,
                  "a metric to draw instead of the default panels; may be given several times (docs/metrics.md)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      .add_option("--smooth", o->figure.smooth, "records whose mean is drawn; 1: none (default: a fiftieth of a run)")
      ->transform(whole_number(1, int64_t{1} << 40))
      ->type_name("N");
  command.add_option("--width", o->size.width, "pixels (default: 1000 for SVG, 1600 for PNG)")
      ->transform(whole_number(300, 8000))
      ->type_name("PIXELS");
  command.add_option("--height", o->size.height, "pixels (default: by the number of panels)")
      ->transform(whole_number(200, 8000))
      ->type_name("PIXELS");
  command.add_flag("-q,--quiet", o->quiet, "do not print the name of the file");
  command.footer(
      "Examples:\n  fathom plot runs/tiny\n  fathom plot runs/a runs/b -o compare.png --x tokens\n"
      "  fathom plot runs/tiny --metric loss --metric load/layer_1_max_over_mean --smooth 20");
  command.callback([=] { run_plot(*o); });
}

}  // namespace fathom
