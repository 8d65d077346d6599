#include "engine/tuning/measure_costs.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/random.h"
#include "kernels/peak.h"
#include "model/attention/int16/mla_int16.h"
#include "packing/latent_products.h"
#include "packing/packed_weights.h"
#include "quant/encode.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

constexpr int64_t kPast = 1024, kFew = 64, kMany = 256;  // near where the forms cost the same
constexpr int kLeastRounds = 3;
constexpr double kFarthest = 10;  // times or parts of the built-in costs

Buffer<float> normals(int64_t n, double deviation) {
  Buffer<float> x(n);
  fill_normals(x.data(), n, 1, 1, deviation);
  return x;
}

struct MeasuredStep {
  MlaForm form;
  bool packed;
  int64_t past, n_new;
  double seconds = std::numeric_limits<double>::infinity();  // the least
};
// In the order of the equations that costs_of() solves.
std::array<MeasuredStep, 6> steps_to_time() {
  return {{{MlaForm::absorbed, true, 0, kFew},
           {MlaForm::absorbed, true, kPast, kFew},
           {MlaForm::absorbed, false, 0, kFew},
           {MlaForm::naive, true, kPast, kFew},
           {MlaForm::naive, true, kPast, kMany},
           {MlaForm::naive, false, kPast, kFew}}};
}

// To two significant digits.
double two_digits(double x) {
  const std::string digits = fmt::format("{:.1e}", x);
  double rounded = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), rounded);
  return rounded;
}

// Times of the six steps, each the work of two parts by their costs, for the costs.
MlaCosts costs_of(const std::array<MeasuredStep, 6>& steps) {
  const auto work = [&](size_t i) { return mla_int16_work(lite_attention(), steps[i].past, steps[i].n_new); };
  const auto time = [&](size_t i) { return steps[i].seconds; };
  // Two equations  a x + b y = t  for y.
  const auto second = [](double a0, double b0, double t0, double a1, double b1, double t1) {
    return (a0 * t1 - a1 * t0) / (a0 * b1 - a1 * b0);
  };
  const double absorbed = second(work(0).fold, work(0).absorbed, time(0), work(1).fold, work(1).absorbed, time(1));
  const double naive = second(work(3).expand, work(3).naive, time(3), work(4).expand, work(4).naive, time(4));
  const MlaCosts measured = {.naive = naive,
                             .fold_packed = (time(1) - absorbed * work(1).absorbed) / work(1).fold,
                             .fold_plain = (time(2) - absorbed * work(2).absorbed) / work(2).fold,
                             .expand_packed = (time(3) - naive * work(3).naive) / work(3).expand,
                             .expand_plain = (time(5) - naive * work(5).naive) / work(5).expand};
  MlaCosts costs;
  for (const MlaCostName& c : kMlaCosts) {
    const double built_in = costs.*c.cost, here = measured.*c.cost / absorbed;
    const bool sane = absorbed > 0 && here > 0;  // else something else ran all the while
    costs.*c.cost = two_digits(std::clamp(sane ? here : built_in, built_in / kFarthest, built_in * kFarthest));
  }
  return costs;
}

// A layer with kPast positions in its cache.
class Layer {
 public:
  Layer() {
    const Buffer<float> weights = normals(kv_b_.size(), 0.05);
    for (int64_t i = 0; i < kv_b_.size(); ++i) kv_b_[i] = f32_to_bf16(weights[i]);
    stored_.kv_b_proj = {.dtype = DType::bf16,
                         .rows = rows_,
                         .cols = c_.kv_lora_rank,
                         .data = reinterpret_cast<std::byte*>(kv_b_.data())};
    quantised_.kv_b_proj = {.dtype = DType::q4_0, .rows = rows_, .cols = c_.kv_lora_rank};
    codes_ = Buffer<std::byte>(rows_ * quantised_.kv_b_proj.bytes_per_row());
    const int64_t n_encoded = codes_.size() / 32;  // the others are the same again
    encode_row(DType::q4_0, weights.data(), weights.size() / 32, codes_.data());
    for (int64_t i = n_encoded; i < codes_.size(); ++i) codes_[i] = codes_[i - n_encoded];
    quantised_.kv_b_proj.data = codes_.data();
    packed_ = Buffer<std::byte>(packed_weight_bytes(quantised_.kv_b_proj));
    pack_weight(pool_, quantised_.kv_b_proj, packed_.data());
    quantised_.kv_b_proj.packed = packed_.data();
    latent_products_ = Buffer<std::byte>(latent_product_bytes(c_, quantised_));
    make_latent_products(pool_, c_, std::array{&quantised_}, latent_products_.data());
    cache_.extend(sequence_, kPast);
    for (int64_t p = 0; p < kPast; ++p) cache_.store(sequence_, 0, p, {latents_.data() + p * width_, width_});
  }

  double seconds(const MeasuredStep& s) {
    SequenceCache empty;
    SequenceCache& sequence = s.past > 0 ? sequence_ : empty;
    Batch batch;
    batch.add(cache_, sequence, std::vector<int32_t>(static_cast<size_t>(s.n_new)), Batch::Logits::none);
    const RowRun run{s.n_new, has_many_rows({s.past, s.n_new})};
    Context ctx{.pool = pool_, .arena = arena_, .numerics = Numerics::quantised(), .runs = {&run, 1}};
    const AttentionSettings settings{.scale = 0.07f, .mla_form = s.form};
    const double start = clock_seconds(true);
    attend_int16({ctx, c_, s.packed ? quantised_ : stored_, settings, 0, cache_}, batch, latents_.mat(s.n_new, width_),
                 q_.mat(s.n_new, q_.size() / kMany), o_.mat(s.n_new, o_.size() / kMany));
    const double taken = clock_seconds(true) - start;
    cache_.truncate(sequence, s.past);
    return taken;
  }

 private:
  ModelConfig c_ = lite_attention();
  int64_t H_ = c_.num_attention_heads, width_ = c_.kv_lora_rank + c_.qk_rope_head_dim,
          rows_ = H_ * (c_.qk_nope_head_dim + c_.v_head_dim);
  ThreadPool pool_{1};
  Arena arena_;
  KvCache cache_{{.layers = 1, .width = width_, .tail = c_.qk_rope_head_dim, .type = CacheType::q16}, 2 * kPast};
  SequenceCache sequence_;
  Buffer<float> latents_ = normals(kPast * width_, 1),
                q_ = normals(kMany * H_ * (c_.qk_nope_head_dim + c_.qk_rope_head_dim), 1),
                o_{kMany * H_ * c_.v_head_dim};
  Buffer<uint16_t> kv_b_{rows_ * c_.kv_lora_rank};
  Buffer<std::byte> codes_{0}, packed_{0}, latent_products_{0};
  MlaWeights stored_, quantised_;
};

}  // namespace

MlaCosts measure_mla_costs(double seconds) {
  Layer layer;
  std::array<MeasuredStep, 6> steps = steps_to_time();
  for (const MeasuredStep& s : steps) layer.seconds(s);
  double total = 0;
  for (int round = 0; round < kLeastRounds || total < seconds; ++round)
    for (MeasuredStep& s : steps) {
      const double taken = layer.seconds(s);
      s.seconds = std::min(s.seconds, taken);
      total += taken;
    }
  return costs_of(steps);
}

MlaCosts mla_costs_of_process() {
  static const MlaCosts costs = measure_mla_costs();
  return costs;
}

}  // namespace fathom
