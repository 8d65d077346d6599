// Pieces and passages: the bits of a token depend on its sequence alone, neither on how that is cut into steps, nor on
// what crosses the network beside it.
#include <gtest/gtest.h>

#include "support/random_model.h"

namespace fathom {
namespace {

using namespace fathom::testing;

struct Case {
  const char* name;
  ModelConfig config;
  CacheType type;
  Numerics numerics;
};

std::vector<Case> cases() {
  return {{"mla exact", tiny_v2_config(), CacheType::f32, Numerics::exact()},
          {"mla exact, bf16", tiny_v2_config(), CacheType::bf16, Numerics::bf16_reference()},
          {"mla int16, q16", packable_v2_config(), CacheType::q16, Numerics::quantised()},
          {"mla int16, q8", tiny_v2_config(), CacheType::q8, Numerics::quantised()},
          {"gqa exact", tiny_llama_config(), CacheType::f32, Numerics::exact()}};
}

struct Cutter : Runner {
  Cutter(const RandomModel& m, const Case& c, int threads = 2) : Runner(m, threads, c.type) { numerics = c.numerics; }

  // Logits of all tokens, run in steps of `chunk`.
  std::vector<float> run(std::span<const int32_t> ids, int64_t prompt_tokens, size_t chunk) {
    std::vector<float> all;
    SequenceCache sequence;
    for (size_t at = 0; at < ids.size(); at += chunk) {
      Batch batch;
      batch.add(cache, sequence, ids.subspan(at, std::min(chunk, ids.size() - at)), Batch::Logits::all,
                Batch::Steps::pieces, prompt_tokens);
      const auto logits = forward(batch);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }
};

TEST(Pieces, APromptHasTheSameBitsHoweverItIsCut) {
  for (const Case& c : cases()) {
    const RandomModel model(c.config);
    const auto ids = random_ids(kPieceTokens + 200, model.config.vocab_size, 5);
    for (const int64_t prompt : {std::ssize(ids), std::ssize(ids) - 70}) {
      const auto whole = Cutter(model, c).run(ids, prompt, ids.size());
      for (const size_t chunk : {1u, 7u, 64u, 150u, 513u})
        EXPECT_TRUE(same_bits(Cutter(model, c).run(ids, prompt, chunk), whole)) << c.name << " in steps of " << chunk;
    }
  }
}

TEST(Pieces, TokensThatFollowThePromptAreStepsOfOne) {
  EXPECT_EQ(piece_of(700, 700).n_new, 1);
  EXPECT_EQ(piece_of(699, 700).n_past, 512);
  EXPECT_EQ(piece_of(699, 700).n_new, 188);
  EXPECT_EQ(piece_of(3, 5000).n_new, 512);
  for (const Case& c : cases()) {
    const RandomModel model(c.config);
    const auto ids = random_ids(90, model.config.vocab_size, 6);
    Cutter steps(model, c), pieces(model, c);
    SequenceCache a, b;
    std::vector<float> want;
    for (size_t i = 0; i < ids.size(); i += i == 0 ? 40 : 1) {
      Batch batch;
      batch.add(steps.cache, a, std::span(ids).subspan(i, i == 0 ? 40 : 1), Batch::Logits::last);
      const auto row = steps.forward(batch);
      if (i > 0) want.insert(want.end(), row.begin(), row.end());
    }
    Batch prompt, rest;
    prompt.add(pieces.cache, b, std::span(ids).first(40), Batch::Logits::none, Batch::Steps::pieces, 40);
    pieces.forward(prompt);
    rest.add(pieces.cache, b, std::span(ids).subspan(40), Batch::Logits::all, Batch::Steps::pieces, 40);
    EXPECT_TRUE(same_bits(pieces.forward(rest), want)) << c.name;
  }
}

// Two prompts cross the network two layers a step, then one, ...; another sequence decodes beside them.
TEST(Passage, ItsRowsAndThoseBesideItAreTheSameBits) {
  for (const Case& c : cases()) {
    const RandomModel model(c.config);
    const int64_t V = model.config.vocab_size, L = model.config.num_hidden_layers;
    const auto long_ids = random_ids(130, V, 7), short_ids = random_ids(9, V, 8), beside = random_ids(60, V, 9);
    const auto last_of = [&](std::span<const int32_t> ids) {
      const auto all = Cutter(model, c).run(ids, std::ssize(ids), ids.size());
      return std::vector<float>(all.end() - V, all.end());
    };
    const auto want_beside = Cutter(model, c).run(beside, 20, beside.size());
    for (const bool decodes : {false, true}) {
      Cutter r(model, c);
      SequenceCache a, b, d;
      Passage passage;
      passage.batch.add(r.cache, a, long_ids, Batch::Logits::last, Batch::Steps::pieces, 130);
      passage.batch.add(r.cache, b, short_ids, Batch::Logits::last, Batch::Steps::pieces, 9);
      Network network = model.network;
      Context ctx{.pool = r.pool, .arena = r.arena, .numerics = r.numerics};
      Batch prompt;
      prompt.add(r.cache, d, std::span(beside).first(20), Batch::Logits::none, Batch::Steps::pieces, 20);
      r.forward(prompt);
      std::vector<float> logits(static_cast<size_t>(3 * V));
      size_t n_steps = 0;
      for (; passage.layers < L; ++n_steps) {
        Batch one;
        if (decodes)
          one.add(r.cache, d, std::span(beside).subspan(20 + n_steps, 1), Batch::Logits::last, Batch::Steps::pieces,
                  20);
        const int64_t until = passage.layers + 1 + static_cast<int64_t>(n_steps % 2);
        transformer_forward(ctx, network, one, passage, [&](int64_t layer) { return layer < until; }, r.cache,
                            {logits.data(), 3, V});
        ASSERT_EQ(passage.layers, std::min(until, L));
        if (!decodes) continue;
        const auto row = static_cast<ptrdiff_t>((20 + n_steps) * static_cast<size_t>(V));
        EXPECT_TRUE(same_bits(std::span(logits).first(static_cast<size_t>(V)),
                              std::vector<float>(want_beside.begin() + row, want_beside.begin() + row + V)))
            << c.name << ", step " << n_steps;
      }
      EXPECT_GT(n_steps, 1u);
      const auto arrived = std::span(logits).subspan(static_cast<size_t>(decodes ? V : 0));
      EXPECT_TRUE(same_bits(arrived.first(static_cast<size_t>(V)), last_of(long_ids))) << c.name;
      EXPECT_TRUE(same_bits(arrived.subspan(static_cast<size_t>(V), static_cast<size_t>(V)), last_of(short_ids)))
          << c.name;
    }
  }
}

TEST(Passage, OneThatIsRefusedALayerStaysWhereItWas) {
  const RandomModel model(tiny_v2_config());
  Runner r(model);
  SequenceCache a, b;
  Passage passage;
  passage.batch.add(r.cache, a, random_ids(5, 97, 1), Batch::Logits::last);
  Batch one;
  one.add(r.cache, b, random_ids(1, 97, 2), Batch::Logits::last);
  std::vector<float> logits(2 * static_cast<size_t>(model.config.vocab_size));
  Context ctx{.pool = r.pool, .arena = r.arena};
  const MatView<float> rows{logits.data(), 2, model.config.vocab_size};
  transformer_forward(
      ctx, model.network, one, passage, [](int64_t) { return false; }, r.cache, rows);
  EXPECT_EQ(passage.layers, 0);
  const auto throws = [](int64_t layer) -> bool {
    if (layer == 1) throw 1;
    return true;
  };
  EXPECT_THROW(transformer_forward(ctx, model.network, one, passage, throws, r.cache, rows), int);
  EXPECT_EQ(passage.layers, 0);
}

}  // namespace
}  // namespace fathom
