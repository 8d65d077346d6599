// Where the gradient of each weight is, and which weights are frozen.
#pragma once
#include <unordered_map>

#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

// Entries are found by the bytes that a weight views, so that a tied head finds the gradient of the embedding, and
// gradients may lie in any number of buffers. Gradients are float32 and are added to: whoever starts a step clears
// them. A frozen weight has an entry without a place: backward passes go through it to what lies below, and compute
// nothing for it.
class Gradients {
 public:
  // gradient (rows, cols) of the weight; empty: the weight is frozen.
  void set(const Weight& w, MatView<float> gradient) {
    check(gradient.empty() || (gradient.rows == w.rows && gradient.cols == w.cols), "a gradient for every element");
    places_[w.data] = gradient;
  }
  // (rows, cols) of the weight, or an empty view of a frozen one. The weight must have an entry (check()).
  MatView<float> of(const Weight& w) const {
    const auto place = places_.find(w.data);
    check(place != places_.end(), "the weight is one of the parameters");
    return place->second;
  }
  VecView<float> vector_of(const Weight& w) const {
    const MatView<float> g = of(w);
    return g.empty() ? VecView<float>() : g.vec(0);
  }

 private:
  std::unordered_map<const std::byte*, MatView<float>> places_;
};

}  // namespace fathom
