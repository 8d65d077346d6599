// Speculation changes no bit and no token of what plain decoding gives.
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/generation.h"
#include "engine/speculation/draft_model.h"
#include "engine/speculation/prompt_lookup.h"
#include "engine/speculation/speculator.h"
#include "support/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using testing::model_of;
using testing::random_ids;
using testing::RandomModel;
using Ids = std::vector<int32_t>;

struct Fixture {
  const char* name;
  RandomModel weights;
  std::vector<Numerics> numerics;
};
std::vector<Fixture> fixtures() {
  std::vector<Fixture> all;
  const std::vector<Numerics> both = {Numerics::exact(), Numerics::quantised()};
  ModelConfig many_heads = testing::tiny_v2_config();  // more rows of queries than a query tile has lanes
  many_heads.num_attention_heads = many_heads.num_key_value_heads = 20;
  many_heads.q_lora_rank.reset();
  all.push_back({"v2", RandomModel(testing::tiny_v2_config(), 3), both});
  all.push_back({"v2 with 20 heads", RandomModel(many_heads, 4), both});
  all.push_back({"v2 with kv_b_proj split", RandomModel(testing::tiny_v2_config(), 5, true), both});
  all.push_back({"v2 in q8_0", RandomModel(testing::packable_v2_config(), 6), both});
  all.back().weights.quantise(DType::q8_0);
  all.push_back({"llama", RandomModel(testing::tiny_llama_config(), 7), {Numerics::exact()}});
  return all;
}

// Of every fixture, in every arithmetic, with every kind of cache that it has.
template <class Fn>
void for_each_engine(const testing::TestEngineOptions& options, Fn&& fn) {
  for (const Fixture& f : fixtures()) {
    const Model model = model_of(f.weights);
    for (const Numerics numerics : f.numerics)
      for (const CacheType type : {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8}) {
        SCOPED_TRACE(fmt::format("{}, {} arithmetic, cache {}", f.name,
                                 numerics == Numerics::quantised() ? "fast" : "exact",
                                 kCacheTypeNames[static_cast<size_t>(type)]));
        testing::TestEngineOptions o = options;
        o.numerics = numerics;
        o.cache_type = type;
        testing::TestEngine engine_parts(model, o);
        Engine& engine = engine_parts.engine;
        fn(engine);
      }
  }
}

std::vector<float> copy(std::span<const float> x) { return {x.begin(), x.end()}; }

// Tokens behind a prompt in one step, as the scheduler verifies drafts.
MatView<const float> verify(Engine& engine, SequenceCache& sequence, std::span<const int32_t> ids) {
  const StepInput all{.sequence = &sequence, .ids = ids, .logits = Batch::Logits::all, .steps = Batch::Steps::pieces};
  return engine.step({&all, 1});
}

TEST(Verify, EveryRowHasTheBitsOfAStepOfOneToken) {
  for_each_engine({.threads = 2, .context_tokens = 512, .cache_tokens = 1024}, [](Engine& engine) {
    const int64_t V = engine.config().vocab_size;
    // From an empty cache, over the first positions (where the form of a step of one token changes), over a block, and
    // over a split of the absorbed form.
    for (const int64_t depth : {0, 1, 2, 5, 60, 130, 250}) {
      SequenceCache together, alone;
      if (depth > 0) {
        engine.append(together, random_ids(depth, V, 1));
        engine.append(alone, random_ids(depth, V, 1));
      }
      const Ids ids = random_ids(1 + kMaxDraft, V, 2);
      std::vector<std::vector<float>> want;
      for (const int32_t id : ids) want.push_back(copy(engine.append(alone, std::span(&id, 1))));
      for (int round = 0; round < 2; ++round) {  // a second time over what was truncated
        const MatView<const float> got = verify(engine, together, ids);
        ASSERT_EQ(got.rows, std::ssize(ids));
        for (size_t i = 0; i < ids.size(); ++i)
          ASSERT_TRUE(testing::same_bits({got.row(static_cast<int64_t>(i)), static_cast<size_t>(V)}, want[i]))
              << "depth " << depth << ", row " << i;
        EXPECT_EQ(together.length(), depth + std::ssize(ids));
        engine.cache().truncate(together, depth);
      }
      engine.cache().truncate(together, 0);
      engine.cache().truncate(alone, 0);
    }
  });
}

