// All parameters of a model in one flat buffer, and the weight tree over it.
#pragma once
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/machine/threads.h"
#include "checkpoint/tensor_source.h"
#include "kernels/matmul/training_matmul.h"
#include "model/gradients.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace fathom {

struct ParameterInfo {
  std::string name;
  Shape shape;
  int64_t offset = 0, size = 0;  // in the flat buffer; offsets are multiples of 16
  Weight weight = {};            // its view in the weight tree
  bool decays = false;           // matrices do, gains do not
  bool learned = true;           // by gradient; a router's score bias is not (score_bias.h)
  bool frozen = false;           // neither
};

// Numbers [begin, end) of the flat buffers.
struct ParameterRange {
  int64_t begin = 0, end = 0;
  int64_t size() const noexcept { return end - begin; }
};

// The master copy is float32. With MatmulPrecision::bf16 the matrices (not norms, not the router, which works in
// float32) are read from a second copy rounded to bfloat16; the weight tree views the one or the other. A third buffer
// holds the gradients, at the same places. The network and its updates hold its address: it stays where it is made.
class Parameters {
 public:
  Parameters(const ModelConfig& config, MatmulPrecision precision);
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  const std::vector<ParameterInfo>& list() const noexcept { return list_; }
  const ParameterInfo& named(const std::string& name) const;  // there must be one (check())
  ParameterRange all() const noexcept { return {0, master_.size()}; }
  const ModelWeights& weights() const noexcept { return weights_; }
  VecView<float> master() const noexcept { return master_.vec(); }
  VecView<float> gradients() const noexcept { return gradients_.vec(); }
  const Gradients& gradient_map() const noexcept { return map_; }  // the gradient of every weight of weights()
  int64_t count() const noexcept { return count_; }                // without padding

  // The tensors whose names it is true for have no gradient from now on, and no update changes them. An optimiser keeps
  // the moments of a tensor while it is frozen: one that a later call thaws goes on with them.
  void freeze(const std::function<bool(const std::string& name)>& frozen);

  // Every matrix i.i.d. normal with this deviation, gains 1, score biases 0: number i of tensor NAME is a function of
  // (seed, NAME, i) alone.
  void initialise(ThreadPool& pool, uint64_t seed, double deviation);
  // From a checkpoint of the same config, by name; any element type.
  void load(const ModelConfig& config, const TensorSource& source);
  // The bfloat16 copy from the master copy, elements [begin, end).
  void refresh(int64_t begin, int64_t end);

 private:
  std::vector<ParameterInfo> list_;
  std::unordered_map<std::string, size_t> index_;  // of a name in list_
  ModelWeights weights_;
  Buffer<float> master_, gradients_;
  Buffer<uint16_t> bf16_;  // empty for MatmulPrecision::f32
  Gradients map_;
  int64_t count_ = 0;
};

}  // namespace fathom
