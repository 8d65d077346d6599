#include "train/parameters.h"

#include "base/random.h"
#include "base/xxh64.h"
#include "checkpoint/names.h"
#include "load/load.h"
#include "quant/decode.h"

namespace fathom {
namespace {

int64_t elements(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

bool is_score_bias(const std::string& name) { return name.ends_with(kScoreBiasPart); }
bool is_router(const std::string& name) { return name.ends_with(".mlp.gate.weight"); }

}  // namespace

Parameters::Parameters(const ModelConfig& config, MatmulPrecision precision) : weights_(empty_weights(config, false)) {
  constexpr int64_t kAlign = 16;
  int64_t offset = 0;
  for_each_tensor(weights_, config, [&](const std::string& name, Weight&, const Shape& shape) {
    const int64_t n = elements(shape);
    index_[name] = list_.size();
    list_.push_back({.name = name,
                     .shape = shape,
                     .offset = offset,
                     .size = n,
                     .decays = shape.size() > 1,
                     .learned = !is_score_bias(name)});
    offset += (n + kAlign - 1) / kAlign * kAlign;
    count_ += n;
  });
  master_ = Buffer<float>(offset);
  gradients_ = Buffer<float>(offset);
  if (precision == MatmulPrecision::bf16) bf16_ = Buffer<uint16_t>(offset);
  size_t i = 0;
  for_each_tensor(weights_, config, [&](const std::string& name, Weight& w, const Shape& shape) {
    ParameterInfo& p = list_[i++];
    const bool rounded = precision == MatmulPrecision::bf16 && shape.size() > 1 && !is_router(name);
    p.weight = {.dtype = rounded ? DType::bf16 : DType::f32,
                .rows = shape.size() > 1 ? shape[0] : 1,
                .cols = shape.back(),
                .data = rounded ? reinterpret_cast<const std::byte*>(bf16_.data() + p.offset)
                                : reinterpret_cast<const std::byte*>(master_.data() + p.offset)};
    w = p.weight;
  });
  if (config.tie_word_embeddings) weights_.lm_head = weights_.embed_tokens;
  freeze([](const std::string&) { return false; });
}

const ParameterInfo& Parameters::named(const std::string& name) const {
  const auto found = index_.find(name);
  check(found != index_.end(), "a tensor of the model");
  return list_[found->second];
}

void Parameters::freeze(const std::function<bool(const std::string&)>& frozen) {
  for (ParameterInfo& p : list_) {
    p.frozen = frozen(p.name);
    if (p.frozen) std::fill_n(gradients_.data() + p.offset, p.size, 0.0f);
    const MatView<float> place(gradients_.data() + p.offset, p.weight.rows, p.weight.cols);
    map_.set(p.weight, p.frozen ? MatView<float>() : place);
  }
}

void Parameters::initialise(ThreadPool& pool, uint64_t seed, double deviation) {
  for (const ParameterInfo& p : list_) {
    const uint64_t stream = xxh64(p.name);
    float* out = master_.data() + p.offset;
    pool.parallel_for(p.size, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = p.decays ? static_cast<float>(deviation * standard_normal(seed, stream, static_cast<uint64_t>(i)))
                          : static_cast<float>(p.learned);
    });
  }
  refresh(0, master_.size());
}

void Parameters::load(const ModelConfig& config, const TensorSource& source) {
  ModelWeights stored = load_weights(config, source);
  if (stored.split_kv_b)
    throw_unsupported("{}: kv_b_proj is stored split; convert the checkpoint to a Hugging Face folder first",
                      source.where());
  size_t i = 0;
  for_each_tensor(stored, config, [&](const std::string&, Weight& w, const Shape&) {
    const ParameterInfo& p = list_[i++];
    for (int64_t r = 0; r < w.rows; ++r) decode_row(w, r, master_.data() + p.offset + r * w.cols);
  });
  refresh(0, master_.size());
}

void Parameters::refresh(int64_t begin, int64_t end) {
  if (bf16_.size() == 0) return;
  for (int64_t i = begin; i < end; ++i) bf16_[i] = f32_to_bf16(master_[i]);
}

}  // namespace fathom
