// What a training run reports, step by step: metrics.jsonl (one JSON object a line) and TensorBoard event files.
// Names and units of the metrics: docs/metrics.md.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/run/append_file.h"
#include "train/run/tensorboard.h"

namespace fathom {

// One record of a step. Names are UTF-8, occur once in a record, and are none of "step", "tokens", "time".
struct MetricsRecord {
  int64_t step = 0;   // >= 0
  double tokens = 0;  // consumed by the run up to and with this step
  std::vector<std::pair<std::string, double>> scalars;
  std::vector<std::pair<std::string, std::vector<double>>> arrays;  // for example each expert's share of the tokens
};

// {"step":12,"tokens":49152,"time":1718000000.25,"loss":3.5,"load/layer_1":[0.25,0.75]} and a line end. Numbers have
// the shortest digits that read back as the same double; NaN and infinities are null. `time`: seconds since 1970.
std::string metrics_line(const MetricsRecord& record, double time);

// The lines of `text` (a metrics.jsonl) whose step is at most resume_step, byte for byte, in order. A last line without
// a line end was torn by a crash and is dropped. bad_input naming `where` and the line for a whole line that is no
// record.
std::string keep_until_step(std::string_view text, int64_t resume_step, const std::string& where);

// The step of the last whole line; nothing when there is none. bad_input as above.
std::optional<int64_t> last_step(std::string_view text, const std::string& where);

// Writes RUN/metrics.jsonl and RUN/tensorboard/events.out.tfevents.*. One thread writes, one process per run folder.
class RunLog {
 public:
  // Makes the folder when it is missing. Records after resume_step belong to a part of the run that is now repeated:
  // they leave metrics.jsonl (the file is replaced in one rename) and TensorBoard is told to forget them. A new run
  // passes -1: nothing of before is kept. bad_input / resource Error when the folder cannot be written.
  RunLog(const std::filesystem::path& run_folder, int64_t resume_step);

  // Appends to both files; a reader sees the record when this returns. A full disk does not stop a training run: the
  // first failure of each file is one sentence on stderr, the record is lost, no half of it stays in the file, and
  // later records are tried again. Throws only std::bad_alloc.
  void write(const MetricsRecord& record);

 private:
  std::unique_ptr<AppendFile> jsonl_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
  bool reported_jsonl_ = false, reported_tensorboard_ = false;
};

}  // namespace fathom
