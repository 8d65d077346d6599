#include "train/run/run_log.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <system_error>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"

namespace fathom {
namespace {

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void append_number(std::string& out, double value) {
  if (std::isfinite(value))
    fmt::format_to(std::back_inserter(out), "{}", value);
  else
    out += "null";  // JSON has no NaN
}

void append_key(std::string& out, const std::string& name) {
  out += ',';
  out += json::serialize(json::string(name));
  out += ':';
}

// The step of one line of metrics.jsonl.
int64_t step_of(std::string_view line, const std::string& where) {
  const json::value record = parse_json(line, where);
  const json::object* object = record.if_object();
  const json::value* step = object != nullptr ? object->if_contains("step") : nullptr;
  if (step == nullptr || !step->is_int64())
    throw_bad_input("{}: is no record of a training run (an object with a \"step\"); move the file away to go on",
                    where);
  return step->get_int64();
}

// metrics.jsonl as it was at resume_step; replaced in one rename, or left alone when it is already so.
void drop_after(const std::filesystem::path& path, int64_t resume_step) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const std::string text = resume_step < 0 ? "" : read_file(path, UINT64_MAX);
  const std::string kept = keep_until_step(text, resume_step, path.string());
  if (resume_step >= 0 && kept.size() == text.size()) return;
  FileWriter writer(path);
  writer.write(kept);
  writer.commit();
}

// Runs `action`; its first failure is told, later ones are not.
template <class Action>
void report_once(bool& reported, Action&& action) {
  try {
    action();
  } catch (const Error& e) {
    // fputs: stderr may be a file on the same full disk, and that must not throw either.
    if (!reported) std::fputs(fmt::format("fathom: {}; training goes on without it\n", e.what()).c_str(), stderr);
    reported = true;
  }
}

}  // namespace

std::string metrics_line(const MetricsRecord& record, double time) {
  std::string line = fmt::format("{{\"step\":{},\"tokens\":", record.step);
  append_number(line, record.tokens);
  fmt::format_to(std::back_inserter(line), ",\"time\":{:.3f}", time);
  for (const auto& [name, value] : record.scalars) {
    append_key(line, name);
    append_number(line, value);
  }
  for (const auto& [name, values] : record.arrays) {
    append_key(line, name);
    line += '[';
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) line += ',';
      append_number(line, values[i]);
    }
    line += ']';
  }
  line += "}\n";
  return line;
}

std::string keep_until_step(std::string_view text, int64_t resume_step, const std::string& where) {
  std::string kept;
  int64_t number = 1;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1), ++number)
    if (step_of(text.substr(0, end), fmt::format("{}, line {}", where, number)) <= resume_step)
      kept += text.substr(0, end + 1);
  const bool is_torn = text.empty() || text[0] == '{' || text.find_first_not_of('\0') == std::string_view::npos;
  if (!is_torn) throw_bad_input("{}, line {}: is no record of a run; move the file away", where, number);
  return kept;
}

std::optional<int64_t> last_step(std::string_view text, const std::string& where) {
  const size_t end = text.rfind('\n');
  if (end == std::string_view::npos) return std::nullopt;
  text = text.substr(0, end);
  return step_of(text.substr(text.rfind('\n') + 1), where + ", last line");  // npos + 1 is 0
}

RunLog::RunLog(const std::filesystem::path& run_folder, int64_t resume_step) {
  std::error_code failed;
  std::filesystem::create_directories(run_folder, failed);
  if (failed) throw_bad_input("{}: the folder cannot be made: {}", run_folder.string(), failed.message());
  const std::filesystem::path path = run_folder / "metrics.jsonl";
  drop_after(path, resume_step);
  jsonl_ = std::make_unique<AppendFile>(path);
  tensorboard_ = std::make_unique<TensorBoardWriter>(run_folder / "tensorboard", resume_step + 1, seconds_since_1970());
}

void RunLog::write(const MetricsRecord& record) {
  const double time = seconds_since_1970();
  report_once(reported_jsonl_, [&] { jsonl_->append(metrics_line(record, time)); });
  report_once(reported_tensorboard_, [&] { tensorboard_->write(time, record.step, record.scalars, record.arrays); });
}

}  // namespace fathom
