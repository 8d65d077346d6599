#include "load/load_redundant.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "checkpoint/names.h"
#include "quant/decode.h"

namespace fathom {
namespace {

// How far two stored forms of the same numbers may lie apart, as sqrt(sum of squared differences / sum of squares):
// nothing when both are of one plain type; the step of a plain type; the error of two quantisations, of which Q2_K's is
// the largest.
constexpr double kPlainError = 0.01, kQuantisedError = 0.25;

double allowed_error(DType a, DType b) {
  if (info(a).block_elements > 1 || info(b).block_elements > 1) return kQuantisedError;
  return a == b ? 0 : kPlainError;
}

struct Comparison {
  double difference = 0, squares = 0;

  void add(float a, float b) {
    const double d = static_cast<double>(a) - b;
    difference += d * d;
    squares += static_cast<double>(a) * a;
  }
  bool within(double error) const { return std::sqrt(difference) <= error * std::sqrt(squares); }  // false for NaN
};

bool same_matrix(const Weight& a, const Weight& b) {
  if (a.rows != b.rows || a.cols != b.cols) return false;
  std::vector<float> x(static_cast<size_t>(a.cols)), y(x.size());
  Comparison c;
  for (int64_t r = 0; r < a.rows; ++r) {
    decode_row(a, r, x.data());
    decode_row(b, r, y.data());
    for (size_t i = 0; i < x.size(); ++i) c.add(x[i], y[i]);
  }
  return c.within(allowed_error(a.dtype, b.dtype));
}

// kv_b holds for each head N rows of keys and V rows of values, C wide. k_b is stored with the keys' rows as columns.
bool same_kv_b(const ModelConfig& c, const Weight& kv_b, const Weight& k_b, const Weight& v_b) {
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
  if (kv_b.rows != H * (N + V) || kv_b.cols != C || k_b.rows != H * C || k_b.cols != N || v_b.rows != H * V)
    return false;
  std::vector<float> keys(static_cast<size_t>(N * C)), row(static_cast<size_t>(std::max(N, C))),
      value(static_cast<size_t>(C));
  Comparison k, v;
  for (int64_t h = 0; h < H; ++h) {
    for (int64_t n = 0; n < N; ++n) decode_row(kv_b, h * (N + V) + n, keys.data() + n * C);
    for (int64_t latent = 0; latent < C; ++latent) {
      decode_row(k_b, h * C + latent, row.data());
      for (int64_t n = 0; n < N; ++n) k.add(row[static_cast<size_t>(n)], keys[static_cast<size_t>(n * C + latent)]);
    }
    for (int64_t i = 0; i < V; ++i) {
      decode_row(v_b, h * V + i, row.data());
      decode_row(kv_b, h * (N + V) + N + i, value.data());
      for (size_t x = 0; x < value.size(); ++x) v.add(row[x], value[x]);
    }
  }
  return k.within(allowed_error(kv_b.dtype, k_b.dtype)) && v.within(allowed_error(kv_b.dtype, v_b.dtype));
}

// Llama files of old converters: what each frequency is divided by, 1 where nothing is scaled.
bool is_all_ones(const TensorInfo& t) {
  if (t.dtype != DType::f32 || t.shape.size() != 1) return false;
  const Weight w = as_matrix(t);
  std::vector<float> x(static_cast<size_t>(w.cols));
  decode_row(w, 0, x.data());
  return std::all_of(x.begin(), x.end(), [](float f) { return f == 1; });
}

[[noreturn]] void refuse_difference(const TensorInfo& t, const std::string& used, const char* why) {
  throw_bad_input("{}: tensor {} is there beside {}, and they differ ({}); which of the two is right?", t.file,
                  quoted_for_message(t.name), used, why);
}

}  // namespace

std::optional<std::string> why_redundant(const ModelConfig& c, const ModelWeights& weights, const TensorInfo& t) {
  if (t.name.ends_with("rotary_emb.inv_freq")) return "";
  if (t.name == "rope_freqs.weight" && is_all_ones(t)) return "(rotary frequencies are not scaled: 1 everywhere)";
  if (t.name == "lm_head.weight" && c.tie_word_embeddings) {
    if (t.shape.size() != 2 || !same_matrix(as_matrix(t), weights.embed_tokens))
      refuse_difference(t, "model.embed_tokens.weight", "tie_word_embeddings is true");
    return "(equal to model.embed_tokens.weight, which is the head of this model)";
  }
  const auto name = parse_gguf_name(t.name);
  if (!name || name->part != "self_attn.kv_b_proj" || !weights.split_kv_b || !name->layer ||
      *name->layer >= c.num_hidden_layers)
    return std::nullopt;
  const auto& mla = std::get<MlaWeights>(weights.layers[static_cast<size_t>(*name->layer)].self_attn);
  if (t.shape.size() != 2 || !same_kv_b(c, as_matrix(t), mla.k_b_proj, mla.v_b_proj))
    refuse_difference(t, fmt::format("blk.{}.attn_k_b and attn_v_b", *name->layer), "they are forms of one matrix");
  return "(equal to attn_k_b and attn_v_b, which are used)";
}

}  // namespace fathom
