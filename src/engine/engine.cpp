#include "engine/engine.h"

#include <algorithm>
#include <set>

#include "base/file/container.h"
#include "base/progress.h"
#include "model/footprint.h"

namespace fathom {
namespace {

int64_t context_size(const ModelConfig& config, const EngineOptions& o) {
  if (o.context_tokens < 0) throw_bad_input("--ctx is {}; it must be at least 1", o.context_tokens);
  if (o.context_tokens > config.max_position_embeddings)
    throw_bad_input("--ctx is {}, but the model's max_position_embeddings is {}", o.context_tokens,
                    config.max_position_embeddings);
  return o.context_tokens > 0 ? o.context_tokens : config.max_position_embeddings;
}

// Asking for the CPUs of this process would find those of one node when another engine has bound the calling thread.
int thread_count(const EngineOptions& o) {
  if (o.threads > 0) return o.threads;
  std::set<int> cpus;
  for (const auto& node : o.numa.nodes) cpus.insert(node.begin(), node.end());
  return cpus.empty() ? default_thread_count() : default_thread_count(static_cast<int>(cpus.size()));
}

CacheType usable_cache_type(const ModelConfig& config, const EngineOptions& o) {
  const bool coded = config.uses_mla() && o.numerics.is_quantised();
  return o.cache_type.value_or(coded ? CacheType::q16 : CacheType::f32);
}

constexpr int64_t kScoredTokens = 512;  // of one step whose logits are all wanted: a row has vocab_size numbers

}  // namespace

Engine::Engine(const Model& model, const EngineOptions& o)
    : model_(model),
      weights_(model.weights),
      network_(make_network(model.config, weights_)),
      pool_(thread_count(o), o.numa),
      context_tokens_(context_size(model.config, o)),
      chunk_tokens_(o.chunk_tokens > 0 ? o.chunk_tokens : kChunkTokens),
      numerics_(o.numerics),
      cache_(cache_layout(model.config, usable_cache_type(model.config, o)),
             o.cache_tokens > 0 ? o.cache_tokens : context_tokens_) {
  check(o.chunk_tokens >= 0, "a chunk has at least one token");
  pack_weights(o);
  tune(o);
}

void Engine::tune(const EngineOptions& o) {
  if (o.tuning == Tuning::off || !numerics_.is_quantised() || !model_.config.uses_mla()) return;
  int64_t bytes = 0;
  for (const auto& [dtype, n] : weight_bytes(model_.config, weights_)) bytes += n;
  if (o.tuning == Tuning::large && bytes < kMeasuredBytes) return;
  costs_ = machine_costs(o.cache_folder, o.notice);
  network_.attention.costs = costs_.mla;
}

void Engine::pack_weights(const EngineOptions& o) {
  if (!numerics_.is_quantised() || o.weights == WeightPlace::mapped) return;
  const int64_t needed = PackedWeights::bytes(model_.config, weights_);
  if (needed == 0) return;
  if (o.weights != WeightPlace::packed) map_packed(o);
  if (packed_file_) {
    packed_bytes_ = needed;
    return;
  }
  const auto available = static_cast<int64_t>(available_memory_bytes());
  // The file's own pages count as available: they are given back as the copy grows.
  const bool fits = available == 0 || needed <= available - available / 16;
  if (!fits && o.weights != WeightPlace::packed) return;
  if (!fits)
    throw_resource("packed weights need {} of memory, but only {} is available; try --weights mapped",
                   human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(available)));
  packed_ = PackedWeights(pool_, model_.config, weights_, o.load_progress);
  packed_bytes_ = needed;
}

// The file of packed weights: opened where there is one, written first for WeightPlace::cached.
void Engine::map_packed(const EngineOptions& o) {
  const bool may_write = o.weights == WeightPlace::cached;
  const auto say = [&](const char* what, const char* then) {
    if (o.notice) o.notice(fmt::format("{}; {}", what, then));
  };
  constexpr const char* kWithout = "weights are packed as without a cache";
  std::error_code ignored;
  if (!may_write && !std::filesystem::exists(o.cache_folder, ignored)) return;  // no file: no need of its name
  const std::vector<NamedWeight> packed = packable_weights(model_.config, weights_);
  const auto fingerprint = packed_fingerprint(model_.source.get(), packed);
  if (o.cache_folder.empty() || !fingerprint) {
    if (may_write)
      say("there is no folder to cache packed weights in (FATHOM_CACHE_DIR, XDG_CACHE_HOME, HOME)", kWithout);
    return;
  }
  const std::filesystem::path path = packed_file_path(o.cache_folder, *fingerprint);
  const auto open = [&] {
    PackedFile file(path);
    file.verify(pool_, o.load_progress);
    file.attach(*fingerprint, packed);
    packed_file_.emplace(std::move(file));
  };
  if (std::filesystem::exists(path, ignored)) {
    try {
      return open();
    } catch (const Error& e) {
      say(e.what(), may_write ? "it is written again" : kWithout);
    }
  }
  if (!may_write) return;
  try {
    write_packed_file(pool_, path, model_.path, *fingerprint, packed, o.load_progress);
    open();
  } catch (const Error& e) {
    say(e.what(), kWithout);
  }
}

