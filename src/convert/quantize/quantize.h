// From a model of plain numbers to a GGUF file of fewer bits: `fathom quantize`. convert_model with what only
// quantising needs: importance data, rules, and the refusal to round twice.
#pragma once
#include <map>
#include <optional>

#include "convert/convert.h"
#include "convert/quantize/calibrate.h"

namespace fathom {

struct QuantizeOptions {
  OutputOptions output;     // type.type must name a type; encoding is set here
  bool requantize = false;  // the source may hold quantised tensors
  // At most one of the two: data of an earlier run, or a text to run the model over. With either, all types are
  // searched thoroughly; with neither, our own recipes are.
  std::optional<std::filesystem::path> importance = {}, calibration_text = {};
  CalibrationOptions calibration = {};
  std::optional<std::filesystem::path> save_importance = {};  // of either: our own form, or llama.cpp's
};

// The importance data that was used.
struct ImportanceSummary {
  ImportanceReport report;
  std::vector<std::string> unknown;  // tensors of the file that the model has not
  bool counted = true;               // false: the number of tokens is an estimate
};

// Of the matrices: one line of what was written.
struct QuantizeSummary {
  struct Share {
    int64_t tensors = 0, elements = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Share> by_type;  // name of the element type; norms and routers too
  uint64_t bytes = 0;
  int64_t elements = 0;
  std::vector<std::string>
      without_importance;  // quantised matrices that importance data was given for, but not of them
  // Tensors whose rows are no whole blocks: by the type asked for, and what stands in for it.
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> fallbacks;
  std::optional<ImportanceSummary> importance;
  std::vector<std::string> lost;  // as convert_model says it

  double bits_per_weight() const { return 8 * static_cast<double>(bytes) / static_cast<double>(elements); }
};

struct QuantizeProgress {
  ProgressFn calibrating;  // tokens
  ProgressFn writing;      // bytes
};

// bad_input for what can be told before the model is opened: `out` is no new .gguf, options contradict each other.
void check_quantize_options(const std::filesystem::path& out, const QuantizeOptions& options);

// The same, and bad_input before any work is done: the source is quantised already (F8_E4M3 with block scales, the form
// in which some models are published, is not counted as that), a rule matches nothing, the text is empty, importance
// data is of another model, or save_importance cannot be written.
QuantizeSummary quantize_model(ThreadPool& pool, Model& model, const std::filesystem::path& out,
                               const QuantizeOptions& options, const QuantizeProgress& progress);

}  // namespace fathom
