#include "data/stream.h"

#include <cmath>
#include <map>
#include <set>

#include "data/data_files.h"

namespace fathom {
namespace {

class Stream : public DataFiles {
 protected:
  struct Spec {
    uint64_t n_texts;
    double weight;
  };
  // A source of texts for each spec.
  std::shared_ptr<const TokenDataset> make(const std::vector<Spec>& specs, double held_out = 0,
                                           uint64_t shard_tokens = 500) {
    std::vector<DataInput> inputs;
    for (size_t s = 0; s < specs.size(); ++s) {
      std::vector<std::string> texts;
      for (uint64_t i = 0; i < specs[s].n_texts; ++i) texts.push_back(some_text(s + 1, i, 3 + philox(9, s, i)[0] % 40));
      inputs.push_back(
          {.path = write(fmt::format("s{}.jsonl", s), json_lines(texts)), .weight = specs[s].weight, .name = {}});
    }
    auto o = options(inputs);
    o.held_out = held_out;
    o.shard_tokens = shard_tokens;
    o.force = true;
    build_data(o);
    return TokenDataset::open(folder / "data");
  }
  static std::vector<int32_t> all_tokens(const TokenRun& run, int32_t n_ids) {
    std::vector<int32_t> out(static_cast<size_t>(run.n_tokens()));
    run.copy(0, run.n_tokens(), n_ids, out.data());
    return out;
  }
  static std::map<std::vector<int32_t>, int> windows_seen(const TokenStream& stream, int64_t first, int64_t count,
                                                          int source) {
    std::map<std::vector<int32_t>, int> seen;
    PackedSequence s;
    for (int64_t g = first; g < first + count; ++g) {
      stream.sequence(g, s);
      if (s.source == source) ++seen[s.tokens];
    }
    return seen;
  }
};

TEST_F(Stream, EveryTokenIsATargetOnceAnEpoch) {
  const auto data = make({{200, 1}, {80, 1}});
  const TokenStream stream(data, {.sequence_length = 32, .seed = 3, .weights = {}});
  std::map<std::pair<int32_t, int64_t>, int> starts;  // (source, window's first tokens) are found by content below
  for (int64_t epoch = 0; epoch < 3; ++epoch)
    for (int s = 0; s < 2; ++s) {
      const TokenRun& run = data->sources()[static_cast<size_t>(s)].train;
      auto tokens = all_tokens(run, data->vocab_size());
      const int64_t n = run.n_tokens();
      for (int64_t i = 0; i < 40; ++i) tokens.push_back(tokens[static_cast<size_t>(i)]);  // the last window wraps
      std::map<std::vector<int32_t>, int> want;
      for (int64_t at = 0; at < n; at += 32)
        ++want[std::vector<int32_t>(tokens.begin() + at, tokens.begin() + at + 33)];
      EXPECT_EQ(windows_seen(stream, epoch * stream.sequences_per_epoch(), stream.sequences_per_epoch(), s), want);
    }
}

TEST_F(Stream, EpochsSeedsAndLengthsGiveOtherOrders) {
  const auto data = make({{300, 1}});
  const TokenStream a(data, {.sequence_length = 16, .seed = 1, .weights = {}}),
      b(data, {.sequence_length = 16, .seed = 2, .weights = {}});
  PackedSequence x, y;
  int same_epoch = 0, same_seed = 0;
  for (int64_t g = 0; g < a.sequences_per_epoch(); ++g) {
    a.sequence(g, x);
    b.sequence(g, y);
    same_seed += x.tokens == y.tokens;
    a.sequence(g + a.sequences_per_epoch(), y);
    same_epoch += x.tokens == y.tokens;
  }
  EXPECT_LT(same_seed, 12);
  EXPECT_LT(same_epoch, 12);
  EXPECT_NE(a.fingerprint(), b.fingerprint());
}

TEST_F(Stream, WeightsHoldInEveryEpochAndOverEpochs) {
  const auto data = make({{200, 2}, {200, 1}, {200, 0.5}});
  const TokenStream stream(data, {.sequence_length = 24, .seed = 4, .weights = {}});
  const int64_t m = stream.sequences_per_epoch();
  for (int s = 0; s < 3; ++s) {
    const int64_t n_windows = (data->sources()[static_cast<size_t>(s)].train.n_tokens() + 23) / 24;
    const double weight = data->sources()[static_cast<size_t>(s)].weight;
    const auto slots = static_cast<int64_t>(std::round(weight * static_cast<double>(n_windows)));
    EXPECT_NEAR(stream.share(s), static_cast<double>(slots) / static_cast<double>(m), 1e-12);
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      int64_t n = 0;
      for (const auto& [tokens, times] : windows_seen(stream, epoch * m, m, s)) n += times;
      EXPECT_EQ(n, slots);
    }
    // Over 4 epochs, no window is seen more than one time oftener than another.
    int least = 1 << 30, most = 0;
    const auto seen = windows_seen(stream, 0, 4 * m, s);
    EXPECT_EQ(static_cast<int64_t>(seen.size()), n_windows);
    for (const auto& [tokens, times] : seen) least = std::min(least, times), most = std::max(most, times);
    EXPECT_LE(most - least, 1) << s;
  }
}

TEST_F(Stream, SourcesAreMixedEvenlyAlongTheEpoch) {
  const auto data = make({{400, 1}, {400, 1}});
  const TokenStream stream(data, {.sequence_length = 8, .seed = 5, .weights = {}});
  const int64_t tenth = stream.sequences_per_epoch() / 10;
  PackedSequence s;
  for (int64_t part = 0; part < 10; ++part) {
    int64_t first = 0;
    for (int64_t g = part * tenth; g < (part + 1) * tenth; ++g) {
      stream.sequence(g, s);
      first += s.source == 0;
    }
    const double share = static_cast<double>(first) / static_cast<double>(tenth);
    EXPECT_NEAR(share, stream.share(0), 5 * 0.5 / std::sqrt(static_cast<double>(tenth)));
  }
}

TEST_F(Stream, TheSameForOneTwoAndFourRanks) {
  const auto data = make({{100, 1}, {50, 2}});
  const TokenStream stream(data, {.sequence_length = 20, .seed = 6, .weights = {}});
  const int64_t batches[] = {4, 7, 8, 1, 2, 16};  // also sizes that do not divide: the batch ramps up
  for (const int n_ranks : {1, 2, 4, 7}) {
    int64_t first = 0, expected = 0;
    for (const int64_t batch : batches) {
      int64_t largest = 0, smallest = batch;
      for (int rank = 0; rank < n_ranks; ++rank) {
        const SequenceRange share = rank_share(first, batch, rank, n_ranks);
        EXPECT_EQ(share.begin, expected);
        expected = share.end;
        largest = std::max(largest, share.end - share.begin);
        smallest = std::min(smallest, share.end - share.begin);
      }
      EXPECT_LE(largest - smallest, 1);
      first += batch;
      EXPECT_EQ(expected, first);
    }
  }
}

TEST_F(Stream, ResumingFromANumberEqualsGoingOn) {
  make({{150, 1}, {60, 0.7}});
  std::vector<PackedSequence> whole(200);
  {
    const TokenStream stream(TokenDataset::open(folder / "data"), {.sequence_length = 16, .seed = 7, .weights = {}});
    for (int64_t g = 0; g < 200; ++g) stream.sequence(g, whole[static_cast<size_t>(g)]);
  }
  for (const int64_t from : {0, 1, 99, 137}) {  // a new process: everything is opened again
    const TokenStream stream(TokenDataset::open(folder / "data"), {.sequence_length = 16, .seed = 7, .weights = {}});
    PackedSequence s;
    for (int64_t g = from; g < 200; ++g) {
      stream.sequence(g, s);
      EXPECT_EQ(s.tokens, whole[static_cast<size_t>(g)].tokens);
      EXPECT_EQ(s.document_starts, whole[static_cast<size_t>(g)].document_starts);
      EXPECT_EQ(s.id, whole[static_cast<size_t>(g)].id);
    }
  }
}

TEST_F(Stream, DocumentStartsAreWhereBosIs) {
  const auto data = make({{120, 1}});
  const TokenStream stream(data, {.sequence_length = 48, .seed = 8, .weights = {}});
  PackedSequence s;
  std::vector<int32_t> targets, positions;
  for (int64_t g = 0; g < stream.sequences_per_epoch(); ++g) {
    stream.sequence(g, s);
    ASSERT_EQ(s.tokens.size(), 49u);
    std::vector<int32_t> want = {0};
    for (int32_t t = 1; t < 49; ++t)
      if (s.tokens[static_cast<size_t>(t)] == data->tokenizer().bos()) want.push_back(t);
    EXPECT_EQ(s.document_starts, want);
    fill_targets(s, targets);
    fill_positions(s, Positions::restart, positions);
    ASSERT_EQ(targets.size(), 48u);
    ASSERT_EQ(positions.size(), 48u);
    int32_t position = 0;
    for (size_t t = 0; t < 48; ++t) {
      const bool starts = s.tokens[t] == data->tokenizer().bos();
      position = t == 0 || starts ? 0 : position + 1;
      EXPECT_EQ(positions[t], position);
      EXPECT_EQ(targets[t], s.tokens[t + 1] == data->tokenizer().bos() ? kNoTarget : s.tokens[t + 1]);
    }
    fill_positions(s, Positions::run_on, positions);
    EXPECT_EQ(positions[47], 47);
  }
}

TEST_F(Stream, IdsStayWithTheirWindowAndAreWellMixed) {
  const auto data = make({{3000, 1}});
  const TokenStream a(data, {.sequence_length = 48, .seed = 1, .weights = {}}),
      b(data, {.sequence_length = 48, .seed = 2, .weights = {}});
  std::map<std::vector<int32_t>, uint64_t> ids;
  std::set<uint64_t> different;
  PackedSequence s;
  int64_t exempt = 0;
  const int64_t m = a.sequences_per_epoch();
  for (int64_t g = 0; g < m; ++g) {
    a.sequence(g, s);
    ids[s.tokens] = s.id;
    different.insert(s.id);
    exempt += s.id % 10 == 0;
  }
  EXPECT_EQ(static_cast<int64_t>(different.size()), m);
  EXPECT_NEAR(static_cast<double>(exempt), static_cast<double>(m) / 10, 4 * std::sqrt(0.09 * static_cast<double>(m)));
  for (int64_t g = 0; g < m; ++g) {
    b.sequence(g + m, s);
    EXPECT_EQ(ids.at(s.tokens), s.id);
  }
}

TEST_F(Stream, ASourceShorterThanASequenceRepeats) {
  const auto data = make({{1, 1}});
  const TokenRun& run = data->sources()[0].train;
  const TokenStream stream(data, {.sequence_length = 1000, .seed = 0, .weights = {}});
  EXPECT_EQ(stream.sequences_per_epoch(), 1);
  PackedSequence s;
  stream.sequence(5, s);
  const auto tokens = all_tokens(run, data->vocab_size());
  for (size_t t = 0; t < s.tokens.size(); ++t) EXPECT_EQ(s.tokens[t], tokens[t % tokens.size()]);
  for (size_t i = 0; i < s.document_starts.size(); ++i)
    EXPECT_EQ(s.document_starts[i], static_cast<int32_t>(i * tokens.size()));
}

TEST_F(Stream, ShardSizesDoNotShow) {
  PackedSequence a, b;
  const auto one = make({{100, 1}}, 0, 1u << 30);
  std::vector<PackedSequence> want;
  const TokenStream stream(one, {.sequence_length = 40, .seed = 3, .weights = {}});
  for (int64_t g = 0; g < stream.sequences_per_epoch(); ++g) {
    stream.sequence(g, a);
    want.push_back(a);
  }
  const TokenStream many(make({{100, 1}}, 0, 60), {.sequence_length = 40, .seed = 3, .weights = {}});
  ASSERT_GT(many.data().manifest().sources[0].train.shards.size(), 10u);
  for (size_t g = 0; g < want.size(); ++g) {
    many.sequence(static_cast<int64_t>(g), b);
    EXPECT_EQ(b.tokens, want[g].tokens);
    EXPECT_EQ(b.document_starts, want[g].document_starts);
    EXPECT_EQ(b.id, want[g].id);
  }
}

TEST_F(Stream, HeldOutSequencesCoverEveryTokenAndEveryByteOnce) {
  const auto data = make({{300, 1}, {100, 1}}, 0.3);
  for (const int64_t length : {1, 7, 64, 100000}) {
    const HeldOutReader reader(data, length);
    int64_t targets = 0, bytes = 0;
    PackedSequence s;
    std::vector<int32_t> t, joined;
    for (int64_t i = 0; i < reader.size(); ++i) {
      reader.sequence(i, s);
      ASSERT_GE(s.n_inputs(), 1);
      ASSERT_LE(s.n_inputs(), length);
      fill_targets(s, t);
      for (const int32_t target : t) targets += target != kNoTarget;
      bytes += reader.bytes(s);
    }
    EXPECT_EQ(targets, data->n_tokens(Split::held_out) - data->n_documents(Split::held_out)) << length;
    EXPECT_EQ(bytes, data->n_bytes(Split::held_out)) << length;  // the only tokens that are no targets are bos
  }
}

TEST_F(Stream, RefusesWhatCannotBe) {
  const auto data = make({{20, 1}, {20, 1}});
  const auto with = [&](int64_t length, std::vector<double> weights) {
    return error_of([&] { TokenStream(data, {.sequence_length = length, .seed = 0, .weights = std::move(weights)}); });
  };
  EXPECT_TRUE(says(with(0, {}), {"sequence length of 0"}));
  EXPECT_TRUE(says(with(16, {1}), {"1 mixture weights", "2 sources"}));
  EXPECT_TRUE(says(with(16, {1, -1}), {"s1", "-1"}));
  EXPECT_TRUE(says(with(16, {1, 1e12}), {"s1", "2^31"}));
  EXPECT_EQ(with(16, {1, 0.25}), "");
  EXPECT_TRUE(says(error_of([&] { HeldOutReader(data, 16); }), {"held out"}));
  auto all = make({{2, 1}}, 0.999999999);
  EXPECT_TRUE(says(error_of([&] { TokenStream(all, {.sequence_length = 4, .seed = 0, .weights = {}}); }),
                   {"no training tokens"}));
}

TEST_F(Stream, AnIdOutsideTheVocabularyIsRefusedWhenItIsRead) {
  make({{5, 1}});
  // A shard with a foreign id, and the manifest made to fit.
  const auto data = folder / "data";
  Manifest m = read_manifest(read(data / "manifest.json"), "m");
  ShardBuilder builder(m.tokenizer_hash);
  builder.add(std::vector<int32_t>{1, 2, 999999, 3}, 4, 1);
  const ShardHeader h = builder.write(data / "foreign.tokens");
  m.sources[0].train.shards = {{.file = "foreign.tokens",
                                .documents = h.n_documents,
                                .tokens = h.n_tokens,
                                .bytes = h.n_bytes,
                                .file_size = 0,
                                .checksum = h.content_checksum}};
  write("data/manifest.json", write_manifest(m));
  const TokenStream stream(TokenDataset::open(data), {.sequence_length = 4, .seed = 0, .weights = {}});
  PackedSequence s;
  EXPECT_TRUE(says(error_of([&] { stream.sequence(0, s); }), {"foreign.tokens", "999999"}));
}

TEST_F(Stream, TenMillionDocumentsOpenAndReadAtOnce) {
  make({{5, 1}});
  const auto data = folder / "data";
  Manifest m = read_manifest(read(data / "manifest.json"), "m");
  m.sources[0].train.shards.clear();
  constexpr int kShards = 5, kDocuments = 2'000'000;
  for (int i = 0; i < kShards; ++i) {
    ShardBuilder builder(m.tokenizer_hash);
    for (int d = 0; d < kDocuments; ++d) {
      const auto r = philox(1, static_cast<uint64_t>(i), static_cast<uint64_t>(d));
      const int32_t ids[3] = {*tokenizer().bos(), static_cast<int32_t>(r[0] % 200), *tokenizer().eos()};
      builder.add(ids, 1, uint64_t{r[1]} << 32 | r[2]);
    }
    const std::string name = fmt::format("many-{}.tokens", i);
    const ShardHeader h = builder.write(data / name);
    m.sources[0].train.shards.push_back({.file = name,
                                         .documents = h.n_documents,
                                         .tokens = h.n_tokens,
                                         .bytes = h.n_bytes,
                                         .file_size = 0,
                                         .checksum = h.content_checksum});
  }
  write("data/manifest.json", write_manifest(m));
  const auto opened = TokenDataset::open(data);
  EXPECT_EQ(opened->n_documents(Split::train), 10'000'000);
  // Sequences of one document each.
  const TokenStream stream(opened, {.sequence_length = 3, .seed = 1, .weights = {}});
  ASSERT_EQ(stream.sequences_per_epoch(), 10'000'000);
  PackedSequence s;
  std::set<uint64_t> seen;
  for (int64_t g = 0; g < 10'000'000; g += 50) {
    stream.sequence(g, s);
    EXPECT_EQ(s.tokens[0], tokenizer().bos());
    EXPECT_EQ(s.tokens[2], tokenizer().eos());
    EXPECT_TRUE(seen.insert(s.id).second);
  }
}

}  // namespace
}  // namespace fathom
