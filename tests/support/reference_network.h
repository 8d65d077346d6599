// The network and its training objective once more, plainly and in double: what the gradients of the fast one are
// compared with. Shares no code with src/model but the config, the weight tree and the rotary table. Choices that have
// no gradient (which experts, which pairs are dropped, the loads) are given, not made.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "model/training/training_step.h"

namespace fathom::testing {

using Vec = std::vector<double>;

class ReferenceNetwork {
 public:
  // parameters: every number of the model, in the order of for_each_tensor.
  ReferenceNetwork(const ModelConfig& config, ModelWeights tree, const Vec& parameters) : c_(config) {
    size_t offset = 0;
    for_each_tensor(tree, c_, [&](const std::string& name, Weight&, const Shape& shape) {
      int64_t n = 1;
      for (int64_t d : shape) n *= d;
      tensors_[name] = {parameters.begin() + static_cast<ptrdiff_t>(offset),
                        parameters.begin() + static_cast<ptrdiff_t>(offset) + n};
      offset += static_cast<size_t>(n);
    });
    if (c_.tie_word_embeddings) tensors_["lm_head.weight"] = tensors_["model.embed_tokens.weight"];
  }

  // Choices of each MoE layer, from the fast network.
  struct Choice {
    std::vector<int32_t> experts;  // (T K)
    std::vector<uint8_t> kept;     // (T K)
  };

  // The loss of a row with these logits.
  using RowLoss = std::function<double(size_t row, const Vec& logits)>;

  // token_weight * losses with the tokens' weights + sequence_weight * balance losses. loss: nullptr for cross-entropy.
  double objective(const TrainingBatch& b, const StepOptions& o, const std::vector<Choice>& choices,
                   const RowLoss& row_loss = nullptr) {
    const auto T = static_cast<size_t>(b.batch.rows()), D = static_cast<size_t>(c_.hidden_size);
    balance_ = 0;
    moe_layer_ = 0;
    std::vector<Vec> x(T);
    for (size_t t = 0; t < T; ++t) x[t] = row(tensors_.at("model.embed_tokens.weight"), b.batch.tokens[t], D);
    for (int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) {
      const std::string p = "model.layers." + std::to_string(layer) + ".";
      add(x, c_.uses_mla() ? mla(p + "self_attn.", norm(x, p + "input_layernorm.weight"), b.batch)
                           : gqa(p + "self_attn.", norm(x, p + "input_layernorm.weight"), b.batch));
      const std::vector<Vec> n = norm(x, p + "post_attention_layernorm.weight");
      add(x, c_.layer_is_moe(layer) ? moe(p + "mlp.", n, b, o, choices[moe_layer_++]) : mlp(p + "mlp.", n));
    }
    const std::vector<Vec> logits = linear("lm_head.weight", norm(x, "model.norm.weight"));
    double loss = 0;
    for (size_t t = 0; t < T; ++t) {
      if (b.targets[t] < 0) continue;
      const double weight = b.weights.empty() ? 1 : b.weights[t];
      loss += weight * (row_loss ? row_loss(t, logits[t]) : cross_entropy_of(logits[t], b.targets[t]));
    }
    return o.token_weight * loss + o.sequence_weight * balance_;
  }

