#include "claims/throughput_claim.h"

#include <algorithm>
#include <cmath>

#include "base/file/container.h"
#include "base/machine/cpu.h"
#include "base/progress.h"
#include "base/round.h"
#include "claims/kv_claim.h"
#include "claims/memory_model.h"
#include "claims/scaled_shapes.h"
#include "convert/synth/shapes.h"
#include "engine/loaded_engine.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "measure/limits.h"
#include "measure/measure.h"
#include "measure/profile.h"

namespace fathom {
namespace {

// 67B with latent attention of V2's widths in place of its own.
ModelConfig with_latent_attention(ModelConfig c, const ModelConfig& v2) {
  c.family = Family::deepseek_v2;
  c.num_key_value_heads = c.num_attention_heads;
  c.head_dim = 0;
  c.q_lora_rank = v2.q_lora_rank;
  c.kv_lora_rank = v2.kv_lora_rank;
  c.qk_nope_head_dim = v2.qk_nope_head_dim;
  c.qk_rope_head_dim = v2.qk_rope_head_dim;
  c.v_head_dim = v2.v_head_dim;
  c.rope_layout = v2.rope_layout;
  return c;
}

ModelConfig shape_of(ThroughputShape shape) {
  const ModelConfig v2 = *shape_by_name("v2"), dense = *shape_by_name("dense-67b");
  return shape == ThroughputShape::v2 ? v2 : shape == ThroughputShape::dense ? dense : with_latent_attention(dense, v2);
}

ModelConfig small_shape(const ThroughputClaim& claim, ThroughputShape shape) {
  ModelConfig c = scaled_shape(shape_of(shape), claim.scale, claim.fewer_layers, ScaledHeads::narrower);
  c.max_position_embeddings = std::max(c.max_position_embeddings, claim.room);
  return c;
}

CacheLayout counted_layout(const ModelConfig& c, CacheType type) {
  return {.layers = c.num_hidden_layers,
          .width = c.cache_width(),
          .tail = c.uses_mla() ? c.qk_rope_head_dim : 0,
          .type = type};
}

// Sequences of `room` tokens that fit beside the weights.
int64_t sequences_in(double memory, const CostModel& cost, const CacheLayout& layout, int64_t room) {
  const double left = memory - cost.total_bytes();
  return static_cast<int64_t>(std::floor(left / static_cast<double>(layout.bytes_per_token() * room)));
}

CostModel cost_of(const ThroughputClaim& claim, const ThroughputVariant& what) {
  const ModelConfig config = small_shape(claim, what.shape);
  return {config, described_weights(config, what.weights), counted_layout(config, what.cache)};
}

MeasuredVariant plan_variant(const ThroughputClaim& claim, const ThroughputVariant& what) {
  const CacheLayout layout = counted_layout(small_shape(claim, what.shape), what.cache);
  const CostModel cost = cost_of(claim, what);
  MeasuredVariant v{.what = what,
                    .weight_bytes = cost.total_bytes(),
                    .cache_bytes_per_token = static_cast<double>(layout.bytes_per_token()),
                    .sequences = sequences_in(claim.memory, cost, layout, claim.room),
                    .seconds = {},
                    .here = {}};
  if (v.sequences < 1)
    throw_bad_input(
        "--memory {} has no room for a sequence of {} tokens beside weights of {}; give it more, or take a larger "
        "--scale",
        human_bytes(claim.memory), claim.room, human_bytes(v.weight_bytes));
  return v;
}

// Weights stand in memory as they are stored and as they are packed.
void check_free_memory(const ThroughputClaim& claim) {
  double need = 0;
  for (const MeasuredVariant& v : claim.variants) need = std::max(need, claim.memory + v.weight_bytes);
  const auto available = static_cast<double>(available_memory_bytes());
  if (available > 0 && need > available)
    throw_resource(
        "--scale {} needs {} of memory: {} that each shape is given, and its weights once more while they are packed; "
        "{} "
        "are free; try a larger --scale or less --memory",
        claim.scale, human_bytes(need), human_bytes(claim.memory), human_bytes(available));
}

Roofline node_roofline(const ThroughputClaim& claim, ThroughputShape shape, DType weights, CacheType cache) {
  const ModelConfig config = shape_of(shape);
  const CacheLayout layout = counted_layout(config, cache);
  const CostModel cost(config, described_weights(config, weights), layout);
  const int64_t sequences = sequences_in(kEightH800.memory, cost, layout, claim.prompt + claim.generated);
  return roofline(kEightH800, cost, weights, sequences, claim.prompt + claim.generated / 2);
}

// One turn of a variant: seconds of a step.
void run_turn(ThreadPool& pool, const ThroughputClaim& claim, int64_t steps, MeasuredVariant& v) {
  const MemoryModel random(pool, small_shape(claim, v.what.shape), v.what.weights);
  LoadedEngineOptions options;
  options.engine = {.context_tokens = claim.room,
                    .cache_tokens = v.sequences * claim.room,
                    .cache_type = v.what.cache,
                    .calibration = some_calibration(random.model().config),
                    .numerics = Numerics::quantised()};
  options.packing.place = WeightPlace::packed;
  LoadedEngine loaded(pool, random.model(), options);
  const Work work{.kind = WorkKind::decode, .tokens = steps, .depth = claim.depth, .sequences = v.sequences};
  const Timing t = measure(loaded.engine, {work}, {.repetitions = 1, .profile = true}, [](const Work&) {}).front();
  v.seconds.push_back(t.seconds.front() / static_cast<double>(steps));
  const Profile profile = profile_of(t, loaded.engine.threads());
  v.attention_share = profile.parts[static_cast<size_t>(Part::attention)] / t.seconds.front();
}

NodeLimits limits_here(ThreadPool& pool) {
  const MachineLimits limits = measure_limits(pool);
  const double bf16 = peak_products(pool, gemm_kernel(MatmulPrecision::bf16), 0.3);
  return {.bytes_per_second = limits.read_bytes_per_second,
          .byte_ops = limits.int8_ops_per_second,
          .bf16_ops = std::max(bf16, limits.fp32_flops_per_second)};
}

ThroughputClaim plan_claim(const ThroughputClaimOptions& o, ThreadPool& pool) {
  if (o.prompt + o.generated > kPaperLength)
    throw_bad_input("--prompt {} and --generate {} are {} tokens together, and 67B reads {}; try fewer", o.prompt,
                    o.generated, o.prompt + o.generated, kPaperLength);
  ThroughputClaim claim{.scale = o.scale,
                        .fewer_layers = o.fewer_layers,
                        .prompt = o.prompt,
                        .generated = o.generated,
                        .depth = scaled_length(o.prompt + o.generated / 2, o.scale),
                        .memory = o.memory,
                        .threads = pool.size(),
                        .cpu = cpu_model_name(),
                        .limits = {},
                        .node = {},
                        .variants = {}};
  claim.room =
      rounded_up(std::max(scaled_length(o.prompt + o.generated, o.scale), claim.depth + o.steps + 1), kBlockTokens);
  if (claim.memory == 0) claim.memory = kEightH800.memory / static_cast<double>(o.scale * o.scale * o.fewer_layers);
  const size_t n = o.deployed_only ? 2 : kThroughputVariants.size();
  for (size_t i = 0; i < n; ++i) claim.variants.push_back(plan_variant(claim, kThroughputVariants[i]));
  check_free_memory(claim);
  claim.node = {node_roofline(claim, ThroughputShape::v2, DType::f8_e4m3, kPaperCacheType),
                node_roofline(claim, ThroughputShape::dense, DType::bf16, CacheType::bf16)};
  claim.limits = o.limits ? *o.limits : limits_here(pool);
  claim.limits.memory = claim.memory;
  for (MeasuredVariant& v : claim.variants)
    v.here = roofline(claim.limits, cost_of(claim, v.what), v.what.weights, v.sequences, claim.depth);
  return claim;
}

}  // namespace

Roofline roofline(const NodeLimits& limits, const CostModel& cost, DType weights, int64_t sequences, int64_t depth) {
  const PartCosts parts = cost.step_parts(sequences, depth, 1);
  const Cost all = sum_of(parts);
  const double attention = parts[static_cast<size_t>(Part::attention)].flops;
  const double peak =
      info(weights).block_bytes * 8 < 16 * info(weights).block_elements ? limits.byte_ops : limits.bf16_ops;
  const double memory = all.bytes() / limits.bytes_per_second;
  const double compute = peak > 0 ? (all.flops - attention) / peak + attention / limits.bf16_ops : 0;
  return {.sequences = sequences, .seconds = std::max(memory, compute), .by_memory = memory >= compute};
}

double MeasuredVariant::median_tokens_per_second() const { return static_cast<double>(sequences) / median(seconds); }

std::vector<double> ThroughputClaim::ratios(size_t a, size_t b) const {
  std::vector<double> all;
  const auto per_second = [&](size_t i, size_t round) {
    return static_cast<double>(variants[i].sequences) / variants[i].seconds[round];
  };
  for (size_t r = 0; r < variants[a].seconds.size(); ++r) all.push_back(per_second(a, r) / per_second(b, r));
  return all;
}

ThroughputClaim claim_throughput(const ThroughputClaimOptions& o) {
  ThreadPool pool(o.threads);
  ThroughputClaim claim = plan_claim(o, pool);
  const size_t total = claim.variants.size() * static_cast<size_t>(o.rounds);
  size_t done = 0;
  for (int round = 0; round < o.rounds; ++round)
    for (MeasuredVariant& v : claim.variants) {
      if (o.progress) o.progress(done++, total);
      run_turn(pool, claim, o.steps, v);
    }
  return claim;
}

}  // namespace fathom
