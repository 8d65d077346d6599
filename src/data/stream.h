// The training stream: packed sequences by number. Nothing is remembered between calls, so a run resumes from the
// number of the next sequence alone, and any number of ranks or threads reads the same stream.
//
// Documents stay in the order of their source, joined: a source is one run of tokens (every document already has its
// bos and eos). Window q of a source covers tokens q*T .. q*T + T of the run; the last window goes on at the run's
// start. So in one pass over a source every token is the target exactly once, but for those up to T - 1 that the last
// window repeats.
//
// One epoch of the mixture takes m_s = max(1, round(weight_s * windows_s)) windows of each source s, M in all. Sequence
// g is slot permute(g mod M) of epoch E = g div M; slot j of source s is its visit v = E * m_s + j, and shows window
// permute_s,e(v mod windows_s) of its pass e = v div windows_s. With weight 1 each window is seen once an epoch, with 2
// twice, with 0.5 every second epoch. Permutations are keyed by (seed, what, epoch): permutation.h.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"

namespace fathom {

struct PackedSequence {
  std::vector<int32_t> tokens;  // T + 1: inputs are tokens[0 .. T-1]; a held-out sequence may be shorter, at least 2
  // Ascending positions in `tokens`: where a document starts, or where another part of the run goes on. The first is 0,
  // whether or not its document began before this sequence. Attention must not look across a start.
  std::vector<int32_t> document_starts;
  // The same whenever this window of this data comes again; depends on the document and place that the first token
  // has, not on seed, rank or epoch. Well mixed: `id % 10 == 0` is a fair tenth.
  uint64_t id = 0;
  int32_t source = 0;  // index into TokenDataset::sources()

  int64_t n_inputs() const noexcept { return static_cast<int64_t>(tokens.size()) - 1; }
};

constexpr int32_t kNoTarget = -1;

// targets (T): tokens[t + 1], or kNoTarget where t + 1 starts a document: what follows a document cannot be predicted
// from it, and its first token (bos) need not be. The number of targets is the denominator of the mean loss.
void fill_targets(const PackedSequence& sequence, std::vector<int32_t>& targets);

enum class Positions : uint8_t {
  restart,  // 0, 1, 2 ... from every document start: packed documents see the positions they would see alone
  run_on,   // 0 .. T-1
};
void fill_positions(const PackedSequence& sequence, Positions policy, std::vector<int32_t>& positions);

// Which of the sequences first .. first + count - 1 (one global batch) are rank's: a contiguous share, sizes differing
// by at most one. Joined over the ranks in order they are the whole batch in order, for any n_ranks.
struct SequenceRange {
  int64_t begin = 0, end = 0;
};
SequenceRange rank_share(int64_t first, int64_t count, int rank, int n_ranks) noexcept;

struct StreamOptions {
  int64_t sequence_length = 0;  // T >= 1
  uint64_t seed = 0;
  std::vector<double> weights;  // in the order of the sources, each > 0; empty: those of the manifest
};

class TokenStream {
 public:
  // bad_input for a sequence length < 1, for weights that do not fit the sources, and for data without train tokens.
  // Sources without train documents are left out of the mixture.
  TokenStream(std::shared_ptr<const TokenDataset> data, const StreamOptions& options);

  // Sequence global_index >= 0 of the endless stream; out's memory is reused. O(T + log documents). Thread-safe.
  // bad_input, naming the shard, when it holds an id that the tokenizer has not.
  void sequence(int64_t global_index, PackedSequence& out) const;

  int64_t sequences_per_epoch() const noexcept { return slot_starts_.back(); }
  int64_t sequence_length() const noexcept { return length_; }
  double share(int source) const noexcept;  // of the sequences of an epoch
  const TokenDataset& data() const noexcept { return *data_; }

  // Equal if and only if (up to a 64-bit hash) every sequence is: data, length, seed and weights. Save it beside the
  // position; a resumed run with another fingerprint would read another stream.
  uint64_t fingerprint() const noexcept { return fingerprint_; }

 private:
  std::shared_ptr<const TokenDataset> data_;
  int64_t length_ = 0;
  uint64_t seed_ = 0, fingerprint_ = 0;
  std::vector<int64_t> windows_;      // of each source; 0: left out
  std::vector<int64_t> slot_starts_;  // of each source in an epoch; one more than sources
};

// The held-out documents, in order, each token but the first of a document a target exactly once: for the loss and the
// bits per byte of a text that training never sees.
//     bits per byte = sum of -log2 p(target) over all targets / sum of bytes
// where eos counts in the sum of bits and has no bytes. Compares models with different tokenizers.
class HeldOutReader {
 public:
  // bad_input when nothing was held out, or sequence_length < 1.
  HeldOutReader(std::shared_ptr<const TokenDataset> data, int64_t sequence_length);

  // 0 .. size() - 1: source by source; the last sequence of a source may be shorter. Thread-safe. Any evenly spaced
  // subset is a fair sample, and then bytes() of the sequences used is the denominator.
  int64_t size() const noexcept { return window_starts_.back(); }
  void sequence(int64_t index, PackedSequence& out) const;
  // UTF-8 bytes that the targets of a sequence stand for; special tokens have none.
  int64_t bytes(const PackedSequence& sequence) const;
  const TokenDataset& data() const noexcept { return *data_; }

 private:
  std::shared_ptr<const TokenDataset> data_;
  int64_t length_ = 0;
  std::vector<int64_t> window_starts_;  // of each source; one more than sources
  std::vector<int32_t> token_bytes_;    // by id
};

}  // namespace fathom
