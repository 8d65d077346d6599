// fathom logits: what the model thinks of the next token, as float32 numbers. The door through which other programs
// compare.
#include <bit>
#include <memory>

#include "base/file/file.h"
#include "base/json/json.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "engine/prompt_reader.h"
#include "load/load.h"
#include "model/transformer.h"

namespace fathom {
namespace {

struct LogitsOptions {
  ModelOptions model;
  std::string ids, format = "json", output = "-";
  bool all = false;
  int64_t chunk = kChunkTokens;
};

// The header of a .npy file, version 1.0: magic, version, length, a Python dict padded with spaces so that the data
// start at a multiple of 64. Source: numpy/lib/format.py.
std::string npy_header(int64_t rows, int64_t cols) {
  static_assert(std::endian::native == std::endian::little);
  std::string dict = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPrefix = 10;
  dict.append(63 - (kPrefix + dict.size()) % 64, ' ');
  dict += '\n';
  std::string header = "\x93NUMPY";
  header += '\x01';
  header += '\0';
  header += static_cast<char>(dict.size() & 0xFF);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

// Rows go out as they come, so that all logits of a long text need not be in memory at once.
class Sink {
 public:
  explicit Sink(const std::string& path) {
    if (path != "-") file_ = std::make_unique<FileWriter>(path);
  }
  void write(std::string_view text) {
    if (file_)
      file_->write(text);
    else
      write_stdout(text);
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::unique_ptr<FileWriter> file_;
};

std::string json_row(VecView<const float> row) { return fmt::format("[{}]", fmt::join(row.begin(), row.end(), ",")); }

void run_logits(const LogitsOptions& o) {
  const std::vector<int32_t> ids = parse_ids(o.ids);
  if (ids.empty()) throw_bad_input("--ids holds no token id");
  const Model model = open_model(o.model.path);
  check_ids(ids, model.config);
  if (o.output != "-") check_writable(o.output);  // with the model's files open: it may be none of them
  ThreadPool pool(o.model.threads, numa());
  LoadedEngine loaded(pool, model, engine_options(o.model));
  const int64_t first = o.all ? 0 : std::ssize(ids) - 1, V = model.config.vocab_size;
  Sink sink(o.output);
  const bool npy = o.format == "npy";
  const std::string head =
      npy ? npy_header(std::ssize(ids) - first, V) : fmt::format("{{\"ids\":[{}],\"logits\":[", fmt::join(ids, ","));
  PromptReader reader(loaded.engine, o.chunk);
  reader.add(ids, first, [&](int64_t index, VecView<const float> row) {
    check_finite_logits({row.data, static_cast<size_t>(row.size)});
    if (index == first) sink.write(head);
    if (npy)
      sink.write(
          std::string_view(reinterpret_cast<const char*>(row.data), static_cast<size_t>(row.size) * sizeof(float)));
    else
      sink.write((index == first ? "" : ",") + json_row(row));
  });
  reader.read_all();
  if (!npy) sink.write("]}\n");
  sink.commit();
}

}  // namespace

void add_logits(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("logits", "logits after token ids, as float32");
  const auto o = std::make_shared<LogitsOptions>();
  add_model_options(command, o->model, "-m,--model,model");
  command.add_option("--ids", o->ids, "token ids, as they are: no bos is added")->required()->type_name("IDS");
  command.add_flag("--all", o->all, "after every id, not only the last");
  command.add_option("--format", o->format, "json, or npy: a numpy array (positions, vocabulary)")
      ->transform(one_of({"json", "npy"}))
      ->capture_default_str();
  command.add_option("-o,--output", o->output, "file to write; - is stdout")->type_name("FILE")->capture_default_str();
  command.add_option("--chunk", o->chunk, "tokens run at a time")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 20))
      ->capture_default_str();
  command.footer(
      "Examples:\n  fathom logits -m MODEL --ids \"100000 17464 1843\"\n  fathom logits -m MODEL --ids \"1 2 3\" --all "
      "--format npy -o logits.npy");
  command.callback([=] { run_logits(*o); });
}

}  // namespace fathom