TEST(Verify, IsRefusedWholeWhereItDoesNotFit) {
  const RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 20});
  Engine& engine = engine_parts.engine;
  SequenceCache sequence;
  engine.append(sequence, random_ids(15, 97, 1));
  EXPECT_THROW(verify(engine, sequence, random_ids(6, 97, 1)), Error);
  EXPECT_THROW(verify(engine, sequence, Ids{1, 97}), Error);  // no such id
  EXPECT_EQ(sequence.length(), 15);
  verify(engine, sequence, random_ids(5, 97, 1));
  EXPECT_EQ(sequence.length(), 20);
}

// Drafts that are right, but for one id in `every`; and wrong in all ways after that.
class Oracle final : public Proposer {
 public:
  Oracle(Ids truth, int64_t every) : truth_(std::move(truth)), every_(every) {}
  int n_kinds() const noexcept override { return 2; }
  bool is_free() const noexcept override { return false; }
  void begin(std::span<const int32_t>, const GenerateRequest&) override {}
  std::optional<int> kind(std::span<const int32_t> history) override {
    return history.size() % 7 == 0 ? std::nullopt : std::optional(static_cast<int>(history.size() % 2));
  }
  Ids propose(std::span<const int32_t> history, int64_t most) override {
    Ids ids;
    for (size_t i = history.size(); std::ssize(ids) < most; ++i) {
      const bool wrong = ++n_made_ % every_ == 0 || i >= truth_.size();
      ids.push_back(!wrong ? truth_[i] : n_made_ % 3 == 0 ? -1 : n_made_ % 3 == 1 ? 1 << 30 : 5);
    }
    return ids;
  }

 private:
  Ids truth_;
  int64_t every_, n_made_ = 0;
};

struct Outcome {
  Ids history;
  EndReason reason = EndReason::error;
  int64_t in_use = -1;  // tokens of the cache, when it has ended

  bool operator==(const Outcome&) const = default;
};

ScheduledRequest request_of(Engine& engine, const Ids& prompt, const GenerateRequest& generate,
                            std::shared_ptr<Speculator> speculator, Outcome& o, int64_t n_before_end = INT64_MAX) {
  o.history = prompt;
  ScheduledRequest request{.prompt = prompt, .generate = generate};
  request.generate.speculator = std::move(speculator);
  request.generate.n_usable_ids = engine.config().vocab_size;
  request.events.on_token = [&o, n_before_end](const TokenScore& token) mutable {
    o.history.push_back(token.id);
    return --n_before_end > 0;
  };
  request.events.on_end = [&o](const Ended& ended) { o.reason = ended.reason; };
  return request;
}

// Continues prompt; the callback ends it after n_before_end tokens.
Outcome outcome(Engine& engine, const Ids& prompt, const GenerateRequest& request,
                std::shared_ptr<Speculator> speculator, int64_t n_before_end = INT64_MAX) {
  Outcome o;
  Scheduler scheduler(engine, offline_options(1));
  generate(scheduler, request_of(engine, prompt, request, std::move(speculator), o, n_before_end));
  o.in_use = scheduler.cache_tokens_in_use();
  return o;
}

std::shared_ptr<Speculator> speculator_of(std::unique_ptr<Proposer> proposer, int64_t always) {
  std::vector<std::unique_ptr<Proposer>> proposers;
  proposers.push_back(std::move(proposer));
  return std::make_shared<Speculator>(std::move(proposers), always);
}

GenerateRequest greedy_request(int64_t n) {
  GenerateRequest request{.max_tokens = n};
  request.sampling.temperature = 0;
  return request;
}