 private:
  static double cross_entropy_of(const Vec& logits, int32_t target) {
    double sum = 0;
    for (double l : logits) sum += std::exp(l);
    return std::log(sum) - logits[static_cast<size_t>(target)];
  }
  static Vec row(const Vec& m, int64_t i, size_t n) {
    const auto at = m.begin() + static_cast<ptrdiff_t>(i) * static_cast<ptrdiff_t>(n);
    return {at, at + static_cast<ptrdiff_t>(n)};
  }
  static void add(std::vector<Vec>& x, const std::vector<Vec>& y) {
    for (size_t t = 0; t < x.size(); ++t)
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
  }
  std::vector<Vec> linear(const std::string& name, const std::vector<Vec>& x) const {
    const Vec& w = tensors_.at(name);
    std::vector<Vec> y(x.size());
    for (size_t t = 0; t < x.size(); ++t) {
      const size_t K = x[t].size(), N = w.size() / K;
      y[t].assign(N, 0);
      for (size_t n = 0; n < N; ++n)
        for (size_t k = 0; k < K; ++k) y[t][n] += w[n * K + k] * x[t][k];
    }
    return y;
  }
  std::vector<Vec> norm(std::vector<Vec> x, const std::string& name) const {
    const Vec& gain = tensors_.at(name);
    for (Vec& v : x) {
      double squares = 0;
      for (size_t i = 0; i < gain.size(); ++i) squares += v[i] * v[i];
      const double rstd = 1 / std::sqrt(squares / static_cast<double>(gain.size()) + c_.rms_norm_eps);
      for (size_t i = 0; i < gain.size(); ++i) v[i] *= rstd * gain[i];
    }
    return x;
  }
  // Rotates d numbers from v[at] on.
  void rotate(Vec& v, size_t at, int64_t position) const {
    const RotaryTable table = make_rotary_table(c_);
    const size_t pairs = table.frequencies.size();
    const bool interleaved = c_.rope_layout == RopeLayout::interleaved;
    for (size_t i = 0; i < pairs; ++i) {
      double &first = v[at + (interleaved ? 2 * i : i)], &second = v[at + (interleaved ? 2 * i + 1 : i + pairs)];
      const double angle = static_cast<double>(position) * table.frequencies[i], a = first, b = second;
      first = table.amplitude * (a * std::cos(angle) - b * std::sin(angle));
      second = table.amplitude * (a * std::sin(angle) + b * std::cos(angle));
    }
  }
  // o (T, H * value width) from per-head accessors.
  template <class Score, class Value>
  std::vector<Vec> attend(const Batch& batch, size_t H, size_t V, Score&& score, Value&& value) const {
    std::vector<Vec> o(batch.tokens.size(), Vec(H * V));
    const double scale = softmax_scale(c_);
    for (const BatchSequence& s : batch.sequences) {
      const auto first = static_cast<size_t>(s.first_row), n = static_cast<size_t>(s.n);
      for (size_t t = first; t < first + n; ++t) {
        for (size_t h = 0; h < H; ++h) {
          Vec p;
          double sum = 0;
          for (size_t j = first; j <= t; ++j) sum += p.emplace_back(std::exp(scale * score(t, j, h)));
          for (size_t j = first; j <= t; ++j)
            for (size_t i = 0; i < V; ++i) o[t][h * V + i] += p[j - first] / sum * value(j, h, i);
        }
      }
    }
    return o;
  }
  std::vector<Vec> mla(const std::string& p, const std::vector<Vec>& x, const Batch& batch) const {
    const auto H = static_cast<size_t>(c_.num_attention_heads), N = static_cast<size_t>(c_.qk_nope_head_dim),
               R = static_cast<size_t>(c_.qk_rope_head_dim);
    const auto V = static_cast<size_t>(c_.v_head_dim), C = static_cast<size_t>(c_.kv_lora_rank);
    std::vector<Vec> q = c_.q_lora_rank ? linear(p + "q_b_proj.weight",
                                                 norm(linear(p + "q_a_proj.weight", x), p + "q_a_layernorm.weight"))
                                        : linear(p + "q_proj.weight", x);
    const std::vector<Vec> a = linear(p + "kv_a_proj_with_mqa.weight", x);
    std::vector<Vec> c(x.size()), k_r(x.size());
    for (size_t t = 0; t < x.size(); ++t) {
      c[t] = {a[t].begin(), a[t].begin() + static_cast<ptrdiff_t>(C)};
      k_r[t] = {a[t].begin() + static_cast<ptrdiff_t>(C), a[t].end()};
      rotate(k_r[t], 0, batch.positions[t]);
      for (size_t h = 0; h < H; ++h) rotate(q[t], h * (N + R) + N, batch.positions[t]);
    }
    const std::vector<Vec> u = linear(p + "kv_b_proj.weight", norm(c, p + "kv_a_layernorm.weight"));
    const auto score = [&](size_t t, size_t j, size_t h) {
      double s = 0;
      for (size_t i = 0; i < N; ++i) s += q[t][h * (N + R) + i] * u[j][h * (N + V) + i];
      for (size_t i = 0; i < R; ++i) s += q[t][h * (N + R) + N + i] * k_r[j][i];
      return s;
    };
    return linear(p + "o_proj.weight",
                  attend(batch, H, V, score, [&](size_t j, size_t h, size_t i) { return u[j][h * (N + V) + N + i]; }));
  }
  std::vector<Vec> gqa(const std::string& p, const std::vector<Vec>& x, const Batch& batch) const {
    const auto H = static_cast<size_t>(c_.num_attention_heads), G = static_cast<size_t>(c_.num_key_value_heads),
               d = static_cast<size_t>(c_.head_dim);
    std::vector<Vec> q = linear(p + "q_proj.weight", x), k = linear(p + "k_proj.weight", x);
    const std::vector<Vec> v = linear(p + "v_proj.weight", x);
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t h = 0; h < H; ++h) rotate(q[t], h * d, batch.positions[t]);
      for (size_t g = 0; g < G; ++g) rotate(k[t], g * d, batch.positions[t]);
    }
    const auto score = [&](size_t t, size_t j, size_t h) {
      double s = 0;
      for (size_t i = 0; i < d; ++i) s += q[t][h * d + i] * k[j][h / (H / G) * d + i];
      return s;
    };
    return linear(p + "o_proj.weight",
                  attend(batch, H, d, score, [&](size_t j, size_t h, size_t i) { return v[j][h / (H / G) * d + i]; }));
  }
  std::vector<Vec> mlp(const std::string& p, const std::vector<Vec>& x) const {
    std::vector<Vec> g = linear(p + "gate_proj.weight", x);
    const std::vector<Vec> u = linear(p + "up_proj.weight", x);
    for (size_t t = 0; t < x.size(); ++t)
      for (size_t i = 0; i < g[t].size(); ++i) g[t][i] = g[t][i] / (1 + std::exp(-g[t][i])) * u[t][i];
    return linear(p + "down_proj.weight", g);
  }
  std::vector<Vec> moe(const std::string& p, const std::vector<Vec>& x, const TrainingBatch& b, const StepOptions& o,
                       const Choice& choice) {
    const auto E = static_cast<size_t>(c_.n_routed_experts), K = static_cast<size_t>(c_.num_experts_per_tok);
    std::vector<Vec> s = linear(p + "gate.weight", x);
    for (Vec& v : s) {
      double sum = 0;
      for (double& l : v) sum += l = std::exp(l);
      for (double& l : v) l /= sum;
    }
    std::vector<Vec> y =
        c_.n_shared_experts > 0 ? mlp(p + "shared_experts.", x) : std::vector<Vec>(x.size(), Vec(x[0].size()));
    for (size_t t = 0; t < x.size(); ++t) {
      double sum = 1e-20;
      for (size_t k = 0; k < K; ++k) sum += s[t][static_cast<size_t>(choice.experts[t * K + k])];
      for (size_t k = 0; k < K; ++k) {
        if (!choice.kept[t * K + k]) continue;
        const auto e = static_cast<size_t>(choice.experts[t * K + k]);
        const double gate = c_.routed_scaling_factor * (c_.normalises_gates() ? s[t][e] / sum : s[t][e]);
        const Vec out = mlp(p + "experts." + std::to_string(e) + ".", {x[t]})[0];
        for (size_t i = 0; i < out.size(); ++i) y[t][i] += gate * out[i];
      }
    }
    balance_ += balance(s, b, o.balance, choice, E, K);
    return y;
  }
  // Equations 23 to 31, written from the paper.
  double balance(const std::vector<Vec>& s, const TrainingBatch& b, const BalanceOptions& o, const Choice& choice,
                 size_t E, size_t K) const {
    double total = 0;
    const auto D = static_cast<size_t>(o.n_devices), M = static_cast<size_t>(o.max_devices), per = E / D;
    for (const SequenceRows& q : b.sequences) {
      const auto first = static_cast<size_t>(q.first), T = static_cast<size_t>(q.n);
      Vec f(E), P(E), f2(D);
      for (size_t t = first; t < first + T; ++t) {
        std::vector<bool> sent(D);
        for (size_t k = 0; k < K; ++k) {
          const auto e = static_cast<size_t>(choice.experts[t * K + k]);
          f[e] += static_cast<double>(E) / static_cast<double>(K * T);
          sent[e / per] = true;
        }
        for (size_t d = 0; d < D; ++d) f2[d] += sent[d] ? static_cast<double>(D) / static_cast<double>(M * T) : 0;
        for (size_t e = 0; e < E; ++e) P[e] += s[t][e] / static_cast<double>(T);
      }
      for (size_t e = 0; e < E; ++e) total += o.expert_alpha * f[e] * P[e];
      for (size_t d = 0; d < D; ++d) {
        double f1 = 0, P1 = 0;
        for (size_t e = d * per; e < (d + 1) * per; ++e) {
          f1 += f[e] / static_cast<double>(per);
          P1 += P[e];
        }
        total += o.device_alpha * f1 * P1 + o.communication_alpha * f2[d] * P1;
      }
    }
    return total;
  }

  ModelConfig c_;
  std::map<std::string, Vec> tensors_;
  double balance_ = 0;
  size_t moe_layer_ = 0;
};

}  // namespace fathom::testing
