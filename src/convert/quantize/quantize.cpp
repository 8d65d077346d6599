#include "convert/quantize/quantize.h"

#include <numeric>

#include "base/error.h"
#include "base/file/file.h"
#include "convert/quantize/importance_file.h"
#include "data/text/documents.h"
#include "load/text.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

bool is_block_type(DType t) { return info(t).block_elements > 1; }

void refuse_quantised(Model& model) {
  for_each_tensor(model.weights, model.config, [&](const std::string& name, const Weight& w, const Shape&) {
    if (is_block_type(w.dtype))
      throw_bad_input(
          "{}: {} is {} already, and rounding it again loses more than rounding the original once; start from the "
          "f32, f16 or bf16 model, or give --requantize",
          model.path.string(), name, fathom::name(w.dtype));
  });
}

Importance calibrate(ThreadPool& pool, const Model& model, const QuantizeOptions& o, const ProgressFn& progress) {
  const Tokenizer tokenizer = load_tokenizer(model);
  const std::string text = read_joined_documents(*o.calibration_text);
  if (text.empty())
    throw_bad_input("{}: is empty; calibration takes some thousands of tokens to say anything",
                    o.calibration_text->string());
  const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  const auto counted = [&](int64_t done, int64_t total) {
    if (progress) progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  };
  return collect_importance(pool, model, ids, tokenizer.adds_bos() ? tokenizer.bos() : std::nullopt, o.calibration,
                            counted);
}

// The first matrix that both know must have the same columns in both.
void check_same_model(const Importance& importance, const fs::path& path, const ModelRows& source,
                      const std::vector<OutTensor>& plan) {
  bool known = false;
  for (const OutTensor& t : plan)
    for (const std::string& piece : t.pieces) {
      const ColumnStatistics columns = importance.find(piece);
      if (columns.cols == 0) continue;
      known = true;
      if (const int64_t cols = source.find(piece).cols; columns.cols != cols)
        throw_bad_input(
            "{}: {} has importance data for {} columns, but the model's has {}; was it made for another one?",
            path.string(), piece, columns.cols, cols);
    }
  if (!known) throw_bad_input("{}: has importance data for none of the model's matrices", path.string());
}

// With the model open: no output may be a file of it.
void check_importance_output(const QuantizeOptions& o) {
  if (!o.save_importance) return;
  std::vector<fs::path> inputs;
  for (const auto& input : {o.importance, o.calibration_text})
    if (input) inputs.push_back(*input);
  check_writable(*o.save_importance, inputs);
}

struct GivenImportance {
  Importance data;
  ImportanceSummary summary;
};

std::optional<GivenImportance> importance_for(ThreadPool& pool, const Model& model, const QuantizeOptions& o,
                                              const ProgressFn& progress) {
  GivenImportance given;
  if (o.importance) {
    ImportanceFile file = read_importance(*o.importance, model.config);
    given.data = std::move(file.importance);
    given.summary = {.report = {}, .unknown = std::move(file.unknown), .counted = file.counted};
  } else if (o.calibration_text) {
    given.data = calibrate(pool, model, o, progress);
  } else {
    return std::nullopt;
  }
  given.summary.report = report_on(given.data, model.config);
  return given;
}

QuantizeSummary summarise(const std::vector<OutTensor>& plan, const Importance* importance) {
  QuantizeSummary s;
  for (const OutTensor& t : plan) {
    const int64_t elements = std::accumulate(t.shape.begin(), t.shape.end(), int64_t{1}, std::multiplies<>());
    QuantizeSummary::Share& share = s.by_type[std::string(name(t.dtype))];
    ++share.tensors, share.elements += elements, share.bytes += byte_count(t);
    s.elements += elements, s.bytes += byte_count(t);
    if (t.asked != t.dtype)
      s.fallbacks[{std::string(name(t.asked)), std::string(name(t.dtype))}].push_back(t.pieces.front());
    if (importance != nullptr && is_block_type(t.dtype) && importance->find(t.pieces.front()).cols == 0)
      s.without_importance.push_back(t.pieces.front());
  }
  return s;
}

}  // namespace

void check_quantize_options(const fs::path& out, const QuantizeOptions& o) {
  if (!names_gguf(out)) throw_bad_input("{}: the output is a GGUF file; let its name end in .gguf", out.string());
  check_output_free(out);
  if (o.importance && o.calibration_text)
    throw_bad_input("--importance and --calibration both give importance data; give one of them");
  if (!o.save_importance) return;
  if (!o.importance && !o.calibration_text)
    throw_bad_input("--save-importance has nothing to save; --calibration TEXT or --importance FILE gives it");
  check_importance_name(*o.save_importance);
  if (fs::weakly_canonical(*o.save_importance) == fs::weakly_canonical(out))
    throw_bad_input("{}: is both the model to write and --save-importance; give them different names", out.string());
}

QuantizeSummary quantize_model(ThreadPool& pool, Model& model, const fs::path& out, const QuantizeOptions& o,
                               const QuantizeProgress& progress) {
  check_quantize_options(out, o);
  check_importance_output(o);
  if (!o.requantize) refuse_quantised(model);
  const ModelRows source = in_layout(rows_of_model(model), gguf_layout(model.config));
  OutputOptions output = o.output;
  output.type.importance = o.importance || o.calibration_text;
  const std::vector<OutTensor> plan = plan_gguf(source, output.type);
  const auto given = importance_for(pool, model, o, progress.calibrating);
  if (o.importance) check_same_model(given->data, *o.importance, source, plan);
  if (given && o.save_importance)
    save_importance(
        given->data, model.config,
        {.text = o.calibration_text.value_or(o.importance.value_or("")).string(), .window = o.calibration.window},
        *o.save_importance);
  if (given) output.encoding = {.search = Search::thorough, .importance = &given->data};
  QuantizeSummary summary = summarise(plan, given ? &given->data : nullptr);
  summary.lost = convert_model(pool, model, out, output, progress.writing);
  if (given) summary.importance = given->summary;
  return summary;
}

}  // namespace fathom