// Plain decoding against every kind of speculation: as it pays (0), or with so many drafts.
void expect_same(Engine& engine, Engine& draft, const Ids& prompt, const GenerateRequest& request,
                 const std::vector<int64_t>& counts, int64_t n_before_end = INT64_MAX) {
  const Outcome plain = outcome(engine, prompt, request, nullptr, n_before_end);
  for (const int64_t always : counts) {
    SCOPED_TRACE(fmt::format("always {}", always));
    const auto check_same = [&](const char* name, std::unique_ptr<Proposer> proposer) {
      const auto speculator = speculator_of(std::move(proposer), always);
      for (int turn = 0; turn < 2; ++turn)  // the second with what is kept of the first
        EXPECT_EQ(outcome(engine, prompt, request, speculator, n_before_end), plain) << name << ", turn " << turn;
    };
    check_same("lookup", std::make_unique<PromptLookup>());
    check_same("draft", std::make_unique<DraftModel>(draft));
    check_same("oracle", std::make_unique<Oracle>(plain.history, 4));
  }
}

TEST(Speculation, GreedyTokensAreThoseOfPlainDecoding) {
  const RandomModel draft_weights(testing::tiny_v2_config(), 3);
  const Model draft_model = model_of(draft_weights);
  testing::TestEngine draft_parts(draft_model, {.threads = 1, .context_tokens = 512});
  Engine& draft = draft_parts.engine;
  for_each_engine({.threads = 1, .context_tokens = 512}, [&](Engine& engine) {
    const CacheType type = engine.cache().layout().type;
    if (type == CacheType::bf16 || type == CacheType::q8) return;  // whose rows are compared above
    expect_same(engine, draft, random_ids(9, engine.config().vocab_size, 11), greedy_request(200), {0, 4});
  });
}

// A draft that is another model, and one that is the model itself, in an engine of its own.
class SpeculationOf : public ::testing::TestWithParam<int> {
 protected:
  static constexpr int64_t kContext = 400;
  RandomModel weights_{testing::tiny_v2_config(), 3, false, 1.0};
  RandomModel draft_weights_{testing::tiny_v2_config(), GetParam() == 0 ? 3u : 4u, false, 1.0};
  Model model_ = model_of(weights_), draft_model_ = model_of(draft_weights_);
  testing::TestEngine engine_parts_{model_, {.threads = 1, .context_tokens = kContext}};
  Engine& engine_ = engine_parts_.engine;
  testing::TestEngine draft_parts_{draft_model_, {.threads = 1, .context_tokens = GetParam() == 0 ? kContext : 150}};
  Engine& draft_ = draft_parts_.engine;
  Ids prompt_ = random_ids(20, 97, 12);
};
INSTANTIATE_TEST_SUITE_P(Drafts, SpeculationOf, ::testing::Values(0, 1),
                         [](const auto& p) { return p.param == 0 ? "TheModelItself" : "AnotherModelWithLessContext"; });

TEST_P(SpeculationOf, HundredsOfGreedyTokens) { expect_same(engine_, draft_, prompt_, greedy_request(300), {0, 3, 8}); }

TEST_P(SpeculationOf, RepeatPenalty) {
  GenerateRequest request = greedy_request(200);
  request.sampling.repeat_penalty = 1.3;
  expect_same(engine_, draft_, prompt_, request, {0, 3});
}

TEST_P(SpeculationOf, DrawnTokens) {
  GenerateRequest request{.max_tokens = 200};
  for (const double temperature : {0.3, 1.0}) {
    request.sampling.temperature = temperature;
    request.sampling.seed = 7;
    expect_same(engine_, draft_, prompt_, request, {0, 3});
  }
}

// Each place in the first steps, so that it falls on every row of a step.
TEST_P(SpeculationOf, AStopIdAnywhere) {
  GenerateRequest request = greedy_request(60);
  request.sampling.repeat_penalty = 1.3;
  const Ids all = outcome(engine_, prompt_, request, nullptr).history;
  for (size_t i = prompt_.size(); i < prompt_.size() + 24; ++i) {
    request.stop_ids = {all[i]};
    expect_same(engine_, draft_, prompt_, request, {4});
  }
}

