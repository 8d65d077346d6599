#include "convert/quantize/importance.h"

#include <algorithm>

#include "checkpoint/names.h"
#include "model/weights.h"

namespace fathom {
namespace {

constexpr std::string_view kExpertPart = "mlp.experts.up_proj";  // the input that a router gives an expert

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

ImportanceReport report_on(const Importance& importance, const ModelConfig& config) {
  ImportanceReport report;
  std::map<std::string, std::vector<std::string>> silent;  // by layer
  std::map<std::string, int64_t> experts;
  ModelWeights tree = empty_weights(config);
  for_each_tensor(tree, config, [&](const std::string& name, const Weight&, const Shape&) {
    const auto found = importance.tensors().find(name);
    const double rows = found == importance.tensors().end() ? 0 : found->second.rows;
    const auto parsed = parse_hf_name(name);
    if (!parsed->expert || parsed->part != kExpertPart) return;
    ++experts[stack_name(name)];
    report.few += rows > 0 && rows < Importance::kPriorRows;
    if (!(rows > 0)) silent[stack_name(name)].push_back(name.substr(0, name.rfind(".up_proj")));
  });
  for (const auto& [name, columns] : importance.tensors())
    if (stack_name(name).empty()) report.tokens = std::max(report.tokens, columns.rows);
  for (const auto& [stack, n] : experts) {
    const std::vector<std::string>& never = silent[stack];
    if (std::ssize(never) == n) continue;  // no data of the layer at all
    report.experts += n;
    report.never.insert(report.never.end(), never.begin(), never.end());
  }
  return report;
}

}  // namespace fathom
