#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "load/load.h"
#include "train/plan/preflight.h"
#include "train/schedule.h"
#include "train/score_bias.h"

namespace fathom {
namespace {

int64_t count_targets(const TrainingBatch& b) {
  return std::count_if(b.targets.begin(), b.targets.end(), [](int32_t t) { return t >= 0; });
}

std::vector<std::vector<double>> load_shares(const std::vector<std::vector<int64_t>>& counts) {
  std::vector<std::vector<double>> shares;
  for (const auto& layer : counts) {
    const auto total = static_cast<double>(std::accumulate(layer.begin(), layer.end(), int64_t{0}));
    auto& out = shares.emplace_back();
    for (int64_t n : layer) out.push_back(static_cast<double>(n) / total);
  }
  return shares;
}

void add_counts(std::vector<std::vector<int64_t>>& total, const std::vector<std::vector<int64_t>>& more) {
  total.resize(more.size());
  for (size_t l = 0; l < more.size(); ++l) {
    total[l].resize(more[l].size());
    for (size_t e = 0; e < more[l].size(); ++e) total[l][e] += more[l][e];
  }
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, std::shared_ptr<const TokenDataset> data, int threads,
                 const std::optional<std::filesystem::path>& checkpoint)
    : config_(config),
      data_(std::move(data)),
      tokenizer_files_(read_tokenizer_files(data_->folder())),
      stream_(data_, stream_options(config)),
      pool_(threads > 0 ? threads : default_thread_count()),
      parameters_(config.model, config.run.products),
      optimizer_(parameters_),
      network_(make_network(config_.model, parameters_.weights())) {
  check(data_->vocab_size() <= config_.model.vocab_size, "check_run refuses ids beyond the embedding");
  if (checkpoint) {
    state_ = load_checkpoint(*checkpoint, config_, stream_.fingerprint(), parameters_, optimizer_);
  } else if (config_.run.continue_from.empty()) {
    parameters_.initialise(pool_, config_.run.seed, config_.run.init_std);
  } else {
    parameters_.load(config_.model, *load_model(continued_checkpoint(config_)).source);
  }
}

void Trainer::save(const std::filesystem::path& run) const {
  save_checkpoint(run, config_, stream_.fingerprint(), state_, parameters_, optimizer_, tokenizer_files_);
}

TrainingBatch Trainer::batch_of(std::span<const PackedSequence> sequences) const {
  TrainingBatch b;
  std::vector<int32_t> targets, positions;
  for (const PackedSequence& s : sequences) {
    fill_targets(s, targets);
    fill_positions(s, config_.data.positions, positions);
    b.sequences.push_back({.first = b.batch.rows(), .n = s.n_inputs(), .id = s.id});
    for (size_t d = 0; d < s.document_starts.size(); ++d) {
      const auto first = static_cast<size_t>(s.document_starts[d]);
      const size_t end = d + 1 < s.document_starts.size() ? static_cast<size_t>(s.document_starts[d + 1])
                                                          : static_cast<size_t>(s.n_inputs());
      if (first >= end) continue;  // a document whose first token is the last target
      b.batch.add_whole(std::span(s.tokens).subspan(first, end - first), positions[first]);
    }
    b.targets.insert(b.targets.end(), targets.begin(), targets.end());
  }
  return b;
}

TrainingBatch Trainer::micro_batch(int64_t first, int64_t count) const {
  return batch_of(std::span(sequences_).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
}

void Trainer::read_step_sequences(int64_t count) {
  sequences_.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) stream_.sequence(state_.next_sequence + i, sequences_[static_cast<size_t>(i)]);
}

StepResult Trainer::step() {
  const auto start = std::chrono::steady_clock::now();
  const int64_t B = batch_sequences(config_.batch, static_cast<double>(state_.tokens));
  StepResult r;
  r.step = state_.step + 1;
  r.learning_rate = learning_rate(config_.optimizer, config_.schedule, state_.step, static_cast<double>(state_.tokens));
  r.sequences = B;
  read_step_sequences(B);

  // The denominators of the means must be known before the first gradient.
  std::vector<TrainingBatch> micro;
  int64_t n_targets = 0;
  for (int64_t i = 0; i < B; i += config_.batch.micro_batch) {
    micro.push_back(micro_batch(i, std::min(config_.batch.micro_batch, B - i)));
    n_targets += count_targets(micro.back());
    r.step_tokens += micro.back().batch.rows();
  }
  const StepOptions options{.balance = config_.balance,
                            .recompute = config_.run.recompute,
                            .token_weight = 1.0 / static_cast<double>(std::max<int64_t>(1, n_targets)),
                            .sequence_weight = 1.0 / static_cast<double>(B)};
  const Context ctx{
      .pool = pool_, .arena = arena_, .products = config_.run.products, .gradients = &parameters_.gradient_map()};
  double loss_sum = 0;
  std::vector<std::vector<int64_t>> expert_counts;
  for (const TrainingBatch& b : micro) {
    const StepReport report = forward_and_backward(ctx, network_, b, options);
    loss_sum += report.loss_sum;
    r.balance += report.balance;
    r.n_dropped += report.n_dropped;
    add_counts(expert_counts, report.expert_counts);
  }
  r.loss = loss_sum * options.token_weight;
  for (double* part : {&r.balance.expert, &r.balance.device, &r.balance.communication})
    *part *= options.sequence_weight;
  r.expert_load = load_shares(expert_counts);
  r.gradient_norm = AdamW::gradient_norm(pool_, parameters_.gradients());

  r.skipped = !std::isfinite(r.loss) || !std::isfinite(r.gradient_norm);
  if (r.skipped && config_.run.on_nan == OnNan::stop)
    throw_bad_input(
        "step {}: loss {} and gradient norm {} are not finite (sequences {} to {} of the stream); this step updated "
        "nothing, and what was saved before is whole. The same command with [run] on_nan = \"skip\" passes over such "
        "steps; a lower max_learning_rate or init_std, in a new run, may have none",
        r.step, r.loss, r.gradient_norm, state_.next_sequence, state_.next_sequence + B - 1);
  if (r.skipped) {
    std::fill(parameters_.gradients().begin(), parameters_.gradients().end(), 0.0f);
    ++state_.skipped_steps;
  } else {
    const double clip = std::min(1.0, config_.optimizer.grad_clip / r.gradient_norm);
    optimizer_.update(pool_, parameters_, config_.optimizer, r.learning_rate, clip,
                      state_.step + 1 - state_.skipped_steps);
    if (config_.balance.bias_update_speed > 0)
      update_score_bias(parameters_, expert_counts, config_.balance.bias_update_speed);
  }
  ++state_.step;
  state_.next_sequence += B;
  state_.tokens += r.step_tokens;
  r.tokens = static_cast<double>(state_.tokens);
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return r;
}

HeldOutResult Trainer::evaluate_held_out(int64_t n_sequences) {
  const HeldOutReader reader(data_, config_.data.sequence_length);
  const int64_t n = std::min(n_sequences, reader.size());
  const Context ctx{.pool = pool_, .arena = arena_, .products = config_.run.products};
  HeldOutResult result;
  double loss = 0;
  int64_t bytes = 0;
  PackedSequence s;
  for (int64_t i = 0; i < n; ++i) {
    reader.sequence(i * reader.size() / n, s);
    const StepReport report = evaluate(ctx, network_, batch_of(std::span(&s, 1)), nullptr);
    loss += report.loss_sum;
    result.targets += report.n_targets;
    bytes += reader.bytes(s);
  }
  const auto per = [&](int64_t count) { return count > 0 ? loss / static_cast<double>(count) : NAN; };
  result.loss = per(result.targets);
  result.bits_per_byte = per(bytes) / std::log(2.0);
  return result;
}

double Trainer::peak_flops() {
  constexpr double kSeconds = 0.1;
  return peak_products(pool_, gemm_kernel(config_.run.products), kSeconds);
}

}  // namespace fathom
