#include "measure/measure.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/random.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

// Ids that no one chose: neighbours differ, and so do sequences, so that tokens pick their experts independently.
int32_t some_id(int64_t vocab_size, int64_t position, size_t sequence) {
  return static_cast<int32_t>(uniform01(1, sequence, static_cast<uint64_t>(position)) *
                              static_cast<double>(vocab_size));
}

class Bench {
 public:
  Bench(Engine& engine, const MeasureOptions& options) : engine_(engine), options_(options) {}

  void set_depth(size_t n_sequences, int64_t depth) {
    while (sequences_.size() > n_sequences) {
      engine_.cache().truncate(sequences_.back(), 0);
      sequences_.pop_back();
    }
    sequences_.resize(n_sequences);
    for (size_t s = 0; s < n_sequences; ++s) {
      if (sequences_[s].length() > depth) engine_.cache().truncate(sequences_[s], depth);
      if (sequences_[s].length() < depth) append(s, depth - sequences_[s].length());
    }
  }

  Timing run(const Work& w) {
    Timing t{.work = w, .seconds = {}};
    double total = 0;
    do {
      set_depth(static_cast<size_t>(w.sequences), w.depth);
      warm_up(w, t.seconds.empty());
      std::optional<ZoneProfile> profile;
      if (options_.profile) profile.emplace();
      const double start = clock_seconds();
      w.kind == WorkKind::prefill ? prefill(w.tokens) : decode(w.tokens);
      t.seconds.push_back(clock_seconds() - start);
      total += t.seconds.back();
      if (profile) t.zones = profile->finish(std::move(t.zones));
    } while (more(static_cast<int>(t.seconds.size()), total));
    return t;
  }

  void end() { set_depth(0, 0); }

 private:
  bool more(int done, double total) const {
    if (options_.repetitions > 0) return done < options_.repetitions;
    return done < kMostRepetitions && total + total / done <= kFairSeconds;
  }

  // A decode is timed from its second step on; the first prefill of a work follows a short one, which is taken back.
  void warm_up(const Work& w, bool first) {
    if (w.kind == WorkKind::decode) {
      decode(1);
    } else if (first) {
      prefill(std::min<int64_t>(w.tokens, 32));
      engine_.cache().truncate(sequences_[0], w.depth);
    }
  }

  void prefill(int64_t n) { engine_.append(sequences_[0], ids(0, n)); }

  void decode(int64_t steps) {
    for (int64_t i = 0; i < steps; ++i) {
      std::vector<int32_t> chosen(sequences_.size());
      std::vector<StepInput> inputs;
      for (size_t s = 0; s < sequences_.size(); ++s) {
        chosen[s] = some_id(engine_.config().vocab_size, sequences_[s].length(), s);
        inputs.push_back({&sequences_[s], std::span(&chosen[s], 1)});
      }
      engine_.step(inputs);
    }
  }

  std::vector<int32_t> ids(size_t sequence, int64_t n) const {
    std::vector<int32_t> out(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      out[static_cast<size_t>(i)] = some_id(engine_.config().vocab_size, sequences_[sequence].length() + i, sequence);
    return out;
  }

  void append(size_t sequence, int64_t n) {
    if (options_.fill == Fill::prefill)
      engine_.append(sequences_[sequence], ids(sequence, n));
    else
      append_random(sequences_[sequence], n);
  }

  // Rows of unit variance, as a latent after its norm has; kRows different ones in turn.
  void append_random(SequenceCache& sequence, int64_t n) {
    constexpr int64_t kRows = 61;
    const CacheLayout& layout = engine_.cache().layout();
    if (random_rows_.size() == 0) {
      random_rows_ = Buffer<float>(kRows * layout.width);
      for (int64_t i = 0; i < random_rows_.size(); ++i)
        random_rows_[i] = static_cast<float>(standard_normal(2, 0, static_cast<uint64_t>(i)));
    }
    const MatView<float> rows = random_rows_.mat(kRows, layout.width);
    n -= append_copies(sequence, n);
    const int64_t first = sequence.length();
    engine_.cache().extend(sequence, n);
    for (int64_t layer = 0; layer < layout.layers; ++layer)
      for (int64_t p = first; p < first + n; ++p)
        engine_.cache().store(sequence, layer, p, rows.vec((p + layer) % kRows));
  }

  // The same from blocks of the first sequence, where it has whole ones: thousands of sequences are then filled as fast
  // as memory is copied. Returns how many of the n tokens.
  int64_t append_copies(SequenceCache& sequence, int64_t n) {
    const SequenceCache& from = sequences_.front();
    const int64_t n_whole = from.length() / kBlockTokens, before = sequence.length();
    if (&sequence == &from || n_whole == 0 || before % kBlockTokens != 0) return 0;
    while (sequence.length() - before < n) {
      const int64_t count = std::min(kBlockTokens, n - (sequence.length() - before));
      const int64_t which = sequence.length() / kBlockTokens % n_whole;
      engine_.cache().append_copy(sequence, from.blocks()[static_cast<size_t>(which)], count);
    }
    return n;
  }

  Engine& engine_;
  const MeasureOptions& options_;
  std::vector<SequenceCache> sequences_;
  Buffer<float> random_rows_;
};

}  // namespace

double median(std::vector<double> values) {
  check(!values.empty(), "a median of at least one number");
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

int64_t cache_tokens_for(const std::vector<Work>& works) {
  int64_t tokens = kBlockTokens;
  for (const Work& w : works)
    tokens = std::max(tokens, w.sequences * ((w.positions() + kBlockTokens - 1) / kBlockTokens * kBlockTokens));
  return tokens;
}

std::vector<Timing> measure(Engine& engine, const std::vector<Work>& works, const MeasureOptions& options,
                            const std::function<void(const Work&)>& on_start) {
  std::vector<size_t> order(works.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return works[a].sequences != works[b].sequences ? works[a].sequences < works[b].sequences
                                                    : works[a].depth > works[b].depth;
  });
  std::vector<Timing> timings(works.size());
  Bench bench(engine, options);
  for (const size_t i : order) {
    on_start(works[i]);
    timings[i] = bench.run(works[i]);
  }
  bench.end();
  return timings;
}

}  // namespace fathom
