#include "data/stream.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/xxh64.h"
#include "data/permutation.h"

namespace fathom {
namespace {

constexpr uint64_t kMixStream = 0;  // what Permutation permutes: 0 the slots of an epoch, 1 + s the windows of source s

// Room for 2^32 epochs of 2^31 windows in a 64-bit sequence number.
constexpr double kMaxSlots = 0x1p31;

uint64_t mix(uint64_t h) noexcept {  // the finaliser of MurmurHash3
  h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
  h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
  return h ^ h >> 33;
}

// Where documents start in tokens [at, at + count) of the run, as positions from `first`.
void add_starts(const TokenRun& run, int64_t at, int64_t count, int64_t first, std::vector<int32_t>& starts) {
  starts.push_back(static_cast<int32_t>(first));  // the window's start, or the run's
  for (int64_t d = run.document_at(at) + 1; d < run.n_documents(); ++d) {
    const int64_t begin = run.document_begin(d);
    if (begin >= at + count) break;
    const auto position = static_cast<int32_t>(first + begin - at);
    if (position != starts.back()) starts.push_back(position);
  }
}

// Tokens at .. at + count - 1 of the run, which goes on at its start.
void read_window(const TokenRun& run, int64_t at, int64_t count, int32_t n_ids, PackedSequence& out) {
  out.tokens.resize(static_cast<size_t>(count));
  out.document_starts.clear();
  const int64_t d = run.document_at(at);
  out.id = mix(run.document_hash(d) ^ mix(static_cast<uint64_t>(at - run.document_begin(d))));
  for (int64_t done = 0; done < count;) {
    const int64_t n = std::min(count - done, run.n_tokens() - at);
    run.copy(at, n, n_ids, out.tokens.data() + done);
    add_starts(run, at, n, done, out.document_starts);
    done += n;
    at = 0;
  }
}

void check_length(int64_t length) {
  if (length < 1 || length > (int64_t{1} << 30))
    throw_bad_input("a sequence length of {} cannot be; it is a number of tokens from 1 to 2^30", length);
}

}  // namespace

void fill_targets(const PackedSequence& s, std::vector<int32_t>& targets) {
  targets.assign(s.tokens.begin() + 1, s.tokens.end());
  for (const int32_t start : s.document_starts)
    if (start > 0) targets[static_cast<size_t>(start) - 1] = kNoTarget;
}

void fill_positions(const PackedSequence& s, Positions policy, std::vector<int32_t>& positions) {
  positions.resize(s.tokens.size() - 1);
  size_t next = 0;
  int32_t base = 0;
  for (size_t t = 0; t < positions.size(); ++t) {
    if (policy == Positions::restart && next < s.document_starts.size() &&
        static_cast<size_t>(s.document_starts[next]) == t)
      base = s.document_starts[next++];
    positions[t] = static_cast<int32_t>(t) - base;
  }
}

SequenceRange rank_share(int64_t first, int64_t count, int rank, int n_ranks) noexcept {
  return {first + count * rank / n_ranks, first + count * (rank + 1) / n_ranks};
}

TokenStream::TokenStream(std::shared_ptr<const TokenDataset> data, const StreamOptions& options)
    : data_(std::move(data)), length_(options.sequence_length), seed_(options.seed) {
  check_length(length_);
  const auto& sources = data_->sources();
  const std::string where = data_->folder().string();
  if (!options.weights.empty() && options.weights.size() != sources.size())
    throw_bad_input("{}: {} mixture weights were given for {} sources; `fathom data show` lists them", where,
                    options.weights.size(), sources.size());
  std::string identity = fmt::format("{} {} {}", hash_text(data_->manifest_hash()), length_, seed_);
  slot_starts_ = {0};
  for (size_t s = 0; s < sources.size(); ++s) {
    const double weight = options.weights.empty() ? sources[s].weight : options.weights[s];
    if (!(weight > 0) || !std::isfinite(weight))
      throw_bad_input("{}: the weight of source {} is {}; it is a number above 0", where, sources[s].name, weight);
    windows_.push_back((sources[s].train.n_tokens() + length_ - 1) / length_);
    const double slots = windows_[s] == 0 ? 0 : std::max(1.0, std::round(weight * static_cast<double>(windows_[s])));
    if (static_cast<double>(slot_starts_.back()) + slots > kMaxSlots)
      throw_bad_input(
          "{}: an epoch of more than 2^31 sequences; lower the weight of source {} or take longer sequences", where,
          sources[s].name);
    slot_starts_.push_back(slot_starts_.back() + static_cast<int64_t>(slots));
    identity += fmt::format(" {}", slot_starts_.back());
  }
  if (slot_starts_.back() == 0) throw_bad_input("{}: there are no training tokens in it", where);
  fingerprint_ = xxh64(identity);
}

double TokenStream::share(int source) const noexcept {
  const auto s = static_cast<size_t>(source);
  return static_cast<double>(slot_starts_[s + 1] - slot_starts_[s]) / static_cast<double>(slot_starts_.back());
}

void TokenStream::sequence(int64_t global_index, PackedSequence& out) const {
  check(global_index >= 0, "sequences are numbered from 0");
  const auto n_slots = static_cast<uint64_t>(slot_starts_.back()), g = static_cast<uint64_t>(global_index);
  const uint64_t epoch = g / n_slots;
  const auto slot = static_cast<int64_t>(Permutation(n_slots, seed_, kMixStream, epoch)(g % n_slots));
  const auto after = std::upper_bound(slot_starts_.begin(), slot_starts_.end(), slot);
  const auto s = static_cast<size_t>(after - slot_starts_.begin()) - 1;

  const auto m = static_cast<uint64_t>(slot_starts_[s + 1] - slot_starts_[s]);
  const auto n_windows = static_cast<uint64_t>(windows_[s]);
  const uint64_t visit = epoch * m + static_cast<uint64_t>(slot - slot_starts_[s]);
  const uint64_t window = Permutation(n_windows, seed_, 1 + s, visit / n_windows)(visit % n_windows);
  out.source = static_cast<int32_t>(s);
  read_window(data_->sources()[s].train, static_cast<int64_t>(window) * length_, length_ + 1, data_->vocab_size(), out);
}

HeldOutReader::HeldOutReader(std::shared_ptr<const TokenDataset> data, int64_t sequence_length)
    : data_(std::move(data)), length_(sequence_length), window_starts_{0} {
  check_length(length_);
  for (const DataSource& source : data_->sources()) {
    const int64_t n_targets = std::max<int64_t>(source.held_out.n_tokens() - 1, 0);
    window_starts_.push_back(window_starts_.back() + (n_targets + length_ - 1) / length_);
  }
  if (size() == 0)
    throw_bad_input("{}: no document was held out; build the data with --held-out above 0, or with more documents",
                    data_->folder().string());
  for (int32_t id = 0; id < data_->vocab_size(); ++id)
    token_bytes_.push_back(
        data_->tokenizer().is_special(id) ? 0 : static_cast<int32_t>(data_->tokenizer().token_bytes(id).size()));
}

void HeldOutReader::sequence(int64_t index, PackedSequence& out) const {
  check(index >= 0 && index < size(), "a held-out sequence below size()");
  const auto after = std::upper_bound(window_starts_.begin(), window_starts_.end(), index);
  const auto s = static_cast<size_t>(after - window_starts_.begin()) - 1;
  const TokenRun& run = data_->sources()[s].held_out;
  const int64_t at = (index - window_starts_[s]) * length_;
  out.source = static_cast<int32_t>(s);
  read_window(run, at, std::min(length_ + 1, run.n_tokens() - at), data_->vocab_size(), out);
}

int64_t HeldOutReader::bytes(const PackedSequence& s) const {
  int64_t sum = 0;
  for (size_t t = 1; t < s.tokens.size(); ++t) sum += token_bytes_[static_cast<size_t>(s.tokens[t])];
  for (const int32_t start : s.document_starts)  // the first token of a document is no target
    if (start > 0) sum -= token_bytes_[static_cast<size_t>(s.tokens[static_cast<size_t>(start)])];
  return sum;
}

}  // namespace fathom
