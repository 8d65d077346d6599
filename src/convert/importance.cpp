#include "convert/importance.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "checkpoint/names.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

constexpr std::string_view kRowsSuffix = ".rows";

// The name of all experts of a layer; empty for a matrix that is no routed expert's.
std::string stack_name(std::string_view name) {
  auto parsed = parse_hf_name(name);
  if (!parsed || !parsed->expert) return {};
  parsed->expert.reset();
  return hf_name(*parsed);
}

// mean of both, each counted by its rows
void mix(ColumnStatistics& into, const ColumnStatistics& other, double other_rows) {
  const double total = into.rows + other_rows;
  if (!(total > 0)) return;
  for (size_t i = 0; i < into.mean_squares.size(); ++i)
    into.mean_squares[i] =
        static_cast<float>((into.mean_squares[i] * into.rows + other.mean_squares[i] * other_rows) / total);
  into.rows = total;
}

std::string sibling(std::string_view name, std::string_view from, std::string_view to) {
  std::string other(name);
  const size_t at = other.find(from);
  return at == std::string::npos ? std::string{} : other.replace(at, from.size(), to);
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& name, const std::string& why) {
  throw_bad_input("{}: tensor {} {}; a file of importance data is what `fathom quantize --save-importance` writes",
                  path.string(), quoted_for_message(name), why);
}

std::vector<float> read_numbers(const std::filesystem::path& path, const TensorInfo& t) {
  if (t.dtype != DType::f32) refuse(path, t.name, fmt::format("is {}, not f32", name(t.dtype)));
  std::vector<float> numbers(static_cast<size_t>(t.elements()));
  std::memcpy(numbers.data(), t.bytes.data(), t.bytes.size());
  for (float x : numbers)
    if (!(x >= 0) || !std::isfinite(x)) refuse(path, t.name, fmt::format("holds {}, which is no mean of squares", x));
  return numbers;
}

}  // namespace

Importance::Importance(Tensors tensors) : tensors_(std::move(tensors)) {
  for (const auto& [name, t] : tensors_) {
    const std::string stack = stack_name(name);
    if (stack.empty()) continue;
    ColumnStatistics& mean = layer_means_[stack];
    if (mean.cols == 0) mean = {.groups = t.groups, .cols = t.cols, .rows = 0, .mean_squares = t.mean_squares};
    if (mean.cols == t.cols && mean.groups == t.groups) mix(mean, t, t.rows);
  }
}

ColumnStatistics Importance::find(std::string_view name) const {
  const auto own = tensors_.find(name);
  ColumnStatistics found = own == tensors_.end() ? ColumnStatistics{} : own->second;
  if (const auto layer = layer_means_.find(stack_name(name)); layer != layer_means_.end()) {
    if (found.cols == 0) return layer->second;
    if (found.cols == layer->second.cols) mix(found, layer->second, kPriorRows);
  }
  if (found.cols > 0) return found;
  for (const auto& other : {sibling(name, ".v_b_proj.", ".kv_b_proj."), sibling(name, ".kv_b_proj.", ".v_b_proj.")})
    if (const auto it = tensors_.find(other); it != tensors_.end()) return it->second;
  return {};
}

void save_importance(const Importance& importance, const std::filesystem::path& path) {
  if (path.extension() != ".safetensors")
    throw_bad_input("{}: importance data is written as safetensors; let the name end in .safetensors", path.string());
  std::vector<PlannedTensor> plan;
  for (const auto& [name, t] : importance.tensors()) {
    plan.push_back({name, DType::f32, t.groups == 1 ? std::vector{t.cols} : std::vector{t.groups, t.cols}});
    plan.push_back({name + std::string(kRowsSuffix), DType::f32, {1}});
  }
  SafetensorsWriter writer(path, std::move(plan), ~uint64_t{0});
  for (const PlannedTensor& p : writer.plan()) {
    const bool is_rows = p.name.ends_with(kRowsSuffix);
    const auto& t = importance.tensors().at(is_rows ? p.name.substr(0, p.name.size() - kRowsSuffix.size()) : p.name);
    const auto rows = static_cast<float>(t.rows);
    writer.write(is_rows ? std::as_bytes(std::span(&rows, 1)) : std::as_bytes(std::span(t.mean_squares)));
  }
  writer.commit();
}

Importance read_importance(const std::filesystem::path& path) {
  const SafetensorsSource source(path);
  Importance::Tensors tensors;
  for (const TensorInfo& t : source.tensors()) {
    if (t.name.ends_with(kRowsSuffix)) continue;
    if (!parse_hf_name(t.name)) refuse(path, t.name, "is named like no weight");
    const TensorInfo* rows = source.find(t.name + std::string(kRowsSuffix));
    if (rows == nullptr || rows->elements() != 1) refuse(path, t.name, "comes without its count of rows");
    if (t.shape.size() > 2) refuse(path, t.name, fmt::format("has shape {}", shape_text(t.shape)));
    tensors.emplace(t.name, ColumnStatistics{.groups = t.shape.size() == 2 ? t.shape[0] : 1,
                                             .cols = t.shape.back(),
                                             .rows = read_numbers(path, *rows)[0],
                                             .mean_squares = read_numbers(path, t)});
  }
  for (const TensorInfo& t : source.tensors())
    if (t.name.ends_with(kRowsSuffix) && !tensors.contains(t.name.substr(0, t.name.size() - kRowsSuffix.size())))
      refuse(path, t.name, "counts the rows of a matrix that is not there");
  return Importance(std::move(tensors));
}

}  // namespace fathom
