#include "convert/quantize/calibrate.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "model/transformer.h"

namespace fathom {
namespace {

// Sums of squares of the columns, in double, row after row.
struct Sums {
  std::string name;
  int64_t groups = 1;
  double rows = 0;
  std::vector<double> squares;
};

class Collector : public MatmulObserver {
 public:
  Collector(ThreadPool& pool, const Model& model) : pool_(pool), config_(model.config) {
    ModelWeights weights = model.weights;
    for_each_tensor(weights, config_, [&](const std::string& name, const Weight& w, const Shape& shape) {
      if (shape.size() == 2) sums_[w.data].name = name;
    });
    for (const LayerWeights& layer : model.weights.layers)
      if (const auto* mla = std::get_if<MlaWeights>(&layer.self_attn)) note_queries(*mla);
  }

  void on_matmul(const Weight& w, MatView<const float> x, MatView<const float> y) override {
    if (const auto it = sums_.find(w.data); it != sums_.end()) add(it->second, x, 1, x.cols, x.cols);
    if (const auto it = queries_.find(w.data); it != queries_.end())
      add(it->second, y, config_.num_attention_heads, y.cols / config_.num_attention_heads, config_.qk_nope_head_dim);
  }

  Importance result() const {
    Importance::Tensors tensors;
    for (const auto* map : {&sums_, &queries_})
      for (const auto& [data, s] : *map)
        if (s.rows > 0 && !tensors.contains(s.name)) tensors.emplace(s.name, mean(s));
    return Importance(std::move(tensors));
  }

 private:
  // The product whose result, but for the rotated columns, is what k_b_proj multiplies.
  void note_queries(const MlaWeights& w) {
    const Weight& q = w.q_proj ? w.q_proj : w.q_b_proj;
    const std::string& name = sums_.at(q.data).name;
    queries_[q.data].name = name.substr(0, name.rfind(".q_")) + ".k_b_proj.weight";
  }

  // Columns [0, cols) of each of `groups` parts of x, which are `stride` columns apart.
  void add(Sums& s, MatView<const float> x, int64_t groups, int64_t stride, int64_t cols) {
    s.groups = groups;
    s.rows += static_cast<double>(x.rows);
    s.squares.resize(static_cast<size_t>(groups * cols));
    pool_.parallel_for(groups * cols, 16, [&](int64_t begin, int64_t end) {
      for (int64_t t = 0; t < x.rows; ++t)
        for (int64_t i = begin; i < end; ++i) {
          const double value = x(t, i / cols * stride + i % cols);
          s.squares[static_cast<size_t>(i)] += value * value;
        }
    });
  }

  static ColumnStatistics mean(const Sums& s) {
    ColumnStatistics out{.groups = s.groups,
                         .cols = std::ssize(s.squares) / s.groups,
                         .rows = s.rows,
                         .mean_squares = std::vector<float>(s.squares.size())};
    for (size_t i = 0; i < s.squares.size(); ++i) {
      out.mean_squares[i] = static_cast<float>(s.squares[i] / s.rows);
      if (!std::isfinite(out.mean_squares[i]))
        throw_bad_input(
            "the inputs of {} are not finite on this text; `fathom inspect MODEL --check` names the tensors that hold "
            "NaN or infinity",
            s.name);
    }
    return out;
  }

  ThreadPool& pool_;
  const ModelConfig& config_;
  std::unordered_map<const std::byte*, Sums> sums_, queries_;  // by the weight's bytes
};

}  // namespace

Importance collect_importance(ThreadPool& pool, const Model& model, std::span<const int32_t> all_ids,
                              std::optional<int32_t> bos, const CalibrationOptions& options,
                              const std::function<void(int64_t, int64_t)>& progress) {
  const int64_t n = options.max_tokens > 0 ? std::min(options.max_tokens, std::ssize(all_ids)) : std::ssize(all_ids);
  const bool only_bos = bos && n == 1 && all_ids.size() == 1 && all_ids[0] == *bos;
  if (n < 1 || only_bos)
    throw_bad_input("the calibration text is empty; it takes some thousands of tokens to say anything");
  const int64_t window = std::min(options.window, model.config.max_position_embeddings);
  Network network = make_network(model.config, model.weights);
  network.attention.mla_form = MlaForm::naive;  // its products are seen
  Collector collector(pool, model);
  Arena arena;
  Context ctx{.pool = pool, .arena = arena, .observer = &collector};
  KvCache cache(cache_layout(model.config, CacheType::f32), window);
  Buffer<float> logits(window * model.config.vocab_size);
  for (int64_t at = 0; at < n; at += window) {
    std::vector<int32_t> ids(all_ids.begin() + at, all_ids.begin() + std::min(n, at + window));
    if (bos) ids[0] = *bos;
    SequenceCache sequence;
    Batch batch;
    batch.add(cache, sequence, ids, Batch::Logits::all);
    transformer_forward(ctx, network, batch, cache, logits.mat(std::ssize(ids), model.config.vocab_size));
    cache.truncate(sequence, 0);
    if (progress) progress(at + std::ssize(ids), n);
  }
  return collector.result();
}

}  // namespace fathom
