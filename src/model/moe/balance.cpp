#include "model/moe/balance.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace fathom {
namespace {

struct Loads {
  std::vector<double> expert;         // f_i
  std::vector<double> device;         // f'_d
  std::vector<double> communication;  // f''_d
};

int64_t device_of(const ModelConfig& c, const BalanceOptions& o, int64_t expert) {
  return expert / (c.n_routed_experts / o.n_devices);
}

Loads loads_of(const ModelConfig& c, const BalanceOptions& o, const Routing& routing, const SequenceRows& s) {
  const int64_t E = c.n_routed_experts, K = c.num_experts_per_tok, D = o.n_devices;
  Loads f{std::vector<double>(static_cast<size_t>(E)), std::vector<double>(static_cast<size_t>(D)),
          std::vector<double>(static_cast<size_t>(D))};
  std::vector<int64_t> last_token(static_cast<size_t>(D),
                                  -1);  // a token counts once for a device, however many of its experts are there
  for (int64_t t = s.first; t < s.first + s.n; ++t) {
    for (int64_t k = 0; k < K; ++k) {
      const int64_t e = routing.experts(t, k);
      const auto d = static_cast<size_t>(device_of(c, o, e));
      f.expert[static_cast<size_t>(e)] += 1;
      if (last_token[d] != t) f.communication[d] += 1;
      last_token[d] = t;
    }
  }
  const auto T = static_cast<double>(s.n);
  for (int64_t e = 0; e < E; ++e) {
    f.expert[static_cast<size_t>(e)] *= static_cast<double>(E) / (static_cast<double>(K) * T);
    f.device[static_cast<size_t>(device_of(c, o, e))] +=
        f.expert[static_cast<size_t>(e)] * static_cast<double>(D) / static_cast<double>(E);
  }
  for (double& g : f.communication) g *= static_cast<double>(D) / (static_cast<double>(o.max_devices) * T);
  return f;
}

}  // namespace

BalanceLosses balance_losses(const ModelConfig& c, const BalanceOptions& o, const MoeSaved& saved,
                             std::span<const SequenceRows> sequences) {
  BalanceLosses total;
  for (const SequenceRows& s : sequences) {
    const Loads f = loads_of(c, o, saved.routing, s);
    for (int64_t e = 0; e < c.n_routed_experts; ++e) {
      double P = 0;
      for (int64_t t = s.first; t < s.first + s.n; ++t) P += saved.scores(t, e);
      P /= static_cast<double>(s.n);
      const auto d = static_cast<size_t>(device_of(c, o, e));
      total.expert += o.expert_alpha * f.expert[static_cast<size_t>(e)] * P;
      total.device += o.device_alpha * f.device[d] * P;
      total.communication += o.communication_alpha * f.communication[d] * P;
    }
  }
  return total;
}

void balance_gradient(ThreadPool& pool, const ModelConfig& c, const MoeTraining& training, const MoeSaved& saved,
                      MatView<float> dscores) {
  const BalanceOptions& o = *training.balance;
  for (const SequenceRows& s : training.sequences) {
    const Loads f = loads_of(c, o, saved.routing, s);
    std::vector<float> slope(static_cast<size_t>(c.n_routed_experts));
    for (int64_t e = 0; e < c.n_routed_experts; ++e) {
      const auto d = static_cast<size_t>(device_of(c, o, e));
      const double a = o.expert_alpha * f.expert[static_cast<size_t>(e)] + o.device_alpha * f.device[d] +
                       o.communication_alpha * f.communication[d];
      slope[static_cast<size_t>(e)] = training.balance_weight * static_cast<float>(a / static_cast<double>(s.n));
    }
    pool.parallel_for(s.n, 64, [&](int64_t begin, int64_t end) {
      for (int64_t t = s.first + begin; t < s.first + end; ++t)
        for (size_t e = 0; e < slope.size(); ++e) dscores.row(t)[e] += slope[e];
    });
  }
}

bool is_exempt(uint64_t sequence_id, double fraction) {
  constexpr uint64_t kStream = 0x6578656d7074;  // "exempt": a stream of its own
  return uniform01(sequence_id, kStream, 0) < fraction;
}

void choose_kept(const ModelConfig& c, const BalanceOptions& o, MatView<const float> scores, const Routing& routing,
                 std::span<const SequenceRows> sequences, std::span<uint8_t> kept) {
  std::fill(kept.begin(), kept.end(), uint8_t{1});
  if (o.capacity_factor <= 0) return;
  const int64_t T = routing.experts.rows, K = c.num_experts_per_tok;
  const auto budget = static_cast<int64_t>(
      std::floor(o.capacity_factor * static_cast<double>(T * K) / static_cast<double>(o.n_devices)));
  struct Pair {
    float score;
    int64_t index;  // t * K + k
  };
  std::vector<std::vector<Pair>> candidates(static_cast<size_t>(o.n_devices));
  std::vector<int64_t> used(static_cast<size_t>(o.n_devices), 0);
  for (const SequenceRows& s : sequences) {
    const bool exempt = is_exempt(s.id, o.exempt_fraction);
    for (int64_t t = s.first; t < s.first + s.n; ++t) {
      for (int64_t k = 0; k < K; ++k) {
        const int64_t e = routing.experts(t, k);
        const auto d = static_cast<size_t>(device_of(c, o, e));
        if (exempt)
          ++used[d];
        else
          candidates[d].push_back({scores(t, e), t * K + k});
      }
    }
  }
  for (size_t d = 0; d < candidates.size(); ++d) {
    std::vector<Pair>& pairs = candidates[d];
    const int64_t room = std::max<int64_t>(0, budget - used[d]);
    if (std::ssize(pairs) <= room) continue;
    std::sort(pairs.begin(), pairs.end(),
              [](const Pair& a, const Pair& b) { return a.score != b.score ? a.score > b.score : a.index < b.index; });
    for (size_t i = static_cast<size_t>(room); i < pairs.size(); ++i) kept[static_cast<size_t>(pairs[i].index)] = 0;
  }
}

}  // namespace fathom
