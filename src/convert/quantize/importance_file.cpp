#include "convert/quantize/importance_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/file_name.h"
#include "base/file/foreign.h"
#include "checkpoint/imatrix.h"
#include "checkpoint/names.h"
#include "checkpoint/safetensors.h"
#include "model/weights.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// ---- our own

constexpr std::string_view kRowsSuffix = ".rows";

[[noreturn]] void refuse(const fs::path& path, const std::string& name, const std::string& why) {
  throw_bad_input("{}: tensor {} {}; a file of importance data is what `fathom quantize --save-importance` writes",
                  path.string(), quoted_for_message(name), why);
}

std::vector<float> read_numbers(const fs::path& path, const TensorInfo& t) {
  if (t.dtype != DType::f32) refuse(path, t.name, fmt::format("is {}, not f32", name(t.dtype)));
  std::vector<float> numbers(static_cast<size_t>(t.elements()));
  std::memcpy(numbers.data(), t.bytes.data(), t.bytes.size());
  for (float x : numbers)
    if (!(x >= 0) || !std::isfinite(x)) refuse(path, t.name, fmt::format("holds {}, which is no mean of squares", x));
  return numbers;
}

Importance read_own(const fs::path& path) {
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

void save_own(const Importance& importance, const fs::path& path) {
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

// ---- llama.cpp's

// A tensor of a GGUF model: matrices of `cols` columns, one after the other, that products take apart.
struct GgufMatrices {
  TensorName name;  // without an expert
  int64_t cols = 0, count = 1;
  bool experts = false;
};

// By GGUF name; kv_b whole and split.
std::map<std::string, GgufMatrices, std::less<>> gguf_matrices(const ModelConfig& c) {
  std::map<std::string, GgufMatrices, std::less<>> matrices;
  for (const bool split : {false, true}) {
    if (split && !c.uses_mla()) continue;
    ModelWeights tree = empty_weights(c, split);
    for_each_tensor(tree, c, [&](const std::string& name, const Weight&, const Shape& shape) {
      TensorName parsed = *parse_hf_name(name);
      if (shape.size() < 2) return;
      GgufMatrices m{.name = parsed, .cols = shape[1], .count = 1, .experts = parsed.expert.has_value()};
      if (m.experts) m.count = c.n_routed_experts;
      if (parsed.part == "self_attn.k_b_proj" || parsed.part == "self_attn.v_b_proj") m.count = c.num_attention_heads;
      m.name.expert.reset();
      matrices.emplace(gguf_name(m.name), m);
    });
  }
  return matrices;
}

bool all_alike(std::span<const float> x) {
  return std::all_of(x.begin(), x.end(), [&](float v) { return v == x[0]; });
}

void check_shape(const ImatrixEntry& e, const GgufMatrices& m, const fs::path& path) {
  const auto n = std::ssize(e.mean_squares), counts = std::ssize(e.rows);
  const bool one_for_all = !m.experts && n == m.cols;
  if ((n != m.cols * m.count && !one_for_all) || (counts != 1 && counts != m.count))
    throw_bad_input(
        "{}: has importance data of {} for {} columns ({} counts), but the model's has {} x {}; was it made for "
        "another "
        "one?",
        path.string(), e.name, n, counts, m.count, m.cols);
}

// The old form has no counts of experts: it has ones for those that were never chosen, and the others are taken to have
// had an equal share. Their calls are of the whole run, or as many as fit the rows of the one chosen most.
double rows_of_expert(const Imatrix& file, const ImatrixEntry& e, std::span<const float> columns, size_t expert,
                      double share) {
  if (file.counted) return e.rows[e.rows.size() == 1 ? 0 : expert];
  const double run = std::max(e.rows[0], static_cast<double>(file.chunks * file.chunk_size));
  return all_alike(columns) ? 0 : run * share;
}

void add_entry(Importance::Tensors& tensors, const Imatrix& file, const ImatrixEntry& e, const GgufMatrices& m,
               double share) {
  const auto cols = static_cast<size_t>(m.cols);
  if (!m.experts) {
    if (e.rows[0] > 0)
      tensors.emplace(hf_name(m.name), ColumnStatistics{.groups = std::ssize(e.mean_squares) / m.cols,
                                                        .cols = m.cols,
                                                        .rows = e.rows[0],
                                                        .mean_squares = e.mean_squares});
    return;
  }
  for (size_t i = 0; i < static_cast<size_t>(m.count); ++i) {
    const std::span columns = std::span(e.mean_squares).subspan(i * cols, cols);
    const double rows = rows_of_expert(file, e, columns, i, share);
    TensorName name = m.name;
    name.expert = static_cast<int64_t>(i);
    if (rows > 0)
      tensors.emplace(hf_name(name),
                      ColumnStatistics{
                          .groups = 1, .cols = m.cols, .rows = rows, .mean_squares = {columns.begin(), columns.end()}});
  }
}

ImportanceFile read_llama(const MappedFile& file, const fs::path& path, const ModelConfig& c) {
  const Imatrix imatrix = parse_imatrix(file.bytes(), path.string());
  const auto matrices = gguf_matrices(c);
  const double share =
      c.n_routed_experts > 0 ? static_cast<double>(c.num_experts_per_tok) / static_cast<double>(c.n_routed_experts) : 1;
  ImportanceFile out{.importance = {}, .unknown = {}, .counted = imatrix.counted};
  Importance::Tensors tensors;
  for (const ImatrixEntry& e : imatrix.entries) {
    const auto m = matrices.find(e.name);
    if (m == matrices.end()) {
      out.unknown.push_back(e.name);
      continue;
    }
    check_shape(e, m->second, path);
    add_entry(tensors, imatrix, e, m->second, share);
  }
  out.importance = Importance(std::move(tensors));
  return out;
}

// llama.cpp wants columns for each matrix of a stack: experts that were never chosen have none and count 0, and
// attn_v_b the same ones for each head.
std::optional<ImatrixEntry> llama_entry(const Importance& importance, const std::string& gguf, const GgufMatrices& m) {
  ImatrixEntry e{.name = gguf, .mean_squares = {}, .rows = {}};
  const auto append = [&](const std::vector<float>& columns) {
    e.mean_squares.insert(e.mean_squares.end(), columns.begin(), columns.end());
  };
  if (!m.experts) {
    const ColumnStatistics found = importance.find(hf_name(m.name));
    if (found.cols == 0 || m.count % found.groups != 0) return std::nullopt;
    for (int64_t i = 0; i < m.count / found.groups; ++i) append(found.mean_squares);
    e.rows = {found.rows};
    return e;
  }
  TensorName name = m.name;
  for (int64_t i = 0; i < m.count; ++i) {
    name.expert = i;
    const auto found = importance.tensors().find(hf_name(name));
    const bool seen = found != importance.tensors().end();
    append(seen ? found->second.mean_squares : std::vector<float>(static_cast<size_t>(m.cols)));
    e.rows.push_back(seen ? found->second.rows : 0);
  }
  return std::any_of(e.rows.begin(), e.rows.end(), [](double n) { return n > 0; }) ? std::optional(e) : std::nullopt;
}

void save_llama(const Importance& importance, const ModelConfig& c, const ImportanceOrigin& origin,
                const fs::path& path) {
  Imatrix imatrix{.entries = {}, .counted = true, .chunks = 0, .chunk_size = origin.window, .datasets = {origin.text}};
  const double window = static_cast<double>(origin.window);
  imatrix.chunks = static_cast<int64_t>(std::ceil(report_on(importance, c).tokens / window));
  for (const auto& [gguf, m] : gguf_matrices(c))
    if (auto e = llama_entry(importance, gguf, m)) imatrix.entries.push_back(std::move(*e));
  write_imatrix(imatrix, path);
}

bool names_gguf_file(const fs::path& path) { return has_extension(path, ".gguf"); }

}  // namespace

ImportanceFile read_importance(const fs::path& path, const ModelConfig& config) {
  const MappedFile file(path);
  if (is_imatrix(file.bytes())) return read_llama(file, path, config);
  if (!looks_like_safetensors(file.bytes()))
    throw_bad_input(
        "{}: {}; importance data is what `fathom quantize --save-importance` or llama.cpp's llama-imatrix writes",
        path.string(), recognise_file(file.bytes()).value_or("is no file of importance data"));
  ImportanceFile out{.importance = read_own(path), .unknown = {}, .counted = true};
  const auto matrices = gguf_matrices(config);
  for (const auto& [name, columns] : out.importance.tensors())
    if (!matrices.contains(gguf_name(*parse_hf_name(name)))) out.unknown.push_back(name);
  return out;
}

void check_importance_name(const fs::path& path) {
  if (!has_extension(path, ".safetensors") && !names_gguf_file(path))
    throw_bad_input(
        "{}: importance data is written as safetensors, or as GGUF for llama.cpp; let the name end in .safetensors or "
        ".gguf",
        path.string());
}

void save_importance(const Importance& importance, const ModelConfig& config, const ImportanceOrigin& origin,
                     const fs::path& path) {
  check_importance_name(path);
  if (names_gguf_file(path))
    save_llama(importance, config, origin, path);
  else
    save_own(importance, path);
}

}  // namespace fathom
