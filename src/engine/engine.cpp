#include "engine/engine.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/file/container.h"
#include "base/progress.h"
#include "base/trace.h"
#include "model/norm.h"

namespace fathom {
namespace {

CacheType usable_cache_type(const ModelConfig& config, const EngineOptions& o) {
  const bool coded = config.uses_mla() && o.numerics.is_quantised();
  return o.cache_type.value_or(coded ? CacheType::q16 : CacheType::f32);
}

}  // namespace

int64_t context_tokens(const ModelConfig& config, const EngineOptions& o) {
  if (o.context_tokens < 0) throw_bad_input("--ctx is {}; it must be at least 1", o.context_tokens);
  if (o.context_tokens > config.max_position_embeddings)
    throw_bad_input("--ctx is {}, but the model's max_position_embeddings is {}", o.context_tokens,
                    config.max_position_embeddings);
  return o.context_tokens > 0 ? o.context_tokens : config.max_position_embeddings;
}

Engine::Engine(ThreadPool& pool, const ModelConfig& config, const ModelWeights& weights, const EngineOptions& o)
    : network_(make_network(config, weights)),
      pool_(pool),
      context_tokens_(fathom::context_tokens(config, o)),
      chunk_tokens_(o.chunk_tokens > 0 ? o.chunk_tokens : kChunkTokens),
      numerics_(o.numerics),
      cache_(cache_layout(config, usable_cache_type(config, o), o.calibration),
             o.cache_tokens > 0 ? o.cache_tokens : context_tokens_) {
  check(o.chunk_tokens >= 0, "a chunk has at least one token");
  network_.attention.costs = o.costs;
}

void Engine::check_context(const SequenceCache& sequence, int64_t n) const {
  if (sequence.length() + n > context_tokens_)
    throw_resource(
        "the context is full: {} tokens are stored, {} more do not fit in {}; try a larger --ctx (the model allows {}) "
        "or a shorter text",
        sequence.length(), n, context_tokens_, config().max_position_embeddings);
}

void Engine::check_cache(std::span<const StepInput> inputs) const {
  int64_t blocks = 0, tokens = 0;
  for (const StepInput& in : inputs) {
    check(!in.ids.empty(), "a step needs at least one id of each sequence");
    check_context(*in.sequence, std::ssize(in.ids));
    tokens += std::ssize(in.ids);
    blocks += blocks_of(in.sequence->length() + std::ssize(in.ids)) - std::ssize(in.sequence->blocks());
  }
  if (blocks * kBlockTokens > cache_.free_tokens())
    throw_resource(
        "the cache is full: {} more tokens of {} sequences need {} blocks of {} tokens, {} are free; try a larger "
        "--ctx, a shorter text or fewer sequences",
        tokens, inputs.size(), blocks, kBlockTokens, cache_.free_tokens() / kBlockTokens);
  check_memory(blocks * kBlockTokens);
}

// Before the first of several chunks is run; a single one is checked by its step.
void Engine::check_chunks(SequenceCache& sequence, std::span<const int32_t> ids) const {
  if (std::ssize(ids) <= chunk_tokens_) return;
  const StepInput whole{.sequence = &sequence, .ids = ids};
  check_cache({&whole, 1});
}

void Engine::check_memory(int64_t n) const {
  const double needed = static_cast<double>(cache_.layout().bytes_per_token() * n);
  if (needed <= unasked_bytes_) {  // asking takes as long as a small model's step
    unasked_bytes_ -= needed;
    return;
  }
  const auto available = static_cast<double>(available_memory_bytes());
  if (available > 0 && needed > available)
    throw_resource(
        "{} more tokens need {} of cache, but only {} of memory is available; try a shorter text or --cache-type q8", n,
        human_bytes(needed), human_bytes(available));
  unasked_bytes_ = available / 16;
}

MatView<float> Engine::logits_for(int64_t rows) {
  const int64_t V = config().vocab_size;
  if (logits_.size() < rows * V) logits_ = Buffer<float>(rows * V);
  return logits_.mat(rows, V);
}

Batch Engine::batch_of(std::span<const StepInput> inputs) {
  check_cache(inputs);
  Batch batch;
  try {
    for (const StepInput& in : inputs) batch.add(cache_, *in.sequence, in.ids, in.logits, in.steps, in.prompt_tokens);
  } catch (...) {
    batch.roll_back(cache_);
    throw;
  }
  return batch;
}

MatView<const float> Engine::step(std::span<const StepInput> inputs, const LayerFn& layer_done) {
  Batch batch = batch_of(inputs);
  const Zone zone("step", batch.rows());
  try {
    const MatView<float> logits = logits_for(std::ssize(batch.logit_rows));
    Context ctx{
        .pool = pool_, .arena = arena_, .numerics = numerics_, .layer_done = layer_done ? &layer_done : nullptr};
    transformer_forward(ctx, network_, batch, cache_, logits);
    return logits;
  } catch (...) {
    batch.roll_back(cache_);
    throw;
  }
}

Passage Engine::begin(std::span<const StepInput> inputs) {
  for (const StepInput& in : inputs) check_ids(in.ids, config());
  return {.batch = batch_of(inputs)};
}

MatView<const float> Engine::last_states(const Passage& passage, int64_t first, int64_t n) {
  check(has_arrived(passage), "the states of a passage that has arrived");
  const int64_t D = config().hidden_size;
  if (states_.size() < n * D) states_ = Buffer<float>(n * D);
  const MatView<float> states = states_.mat(n, D);
  std::copy_n(passage.x.data() + first * D, n * D, states_.data());
  Context ctx{.pool = pool_, .arena = arena_, .numerics = numerics_};
  norm_forward(ctx, network_.weights->norm, config().rms_norm_eps, states, states);
  return states;
}

MatView<const float> Engine::logits_of(const Passage& passage, int64_t first, int64_t n) {
  check(has_arrived(passage), "the logits of a passage that has arrived");
  const int64_t V = config().vocab_size;
  if (passage_logits_.size() < n * V) passage_logits_ = Buffer<float>(n * V);
  std::vector<int32_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
  Context ctx{.pool = pool_, .arena = arena_, .numerics = numerics_};
  head_forward(ctx, network_, rows, passage.x.mat(passage.batch.rows(), config().hidden_size),
               passage_logits_.mat(n, V));
  return passage_logits_.mat(n, V);
}

void Engine::leave(Passage& passage, SequenceCache& sequence) {
  const std::vector<int64_t> kept = passage.batch.remove(cache_, sequence);
  if (passage.layers == 0) return;
  const int64_t D = config().hidden_size;
  for (int64_t row = 0; row < std::ssize(kept); ++row)  // rows move down
    std::copy_n(passage.x.data() + kept[static_cast<size_t>(row)] * D, D, passage.x.data() + row * D);
}

MatView<const float> Engine::step(std::span<const StepInput> inputs, Passage& passage,
                                  const std::function<bool(int64_t layer)>& takes_part) {
  Batch batch = batch_of(inputs);
  const Zone zone("step", batch.rows());
  try {
    const int64_t own = std::ssize(batch.logit_rows), more = std::ssize(passage.batch.logit_rows);
    const MatView<float> logits = logits_for(own + more);
    Context ctx{.pool = pool_, .arena = arena_, .numerics = numerics_};
    transformer_forward(ctx, network_, batch, passage, takes_part, cache_, logits);
    return logits.sub_rows(0, has_arrived(passage) ? own + more : own);
  } catch (...) {
    batch.roll_back(cache_);
    throw;
  }
}

std::span<const float> Engine::append(SequenceCache& sequence, std::span<const int32_t> ids,
                                      const ProgressFn& progress) {
  check(!ids.empty(), "append needs at least one id");
  check_chunks(sequence, ids);
  MatView<const float> logits;
  for (size_t at = 0; at < ids.size();) {
    const size_t n = std::min(static_cast<size_t>(chunk_tokens_), ids.size() - at);
    const StepInput chunk{.sequence = &sequence,
                          .ids = ids.subspan(at, n),
                          .logits = at + n == ids.size() ? Batch::Logits::last : Batch::Logits::none};
    const auto layer_done = [&](int64_t layers) {
      progress(static_cast<int64_t>(at) + static_cast<int64_t>(n) * layers / config().num_hidden_layers);
    };
    logits = step({&chunk, 1}, progress && n > 1 ? LayerFn(layer_done) : LayerFn());
    at += n;
  }
  return {logits.data, static_cast<size_t>(logits.cols)};
}

}  // namespace fathom
