#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

constexpr int64_t kPiece = 4096;  // numbers summed, or updated, at a time

struct Rates {
  float clip, b1, b2, step, root_scale, epsilon, keep;
};

// step = rate / (1 - b1^t) and root_scale = 1 / sqrt(1 - b2^t), so that the loop divides once.
void update_piece(const Rates& r, int64_t n, float* p, float* g, float* m, float* v) {
  for (int64_t i = 0; i < n; ++i) {
    const float gi = g[i] * r.clip;
    m[i] = r.b1 * m[i] + (1.0f - r.b1) * gi;
    v[i] = r.b2 * v[i] + (1.0f - r.b2) * (gi * gi);
    p[i] = p[i] * r.keep - r.step * m[i] / (std::sqrt(v[i]) * r.root_scale + r.epsilon);
    g[i] = 0.0f;
  }
}

}  // namespace

AdamW::AdamW(const Parameters& parameters) : m_(parameters.master().size), v_(parameters.master().size) {}

double AdamW::gradient_norm(ThreadPool& pool, VecView<const float> gradients) {
  std::vector<double> sums(static_cast<size_t>((gradients.size + kPiece - 1) / kPiece));
  pool.parallel_for(std::ssize(sums), 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      double sum = 0;
      for (int64_t i = piece * kPiece; i < std::min(gradients.size, (piece + 1) * kPiece); ++i)
        sum += double{gradients[i]} * gradients[i];
      sums[static_cast<size_t>(piece)] = sum;
    }
  });
  double total = 0;
  for (double s : sums) total += s;
  return std::sqrt(total);
}

void AdamW::update(ThreadPool& pool, Parameters& parameters, const OptimizerConfig& config, double rate, double clip,
                   int64_t t) {
  const VecView<float> p = parameters.master(), g = parameters.gradients();
  const auto td = static_cast<double>(t);
  Rates rates{.clip = static_cast<float>(clip),
              .b1 = static_cast<float>(config.beta1),
              .b2 = static_cast<float>(config.beta2),
              .step = static_cast<float>(rate / (1 - std::pow(config.beta1, td))),
              .root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(config.beta2, td))),
              .epsilon = static_cast<float>(config.epsilon),
              .keep = 1};
  for (const ParameterInfo& info : parameters.list()) {
    if (!info.learned || info.frozen) continue;
    rates.keep = info.decays ? static_cast<float>(1 - rate * config.weight_decay) : 1.0f;
    pool.parallel_for(info.size, kPiece, [&](int64_t begin, int64_t end) {
      const int64_t at = info.offset + begin;
      update_piece(rates, end - begin, p.data + at, g.data + at, m_.data() + at, v_.data() + at);
      parameters.refresh(at, info.offset + end);
    });
  }
}

}  // namespace fathom
