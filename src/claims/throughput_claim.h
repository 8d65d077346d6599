// "Boosts the maximum generation throughput to 5.76 times": tokens a second that V2's and 67B's shapes generate in
// equal memory, with the largest batch that it has room for, measured on random weights.
//
// Memory and lengths are those of the paper's node made small by the rule of scaled_shapes.h, with narrower heads: 640
// GB of eight H800 divided by s^2 times the divisor of layers, lengths divided by s. So each shape gets as many
// sequences as the node has room for. A batch is
//     (memory - bytes of weights) / (bytes of cache a token * (prompt + generated), in whole blocks)
// and what is timed are steps of one token of every sequence, at the mean depth of a generation:
//     prompt + generated / 2
//
// The roofline of a machine, for a step with these costs (measure/cost.h):
//     seconds = max(bytes / bandwidth, operations with weights / peak of their type + attention / peak of bfloat16)
#pragma once
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "config/config.h"
#include "kvcache/cache_row.h"
#include "measure/cost.h"
#include "tensor/dtype.h"

namespace fathom {

// What one node can do at most.
struct NodeLimits {
  double memory = 0, bytes_per_second = 0;
  double byte_ops = 0, bf16_ops = 0;  // a second, of products with weights of 8 bits and of bfloat16
};
inline constexpr NodeLimits kEightH800{
    .memory = 640e9, .bytes_per_second = 8 * 3.35e12, .byte_ops = 8 * 1979e12, .bf16_ops = 8 * 989.5e12};

struct ThroughputClaimOptions {
  int64_t scale = 8, fewer_layers = 5;
  int64_t prompt = 2048, generated = 2048;  // of the shapes themselves; at most kPaperLength together
  double memory = 0;                        // bytes; 0: the node's, made small
  int64_t steps = 1;                        // of a turn, after one that is not counted
  int rounds = 3;
  int threads = 0;                        // 0: the CPUs of this process
  bool deployed_only = false;             // the two that the headline compares
  std::optional<NodeLimits> limits = {};  // of this machine; nullopt: they are measured
  std::function<void(size_t done, size_t total)> progress = {};
};

struct Roofline {
  int64_t sequences = 0;
  double seconds = 0;  // of a step
  bool by_memory = false;
  double tokens_per_second() const noexcept { return static_cast<double>(sequences) / seconds; }
};
Roofline roofline(const NodeLimits& limits, const CostModel& cost, DType weights, int64_t sequences, int64_t depth);

enum class ThroughputShape : uint8_t { v2, dense, dense_latent };

struct ThroughputVariant {
  ThroughputShape shape = ThroughputShape::v2;
  DType weights = DType::bf16;
  CacheType cache = CacheType::bf16;
};
// The deployed two first.
inline constexpr std::array<ThroughputVariant, 6> kThroughputVariants = {{
    {ThroughputShape::v2, DType::q8_0, CacheType::v2_6bit},
    {ThroughputShape::dense, DType::bf16, CacheType::bf16},
    {ThroughputShape::v2, DType::q8_0, CacheType::bf16},
    {ThroughputShape::v2, DType::bf16, CacheType::bf16},
    {ThroughputShape::dense_latent, DType::bf16, CacheType::bf16},
    {ThroughputShape::dense, DType::q8_0, CacheType::bf16},
}};
enum ThroughputVariantIndex : uint8_t {
  kDeployedV2,
  kDeployedDense,
  kV2Bytes,
  kV2Bf16,
  kDenseLatent,
  kDenseBytes,
};

struct MeasuredVariant {
  ThroughputVariant what;
  double weight_bytes = 0, cache_bytes_per_token = 0;
  int64_t sequences = 0;
  std::vector<double> seconds;  // of a step, of each round
  double attention_share = 0;   // of the time of a step; 0: not told apart from its projections (grouped queries)
  Roofline here;                // of this machine

  double median_tokens_per_second() const;
};

struct ThroughputClaim {
  int64_t scale = 0, fewer_layers = 0, prompt = 0, generated = 0;  // lengths of the shapes themselves
  int64_t depth = 0, room = 0;  // made small: of a step; tokens that each sequence has room for
  double memory = 0;
  int threads = 0;
  std::string cpu;
  NodeLimits limits;                      // of this machine
  std::array<Roofline, 2> node;           // of eight H800: the deployed two, of the shapes themselves
  std::vector<MeasuredVariant> variants;  // the first ones of kThroughputVariants

  // How many times the tokens a second of b variant a has, of each round.
  std::vector<double> ratios(size_t a, size_t b) const;
};

// bad_input when lengths are longer than 67B reads or memory has room for no sequence; resource Error when this
// machine's free memory is too small.
ThroughputClaim claim_throughput(const ThroughputClaimOptions& options);

std::string to_table(const ThroughputClaim& claim);
json::value to_json(const ThroughputClaim& claim);

}  // namespace fathom