void Engine::check_context(const SequenceCache& sequence, int64_t n) const {
  if (sequence.length() + n > context_tokens_)
    throw_resource(
        "the context is full: {} tokens are stored, {} more do not fit in {}; try a larger --ctx (the model allows {}) "
        "or a shorter text",
        sequence.length(), n, context_tokens_, model_.config.max_position_embeddings);
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
void Engine::check_chunks(SequenceCache& sequence, std::span<const int32_t> ids, int64_t chunk_tokens) const {
  if (std::ssize(ids) <= chunk_tokens) return;
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

MatView<float> Engine::run(const Batch& batch, const LayerFn& layer_done) {
  const auto rows = static_cast<int64_t>(batch.logit_rows.size());
  const int64_t V = model_.config.vocab_size;
  if (logits_.size() < rows * V) logits_ = Buffer<float>(rows * V);
  const MatView<float> logits = logits_.mat(rows, V);
  Context ctx{.pool = pool_, .arena = arena_, .numerics = numerics_, .layer_done = layer_done ? &layer_done : nullptr};
  transformer_forward(ctx, network_, batch, cache_, logits);
  return logits;
}

MatView<const float> Engine::step(std::span<const StepInput> inputs, const LayerFn& layer_done) {
  check_cache(inputs);
  Batch batch;
  try {
    for (const StepInput& in : inputs) batch.add(cache_, *in.sequence, in.ids, in.logits, in.steps);
    return run(batch, layer_done);
  } catch (...) {
    batch.roll_back(cache_);
    throw;
  }
}

std::span<const float> Engine::append(SequenceCache& sequence, std::span<const int32_t> ids,
                                      const ProgressFn& progress) {
  check(!ids.empty(), "append needs at least one id");
  check_chunks(sequence, ids, chunk_tokens_);
  MatView<const float> logits;
  for (size_t at = 0; at < ids.size();) {
    const size_t n = std::min(static_cast<size_t>(chunk_tokens_), ids.size() - at);
    const StepInput chunk{.sequence = &sequence,
                          .ids = ids.subspan(at, n),
                          .logits = at + n == ids.size() ? Batch::Logits::last : Batch::Logits::none};
    const auto layer_done = [&](int64_t layers) {
      progress(static_cast<int64_t>(at) + static_cast<int64_t>(n) * layers / model_.config.num_hidden_layers);
    };
    logits = step({&chunk, 1}, progress && n > 1 ? LayerFn(layer_done) : LayerFn());
    at += n;
  }
  return {logits.data, static_cast<size_t>(logits.cols)};
}

MatView<const float> Engine::verify(SequenceCache& sequence, std::span<const int32_t> ids) {
  const StepInput all{
      .sequence = &sequence, .ids = ids, .logits = Batch::Logits::all, .steps = Batch::Steps::per_token};
  return step({&all, 1});
}

void Engine::score(SequenceCache& sequence, std::span<const int32_t> ids, int64_t first_wanted, const RowFn& row) {
  const int64_t chunk_tokens = std::min(chunk_tokens_, kScoredTokens);
  check_chunks(sequence, ids, chunk_tokens);
  for (int64_t at = 0; at < std::ssize(ids);) {
    const int64_t n = std::min(chunk_tokens, std::ssize(ids) - at);
    const StepInput chunk{.sequence = &sequence,
                          .ids = ids.subspan(static_cast<size_t>(at), static_cast<size_t>(n)),
                          .logits = at + n > first_wanted ? Batch::Logits::all : Batch::Logits::none};
    const MatView<const float> logits = step({&chunk, 1});
    for (int64_t i = std::max<int64_t>(0, first_wanted - at); i < logits.rows; ++i) row(at + i, logits.vec(i));
    at += n;
  }
}

int64_t Engine::room(const SequenceCache& sequence) const noexcept {
  const int64_t in_blocks = std::ssize(sequence.blocks()) * kBlockTokens - sequence.length();
  return std::min(context_tokens_ - sequence.length(), in_blocks + cache_.free_tokens());
}

}  // namespace fathom