TEST_P(SpeculationOf, AnyNumberOfTokens) {
  for (int64_t n = 0; n < 24; ++n) expect_same(engine_, draft_, prompt_, greedy_request(n), {4});
}

TEST_P(SpeculationOf, TheCallbackEndsItAnywhere) {
  for (int64_t n = 1; n < 24; ++n) expect_same(engine_, draft_, prompt_, greedy_request(100), {4}, n);
}

TEST_P(SpeculationOf, AFullContextEndsItInTheSamePlace) {
  const Ids prompt = random_ids(kContext - 30, 97, 12);
  expect_same(engine_, draft_, prompt, greedy_request(30), {8});
  expect_same(engine_, draft_, prompt, greedy_request(31), {8});
  expect_same(engine_, draft_, prompt, greedy_request(100), {0, 8});
}

TEST_P(SpeculationOf, AFullCacheToo) {
  testing::TestEngine small_parts(model_, {.threads = 1, .context_tokens = kContext, .cache_tokens = 64});
  Engine& small = small_parts.engine;
  expect_same(small, draft_, prompt_, greedy_request(100), {8});
}

TEST_P(SpeculationOf, StepsAreNeverLongerThanAChunk) {
  testing::TestEngine narrow_parts(model_, {.threads = 1, .context_tokens = kContext, .chunk_tokens = 3});
  Engine& narrow = narrow_parts.engine;
  expect_same(narrow, draft_, prompt_, greedy_request(60), {8});
}

// Thrown after a step, it would leave the sequence with drafts that nobody removes.
static_assert(noexcept(std::declval<Speculation&>().verified(std::declval<MatView<const float>>())));

TEST(SpeculationCounts, ADraftThatIsTheModelIsAlwaysRight) {
  const RandomModel random(testing::tiny_v2_config(), 3);
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 256});
  Engine& engine = engine_parts.engine;
  testing::TestEngine draft_parts(model, {.threads = 1, .context_tokens = 256});
  Engine& draft = draft_parts.engine;
  const auto speculator = speculator_of(std::make_unique<DraftModel>(draft), 4);
  outcome(engine, random_ids(5, 97, 1), greedy_request(101), speculator);
  const SpeculationCounts& c = speculator->counts();
  EXPECT_EQ(c.steps, 20);  // the first token comes from the prompt; 20 steps of 5
  EXPECT_EQ(c.proposed, 80);
  EXPECT_EQ(c.accepted, 80);
  EXPECT_EQ(c.tokens_per_step(), 5);
}

TEST(SpeculationCounts, WrongGuessesAreGivenUp) {
  const RandomModel random(testing::tiny_v2_config(), 3);
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 2048});
  Engine& engine = engine_parts.engine;
  const auto speculator = speculator_of(std::make_unique<Oracle>(Ids{}, 1), 0);
  outcome(engine, random_ids(5, 97, 1), greedy_request(1500), speculator);
  EXPECT_LE(speculator->counts().accepted, 5);  // of 97 ids one is right by chance; how many are tried, times decide
  EXPECT_LT(speculator->counts().proposed, 300);
}

TEST(DraftModel, ErrorsOfADraftEndItsGuessesOnly) {
  RandomModel broken(testing::tiny_v2_config(), 3);
  for (float& x : broken.parameters()) x = NAN;
  const RandomModel random(testing::tiny_v2_config(), 3);
  const Model model = model_of(random), draft_model = model_of(broken);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 256});
  Engine& engine = engine_parts.engine;
  testing::TestEngine draft_parts(draft_model, {.threads = 1});
  Engine& draft = draft_parts.engine;
  const auto speculator = speculator_of(std::make_unique<DraftModel>(draft), 4);
  const Ids prompt = random_ids(5, 97, 1);
  EXPECT_EQ(outcome(engine, prompt, greedy_request(50), speculator),
            outcome(engine, prompt, greedy_request(50), nullptr));
  EXPECT_EQ(speculator->counts().proposed, 0);
}

