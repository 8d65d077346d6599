// Small models of random float32 weights, made in memory.
#pragma once
#include <cmath>
#include <cstring>
#include <memory>

#include "base/random.h"
#include "load/load.h"
#include "model/transformer.h"
#include "quant/encode.h"
#include "support/calibration.h"
#include "support/tiny_configs.h"
#include "tensor/buffer.h"

namespace fathom::testing {

// Owns its weights. Matrices are normal with deviation 1/sqrt(fan in) times `gain`, norms are near 1, the embedding is
// normal.
class RandomModel {
 public:
  explicit RandomModel(const ModelConfig& c, uint64_t seed = 1, bool split_kv_b = false, double gain = 1.5)
      : config(c) {
    weights = empty_weights(config, split_kv_b);
    int64_t total = 0;
    for_each_tensor(weights, config,
                    [&](const std::string&, Weight&, const Shape& shape) { total += elements(shape); });
    parameters_ = Buffer<float>(total);
    uint64_t stream = 0;
    int64_t offset = 0;
    for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape& shape) {
      const bool is_norm = shape.size() == 1;
      const int64_t rows = is_norm ? 1 : shape[0], cols = shape.back();
      float* values = parameters_.data() + offset;
      const double deviation = name == "model.embed_tokens.weight" ? 1.0
                               : is_norm                           ? 0.2
                                                                   : gain / std::sqrt(static_cast<double>(cols));
      for (int64_t i = 0; i < rows * cols; ++i)
        values[i] = static_cast<float>((is_norm ? 1.0 : 0.0) +
                                       deviation * standard_normal(seed, stream, static_cast<uint64_t>(i)));
      ++stream;
      offset += rows * cols;
      w = Weight{.dtype = DType::f32, .rows = rows, .cols = cols, .data = reinterpret_cast<const std::byte*>(values)};
    });
    if (config.tie_word_embeddings) weights.lm_head = weights.embed_tokens;
    network = make_network(config, weights);
  }

  ModelConfig config;
  ModelWeights weights;
  Network network;

  VecView<float> parameters() const { return parameters_.vec(); }

  // Stores every matrix whose rows are whole blocks in `type` from now on.
  void quantise(DType type) {
    for_each_tensor(weights, config, [&](const std::string&, Weight& w, const Shape& shape) {
      if (shape.size() != 2 || w.cols % info(type).block_elements != 0) return;
      Buffer<std::byte>& bytes = quantised_.emplace_back(w.rows * row_bytes(type, w.cols));
      for (int64_t r = 0; r < w.rows; ++r)
        encode_row(type, reinterpret_cast<const float*>(w.row(r)), w.cols, bytes.data() + r * row_bytes(type, w.cols));
      w = Weight{.dtype = type, .rows = w.rows, .cols = w.cols, .data = bytes.data()};
    });
    if (config.tie_word_embeddings) weights.lm_head = weights.embed_tokens;
  }

 private:
  static int64_t elements(const Shape& shape) { return shape.size() == 1 ? shape[0] : shape[0] * shape[1]; }
  Buffer<float> parameters_;
  std::vector<Buffer<std::byte>> quantised_;
};

// For an Engine; m must outlive it.
inline Model model_of(const RandomModel& m) {
  return {.config = m.config, .weights = m.weights, .source = nullptr, .path = "random"};
}

inline std::shared_ptr<const LatentCalibration> random_calibration(const ModelConfig& config) {
  auto all = std::make_shared<LatentCalibration>();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    all->layers.push_back(random_calibration(config.kv_lora_rank, static_cast<uint64_t>(i)));
  return all;
}

// Owns threads, scratch and cache; runs one sequence or several.
struct Runner {
  explicit Runner(const RandomModel& m, int threads = 1, CacheType cache_type = CacheType::f32,
                  int64_t max_tokens = 4096)
      : model(m), pool(threads), cache(cache_layout(m.config, cache_type, random_calibration(m.config)), max_tokens) {}

  // Logits of all rows of a batch.
  std::vector<float> forward(const Batch& batch) {
    std::vector<float> logits(batch.logit_rows.size() * static_cast<size_t>(model.config.vocab_size));
    Context ctx{.pool = pool, .arena = arena, .numerics = numerics};
    Network network = model.network;
    network.attention.mla_form = form;
    transformer_forward(ctx, network, batch, cache,
                        {logits.data(), static_cast<int64_t>(batch.logit_rows.size()), model.config.vocab_size});
    return logits;
  }
  // Logits of every position of ids, run in chunks of `chunk` tokens.
  std::vector<float> forward_chunks(std::span<const int32_t> ids, size_t chunk) {
    std::vector<float> all;
    SequenceCache sequence;
    for (size_t at = 0; at < ids.size(); at += chunk) {
      Batch batch;
      batch.add(cache, sequence, ids.subspan(at, std::min(chunk, ids.size() - at)), Batch::Logits::all);
      const std::vector<float> logits = forward(batch);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    cache.truncate(sequence, 0);
    return all;
  }

  const RandomModel& model;
  ThreadPool pool;
  Arena arena;
  KvCache cache;
  Numerics numerics = Numerics::exact();
  MlaForm form = MlaForm::automatic;
};

inline std::vector<int32_t> random_ids(int64_t n, int64_t vocab_size, uint64_t seed) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>(uniform01(seed, 77, i) * static_cast<double>(vocab_size));
  return ids;
}

inline float largest_magnitude(std::span<const float> x) {
  float m = 0;
  for (float v : x) m = std::max(m, std::abs(v));
  return m;
}
inline float largest_difference(std::span<const float> a, std::span<const float> b) {
  float m = 0;
  for (size_t i = 0; i < a.size(); ++i) m = std::max(m, std::isfinite(a[i] - b[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  return m;
}
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace fathom::testing
