// The balance losses of training, device-level token dropping, and what they do to the router's gradient.
//
// For one layer and one sequence of T tokens, E experts in D groups E_1 .. E_D (devices), K chosen a token, M groups
// allowed:
//     f_i  = E / (K T) * #{t : i chosen},            P_i   = 1/T sum_t s_i,t,          L_exp  = a1 sum_i f_i P_i
//     f'_d = mean over i in E_d of f_i,              P'_d  = sum over i in E_d of P_i,  L_dev  = a2 sum_d f'_d P'_d
//     f''_d = D / (M T) * #{t : some chosen i in E_d},                                 L_comm = a3 sum_d f''_d P'_d
// f are counts, without gradient; the gradient flows through P, the softmax over all experts: dL/ds_i,t = (a1 f_i + a2
// f'_d(i) + a3 f''_d(i)) / T. Selections are the actual ones (after group limiting), before any dropping. Losses are
// averaged over the sequences of a step and summed over layers. Source: arXiv:2405.04434 equations 23 to 31.
#pragma once
#include <span>
#include <vector>

#include "config/config.h"
#include "model/saved.h"

namespace fathom {

struct BalanceOptions {
  double expert_alpha = 0, device_alpha = 0, communication_alpha = 0;  // a1, a2, a3
  int64_t n_devices = 1;    // D: groups of neighbouring experts; must divide E
  int64_t max_devices = 1;  // M: n_devices when routing is not limited
  // Dropping (section 2.2.4): each device takes capacity_factor * T K / D pairs of a micro-batch, the ones with the
  // highest scores; 0: no dropping.
  double capacity_factor = 0;
  double exempt_fraction = 0.1;  // sequences (by a hash of their id) that never lose a pair
  double bias_update_speed = 0;  // of the router's score bias (train/score_bias.h); 0: it stays as it is
};

// Rows of the micro-batch that form one training sequence.
struct SequenceRows {
  int64_t first = 0, n = 0;
  uint64_t id = 0;  // stable: the same text, the same id
};

// What training asks of all MoE layers beyond their outputs.
struct MoeTraining {
  const BalanceOptions* balance;
  std::span<const SequenceRows> sequences;
  float balance_weight;  // of every sequence's losses in the objective
};

struct BalanceLosses {
  double expert = 0, device = 0, communication = 0;
  double total() const { return expert + device + communication; }
  BalanceLosses& operator+=(const BalanceLosses& o) {
    expert += o.expert;
    device += o.device;
    communication += o.communication;
    return *this;
  }
};

// The losses of one layer, summed over the sequences.
BalanceLosses balance_losses(const ModelConfig& config, const BalanceOptions& options, const MoeSaved& saved,
                             std::span<const SequenceRows> sequences);

// dscores (T, E) += balance_weight * dL/ds, L summed over the sequences.
void balance_gradient(ThreadPool& pool, const ModelConfig& config, const MoeTraining& training, const MoeSaved& saved,
                      MatView<float> dscores);

// Whether a sequence is in the exempt set.
bool is_exempt(uint64_t sequence_id, double fraction);

// kept[t * K + k] = 0 for the pairs that are dropped. Pairs of exempt sequences come first, then by falling score; ties
// keep the earlier token. If exempt pairs alone exceed a device's budget, all of them stay.
void choose_kept(const ModelConfig& config, const BalanceOptions& options, MatView<const float> scores,
                 const Routing& routing, std::span<const SequenceRows> sequences, std::span<uint8_t> kept);

}  // namespace fathom
