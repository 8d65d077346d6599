#include "claims/memory_model.h"

#include "convert/synth/synth.h"
#include "quant/encode.h"

namespace fathom {

ModelWeights described_weights(const ModelConfig& config, DType type) {
  ModelWeights weights = empty_weights(config);
  for_each_tensor(weights, config, [&](const std::string& name, Weight& w, const Shape& shape) {
    const bool plain = shape.size() == 1 || name.ends_with(".mlp.gate.weight");
    w.dtype = plain ? DType::f32 : type;
    w.rows = shape.size() == 1 ? 1 : shape[0];
    w.cols = shape.back();
  });
  return weights;
}

MemoryModel::MemoryModel(ThreadPool& pool, const ModelConfig& config, DType type, uint64_t seed) {
  model_.config = config;
  model_.weights = described_weights(config, type);
  model_.path = "random weights";
  const ModelRows source = random_model(config, seed);
  for_each_tensor(model_.weights, config, [&](const std::string& name, Weight& w, const Shape&) {
    check(w.cols % info(w.dtype).block_elements == 0, "rows of whole blocks");
    const Rows rows = source.find(name);
    Buffer<std::byte>& bytes = buffers_.emplace_back(w.rows * w.bytes_per_row());
    pool.parallel_for(w.rows, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> x(static_cast<size_t>(w.cols));
      for (int64_t r = begin; r < end; ++r) {
        rows.decode(r, 1, x.data());
        encode_row(w.dtype, x.data(), w.cols, bytes.data() + r * w.bytes_per_row());
      }
    });
    w.data = bytes.data();
    bytes_ += static_cast<double>(bytes.size());
  });
}

}  // namespace fathom
