#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "base/trace.h"

namespace fathom {
namespace {

constexpr int64_t kPiece = 4096;  // numbers updated at a time

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

AdamW::AdamW(const Parameters& parameters, const ParameterRange& range)
    : range_(range), m_(range.size()), v_(range.size()) {
  check(range.begin >= 0 && range.begin <= range.end && range.end <= parameters.master().size,
        "a range of the parameters");
}

void AdamW::update(ThreadPool& pool, Parameters& parameters, const OptimizerConfig& config, const Step& step) {
  const Zone zone("optimizer");
  const VecView<float> p = parameters.master(), g = parameters.gradients();
  const auto t = static_cast<double>(step.t);
  Rates rates{.clip = static_cast<float>(step.clip),
              .b1 = static_cast<float>(config.beta1),
              .b2 = static_cast<float>(config.beta2),
              .step = static_cast<float>(step.rate / (1 - std::pow(config.beta1, t))),
              .root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(config.beta2, t))),
              .epsilon = static_cast<float>(config.epsilon),
              .keep = 1};
  for (const ParameterInfo& info : parameters.list()) {
    const int64_t first = std::max(info.offset, range_.begin), end = std::min(info.offset + info.size, range_.end);
    if (!info.learned || info.frozen || first >= end) continue;
    rates.keep = info.decays ? static_cast<float>(1 - step.rate * config.weight_decay) : 1.0f;
    pool.parallel_for(end - first, kPiece, [&](int64_t piece_begin, int64_t piece_end) {
      const int64_t at = first + piece_begin, n = piece_end - piece_begin, own = at - range_.begin;
      update_piece(rates, n, p.data + at, g.data + at, m_.data() + own, v_.data() + own);
      parameters.refresh(at, at + n);
    });
  }
}

std::vector<double> gradient_squares(ThreadPool& pool, VecView<const float> gradients) {
  std::vector<double> sums(static_cast<size_t>((gradients.size + kSquaresPiece - 1) / kSquaresPiece));
  // Several pieces at a time: each sum waits for the addition before it.
  constexpr int64_t kTogether = 8;
  const int64_t whole = gradients.size / kSquaresPiece;
  pool.parallel_for(std::ssize(sums), 1, [&](int64_t begin, int64_t end) {
    int64_t piece = begin;
    for (; piece + kTogether <= std::min(end, whole); piece += kTogether) {
      const float* first = gradients.data + piece * kSquaresPiece;
      double sum[kTogether] = {};
      for (int64_t i = 0; i < kSquaresPiece; ++i)
        for (int64_t p = 0; p < kTogether; ++p) {
          const double g = first[p * kSquaresPiece + i];
          sum[p] += g * g;
        }
      std::copy_n(sum, kTogether, sums.begin() + piece);
    }
    for (; piece < end; ++piece) {
      double sum = 0;
      for (int64_t i = piece * kSquaresPiece; i < std::min(gradients.size, (piece + 1) * kSquaresPiece); ++i)
        sum += double{gradients[i]} * gradients[i];
      sums[static_cast<size_t>(piece)] = sum;
    }
  });
  return sums;
}

double gradient_norm(std::span<const double> squares) {
  double total = 0;
  for (double s : squares) total += s;
  return std::sqrt(total);
}

double gradient_norm(ThreadPool& pool, VecView<const float> gradients) {
  return gradient_norm(gradient_squares(pool, gradients));
}

}  // namespace fathom
