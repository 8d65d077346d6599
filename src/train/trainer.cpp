#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/trace.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "load/load.h"
#include "train/plan/preflight.h"
#include "train/schedule.h"

namespace fathom {
namespace {

std::vector<std::vector<double>> load_shares(const std::vector<std::vector<int64_t>>& counts) {
  std::vector<std::vector<double>> shares;
  for (const auto& layer : counts) {
    const auto total = static_cast<double>(std::accumulate(layer.begin(), layer.end(), int64_t{0}));
    auto& out = shares.emplace_back();
    for (int64_t n : layer) out.push_back(static_cast<double>(n) / total);
  }
  return shares;
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, std::shared_ptr<const TokenDataset> data, ThreadPool& pool,
                 const std::optional<std::filesystem::path>& checkpoint)
    : config_(config),
      data_(std::move(data)),
      tokenizer_files_(read_tokenizer_files(data_->folder())),
      stream_(data_, stream_options(config)),
      pool_(pool),
      parameters_(config.model, config.run.products),
      optimizer_(parameters_),
      network_(make_network(config_.model, parameters_.weights())),
      update_(context(), network_, parameters_, optimizer_,
              {.optimizer = config_.optimizer, .bias_update_speed = config_.balance.bias_update_speed}) {
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
  save_checkpoint(run, {.config = config_,
                        .stream_fingerprint = stream_.fingerprint(),
                        .state = state_,
                        .parameters = parameters_,
                        .optimizer = whole_optimizer(parameters_, optimizer_),
                        .tokenizer = tokenizer_files_});
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

// Micro-batches of the sequences that are next in the stream.
std::vector<TrainingBatch> Trainer::fetch(int64_t n_sequences) {
  std::vector<TrainingBatch> micro;
  std::vector<PackedSequence> sequences;
  for (int64_t first = 0; first < n_sequences; first += config_.batch.micro_batch) {
    sequences.resize(static_cast<size_t>(std::min(config_.batch.micro_batch, n_sequences - first)));
    for (size_t i = 0; i < sequences.size(); ++i)
      stream_.sequence(state_.next_sequence + first + static_cast<int64_t>(i), sequences[i]);
    micro.push_back(batch_of(sequences));
  }
  return micro;
}

// Gradients of all, and what is reported of them.
void Trainer::accumulate(std::span<const TrainingBatch> micro_batches, StepResult& r) {
  StepOptions options{.balance = config_.balance, .recompute = config_.run.recompute};
  options.set_means_over(micro_batches);
  for (const TrainingBatch& b : micro_batches) {
    update_.accumulate(b, options);
    r.step_tokens += b.batch.rows();
  }
  const StepReport& sums = update_.report();
  r.loss = sums.loss_sum * options.token_weight;
  r.balance = sums.balance;
  for (double* part : {&r.balance.expert, &r.balance.device, &r.balance.communication})
    *part *= options.sequence_weight;
  r.n_dropped = sums.n_dropped;
  r.expert_load = load_shares(sums.expert_counts);
  r.gradient_norm = update_.gradient_norm();
}

bool Trainer::decide(const StepResult& r) {
  if (std::isfinite(r.loss) && std::isfinite(r.gradient_norm)) return true;
  update_.discard();
  if (config_.run.on_nan == OnNan::stop)
    throw_bad_input(
        "step {}: loss {} and gradient norm {} are not finite (sequences {} to {} of the stream); this step updated "
        "nothing, and what was saved before is whole. The same command with [run] on_nan = \"skip\" passes over such "
        "steps; a lower max_learning_rate or init_std, in a new run, may have none",
        r.step, r.loss, r.gradient_norm, state_.next_sequence, state_.next_sequence + r.sequences - 1);
  return false;
}

void Trainer::apply(const StepResult& r) {
  update_.apply(
      {.rate = r.learning_rate, .clip = update_.clip(r.gradient_norm), .t = state_.step + 1 - state_.skipped_steps});
}

StepResult Trainer::step() {
  const Zone zone("training step", state_.step + 1);
  const auto start = std::chrono::steady_clock::now();
  const auto tokens = static_cast<double>(state_.tokens);
  StepResult r;
  r.step = state_.step + 1;
  r.learning_rate = learning_rate(config_.optimizer, config_.schedule, state_.step, tokens);
  r.sequences = batch_sequences(config_.batch, tokens);
  accumulate(fetch(r.sequences), r);
  r.skipped = !decide(r);
  if (!r.skipped) apply(r);
  state_ = {.step = r.step,
            .next_sequence = state_.next_sequence + r.sequences,
            .tokens = state_.tokens + r.step_tokens,
            .skipped_steps = state_.skipped_steps + (r.skipped ? 1 : 0)};
  r.tokens = static_cast<double>(state_.tokens);
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return r;
}

HeldOutResult Trainer::evaluate_held_out(int64_t n_sequences) {
  const HeldOutReader reader(data_, config_.data.sequence_length);
  const int64_t n = std::min(n_sequences, reader.size());
  HeldOutResult result;
  double loss = 0;
  int64_t bytes = 0;
  PackedSequence s;
  for (int64_t i = 0; i < n; ++i) {
    reader.sequence(i * reader.size() / n, s);
    const StepReport report = evaluate(context(), network_, batch_of(std::span(&s, 1)), nullptr);
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