TEST(DraftModel, IdsOutsideItsVocabularyEndItsGuessesOnly) {
  ModelConfig smaller = testing::tiny_v2_config();
  smaller.vocab_size = 40;
  const RandomModel random(testing::tiny_v2_config(), 3), small(smaller, 3);
  const Model model = model_of(random), draft_model = model_of(small);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 256});
  Engine& engine = engine_parts.engine;
  testing::TestEngine draft_parts(draft_model, {.threads = 1});
  Engine& draft = draft_parts.engine;
  const auto speculator = speculator_of(std::make_unique<DraftModel>(draft), 4);
  const Ids prompt = {1, 2, 90, 3};
  EXPECT_EQ(outcome(engine, prompt, greedy_request(50), speculator),
            outcome(engine, prompt, greedy_request(50), nullptr));
  EXPECT_EQ(speculator->counts().proposed, 0);
}

// Several sequences draft in the same steps, beside others that do not, some of which read their prompts meanwhile,
// with a cache that is too small for all of them: each has the tokens that it has alone.
TEST(SpeculationInABatch, ChangesNoTokenOfAnySequence) {
  const RandomModel random(testing::tiny_v2_config(), 3, false, 1.0);
  const Model model = model_of(random);
  for (const int64_t cache_tokens : {4096, 512}) {
    testing::TestEngine engine_parts(model, {.threads = 2, .context_tokens = 400, .cache_tokens = cache_tokens});
    Engine& engine = engine_parts.engine;
    constexpr int kRequests = 9;
    std::vector<Ids> prompts;
    std::vector<GenerateRequest> requests;
    std::vector<Ids> want;
    for (int i = 0; i < kRequests; ++i) {
      prompts.push_back(random_ids(20 + 31 * i, 97, 30 + static_cast<uint64_t>(i)));
      requests.push_back(greedy_request(90));
      requests.back().sampling.temperature = i % 2 == 0 ? 0 : 0.5;
      requests.back().sampling.seed = 3;
      want.push_back(outcome(engine, prompts.back(), requests.back(), nullptr).history);
    }
    std::vector<Outcome> got(kRequests);
    std::vector<std::shared_ptr<Speculator>> speculators;
    Scheduler scheduler(engine, {.max_running = 6});
    for (size_t i = 0; i < kRequests; ++i) {
      const std::shared_ptr<Speculator> kinds[] = {nullptr, speculator_of(std::make_unique<PromptLookup>(), 3),
                                                   speculator_of(std::make_unique<Oracle>(want[i], 4), 5)};
      speculators.push_back(kinds[i % 3]);
      scheduler.submit(request_of(engine, prompts[i], requests[i], speculators.back(), got[i]));
    }
    while (scheduler.has_work()) scheduler.step();
    for (size_t i = 0; i < kRequests; ++i) {
      EXPECT_EQ(got[i].history, want[i]) << "request " << i << ", cache " << cache_tokens;
      if (i % 3 == 2) {
        EXPECT_GT(speculators[i]->counts().accepted, 20) << "request " << i;
      }
    }
    EXPECT_EQ(scheduler.cache_tokens_in_use(), 0);
  }
}

TEST(SpeculationCost, ADraftInABatchMustPayForTheWholeBatch) {
  StepTimes times;
  Acceptance acceptance;
  for (int i = 0; i < 8; ++i) {
    times.record(8, 1.0);
    times.record(10, 1.5);  // two more rows cost half as much as all eight
    acceptance.record(2, false);
  }
  EXPECT_EQ(best_count(times, acceptance, 0, 2, 7).n, 0);
  for (int i = 0; i < 8; ++i) times.record(10, 1.01);
  EXPECT_EQ(best_count(times, acceptance, 0, 2, 7).n, 2);
}

}  // namespace
}  // namespace fathom
