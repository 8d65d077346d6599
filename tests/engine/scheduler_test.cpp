// The scheduler: what a request gets does not depend on what runs beside it, nor on how it was cut, shared or
// preempted.
#include "engine/scheduler/scheduler.h"
#include "engine/prompt_reader.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "engine/prompt_reader.h"
#include "engine/speculation/prompt_lookup.h"
#include "support/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using namespace fathom::testing;

struct Result {
  std::vector<int32_t> ids;
  std::vector<TokenScore> scores, prompt_scores;
  Ended ended;
  int n_ends = 0;
};

struct Harness {
  explicit Harness(const RandomModel& m, SchedulerOptions options = {}, int64_t cache_tokens = 4096, int threads = 2,
                   Numerics numerics = Numerics::quantised())
      : model(model_of(m)),
        engine(model, {.threads = threads, .context_tokens = 2048, .cache_tokens = cache_tokens, .numerics = numerics}),
        scheduler(engine.engine, std::move(options)) {}

  RequestId submit(std::vector<int32_t> prompt, int64_t n, Result& result, uint64_t seed = 0, uint64_t salt = 0) {
    ScheduledRequest r = request(std::move(prompt), n, result, seed);
    r.salt = salt;
    return scheduler.submit(std::move(r));
  }
  ScheduledRequest request(std::vector<int32_t> prompt, int64_t n, Result& result, uint64_t seed) const {
    ScheduledRequest r{.prompt = std::move(prompt),
                       .generate = {.max_tokens = n, .n_usable_ids = model.config.vocab_size},
                       .logprobs = 2};
    r.generate.sampling.temperature = 1;
    r.generate.sampling.seed = seed;
    r.events.on_token = [&result](const TokenScore& t) {
      result.ids.push_back(t.id);
      result.scores.push_back(t);
      return true;
    };
    r.events.on_prompt_token = [&result](int64_t index, const TokenScore& t) {
      EXPECT_EQ(index, std::ssize(result.prompt_scores) + 1);
      result.prompt_scores.push_back(t);
    };
    r.events.on_end = [&result](const Ended& e) {
      result.ended = e;
      ++result.n_ends;
    };
    return r;
  }
  void drain() {
    for (int i = 0; scheduler.has_work(); ++i) {
      ASSERT_LT(i, 100000) << "the scheduler makes no progress";
      scheduler.step();
    }
    EXPECT_EQ(scheduler.cache_tokens_in_use(), 0);
  }

  Model model;
  TestEngine engine;
  Scheduler scheduler;
};

ModelConfig config() {
  ModelConfig c = packable_v2_config();
  c.max_position_embeddings = 2048;
  return c;
}

Result alone(const RandomModel& m, const std::vector<int32_t>& prompt, int64_t n, uint64_t seed) {
  Harness h(m, {}, 4096, 1);
  Result r;
  h.submit(prompt, n, r, seed);
  h.drain();
  return r;
}

void expect_same(const Result& a, const Result& b) {
  EXPECT_EQ(a.ids, b.ids);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_EQ(a.scores[i].logprob, b.scores[i].logprob) << "token " << i;
    EXPECT_EQ(a.scores[i].top, b.scores[i].top);
  }
}

struct Asked {
  std::vector<int32_t> prompt;
  int64_t n;
  Result want, got;
};

std::vector<Asked> many_requests(const RandomModel& m, int count, uint64_t seed, unsigned most = 40) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::vector<Asked> asked;
  for (int i = 0; i < count; ++i) {
    const int64_t length =
        random() % 4 == 0 ? 300 + static_cast<int64_t>(random() % 500) : 1 + static_cast<int64_t>(random() % 60);
    asked.push_back({random_ids(length, m.config.vocab_size, seed + static_cast<uint64_t>(i)),
                     1 + static_cast<int64_t>(random() % most),
                     {},
                     {}});
    asked.back().want = alone(m, asked.back().prompt, asked.back().n, static_cast<uint64_t>(i));
  }
  return asked;
}

TEST(Scheduler, GeneratesWhatTheEngineWouldAlone) {
  const RandomModel m(config());
  const auto prompt = random_ids(70, m.config.vocab_size, 3);
  const Result r = alone(m, prompt, 25, 11);
  EXPECT_EQ(r.ids.size(), 25u);
  EXPECT_EQ(r.ended.reason, EndReason::length);
  EXPECT_EQ(r.ended.n_prompt, 70);
  EXPECT_EQ(r.n_ends, 1);
  const Model model = model_of(m);
  TestEngine plain(model, {.numerics = Numerics::quantised()});
  SequenceCache sequence;
  std::vector<int32_t> history = prompt;
  std::span<const float> logits = plain.engine.append(sequence, history);
  SamplingOptions sampling{.temperature = 1, .seed = 11};
  for (const int32_t want : r.ids) {
    const int32_t id = sample(logits, m.config.vocab_size, history, std::ssize(history), sampling);
    EXPECT_EQ(id, want);
    history.push_back(id);
    logits = plain.engine.append(sequence, std::span(history).last(1));
  }
}

TEST(Scheduler, NeighboursAndOrderOfArrivalChangeNoBit) {
  const RandomModel m(config());
  std::vector<Asked> asked = many_requests(m, 24, 100);
  for (const double stretch : {1.0, 2.0, 1e9})
    for (const int64_t running : {2, 7, 32}) {
      Harness h(m, {.max_running = running, .stretch = stretch, .passage_tokens = 100}, 8192);
      size_t next = 0;
      for (Asked& a : asked) a.got = {};
      while (next < asked.size() || h.scheduler.has_work()) {
        for (int i = 0; i < 3 && next < asked.size(); ++i, ++next)
          h.submit(asked[next].prompt, asked[next].n, asked[next].got, next);
        h.scheduler.step();
      }
      for (const Asked& a : asked) {
        expect_same(a.got, a.want);
        EXPECT_EQ(a.got.n_ends, 1);
      }
      EXPECT_EQ(h.scheduler.cache_tokens_in_use(), 0);
    }
}

TEST(Scheduler, APreemptedRequestGoesOnWithTheSameBits) {
  const RandomModel m(config());
  std::vector<Asked> asked = many_requests(m, 12, 200, 250);
  for (const int64_t cache : {832, 1024, 1600}) {
    Harness h(m, {.max_running = 8, .passage_tokens = 128}, cache);
    for (size_t i = 0; i < asked.size(); ++i) {
      asked[i].got = {};
      h.submit(asked[i].prompt, asked[i].n, asked[i].got, i);
    }
    h.drain();
    for (const Asked& a : asked) expect_same(a.got, a.want);
    if (cache == 832) {
      EXPECT_GT(h.scheduler.counts().preempted, 0);
    }
  }
}

TEST(Scheduler, ASharedPrefixIsReadOnceAndGivesTheSameBits) {
  const RandomModel m(config());
  const auto prefix = random_ids(400, m.config.vocab_size, 5);
  std::vector<Asked> asked;
  for (uint64_t i = 0; i < 8; ++i) {
    auto prompt = prefix;
    const auto rest = random_ids(20 + static_cast<int64_t>(i), m.config.vocab_size, 50 + i);
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    asked.push_back({prompt, 10, alone(m, prompt, 10, i), {}});
  }
  for (const bool exact : {false, true}) {
    Harness h(m, {.exact_prefixes = exact});
    for (size_t i = 0; i < asked.size(); ++i) {
      asked[i].got = {};
      h.submit(asked[i].prompt, 10, asked[i].got, i);
    }
    h.drain();
    int64_t cached = 0;
    for (const Asked& a : asked) {
      if (exact) expect_same(a.got, a.want);
      EXPECT_EQ(a.got.ids.size(), 10u);
      cached += a.got.ended.n_cached;
    }
    EXPECT_GE(cached, 7 * 384) << (exact ? "exact" : "");  // all but the first find six blocks
    Result other;                                          // of another salt
    h.submit(asked[0].prompt, 10, other, 0, 99);
    h.drain();
    EXPECT_EQ(other.ended.n_cached, 0);
    expect_same(other, asked[0].want);
  }
}

// One that waits for what another one reads holds up nobody behind it.
TEST(Scheduler, WaitingForAPrefixLetsOthersGoFirst) {
  const RandomModel m(config());
  Harness h(m, {.stretch = std::numeric_limits<double>::infinity(), .passage_tokens = 16});
  const auto prompt = random_ids(900, m.config.vocab_size, 6);
  Result first, same, other;
  h.submit(prompt, 5, first);
  h.submit(prompt, 5, same);
  h.submit(random_ids(20, m.config.vocab_size, 7), 5, other);
  while (first.ids.empty()) h.scheduler.step();
  EXPECT_EQ(other.ids.size(), 5u);
  h.drain();
  EXPECT_EQ(same.ended.n_cached, 896);
  expect_same(same, first);
}

// The second turn of a conversation: what was generated is prompt now.
TEST(Scheduler, ATurnFindsTheTurnsBeforeIt) {
  const RandomModel m(config());
  for (const bool exact : {false, true}) {
    Harness h(m, {.exact_prefixes = exact});
    Result first, second;
    auto prompt = random_ids(130, m.config.vocab_size, 6);
    h.submit(prompt, 100, first);
    h.drain();
    prompt.insert(prompt.end(), first.ids.begin(), first.ids.end());
    const auto more = random_ids(15, m.config.vocab_size, 7);
    prompt.insert(prompt.end(), more.begin(), more.end());
    h.submit(prompt, 20, second);
    h.drain();
    if (exact)
      expect_same(second, alone(m, prompt, 20, 0));
    else
      EXPECT_EQ(second.ended.n_cached, 229);  // all but the last token, which was never run
  }
}

TEST(Scheduler, CancelFreesWhateverItHadReached) {
  const RandomModel m(config());
  for (int steps = 0; steps < 30; ++steps) {
    Harness h(m, {.stretch = 1, .passage_tokens = 64});
    Result keep, gone;
    h.submit(random_ids(200, m.config.vocab_size, 1), 30, keep);
    const RequestId id = h.submit(random_ids(300, m.config.vocab_size, 2), 30, gone);
    for (int i = 0; i < steps; ++i) h.scheduler.step();
    h.scheduler.cancel(id);
    h.scheduler.step();
    if (gone.ids.size() < 30) {
      EXPECT_EQ(gone.ended.reason, EndReason::cancelled);
    }
    h.drain();
    EXPECT_EQ(gone.n_ends, 1);
    expect_same(keep, alone(m, random_ids(200, m.config.vocab_size, 1), 30, 0));
  }
}

TEST(Scheduler, APollCancelsBetweenTwoLayers) {
  const RandomModel m(config());
  Scheduler* scheduler = nullptr;
  RequestId id = 0;
  int polls = 0;
  SchedulerOptions options;
  options.poll = [&] {
    if (++polls == 3) scheduler->cancel(id);
  };
  Harness h(m, options);
  scheduler = &h.scheduler;
  Result r;
  id = h.submit(random_ids(500, m.config.vocab_size, 1), 5, r);
  h.scheduler.step();
  EXPECT_EQ(polls, 3);  // before the step, and before two layers
  h.scheduler.step();
  EXPECT_EQ(r.ended.reason, EndReason::cancelled);
  EXPECT_TRUE(r.ids.empty());
  EXPECT_FALSE(h.scheduler.has_work());
}

TEST(Scheduler, PromptScoresAreThoseOfAStep) {
  const RandomModel m(config());
  const auto prompt = random_ids(300, m.config.vocab_size, 9);
  Harness h(m);
  Result r, noise;
  h.submit(prompt, 3, noise);
  ScheduledRequest request = h.request(prompt, 0, r, 0);
  request.prompt_logprobs = 1;
  h.scheduler.submit(std::move(request));
  h.drain();
  ASSERT_EQ(r.prompt_scores.size(), 299u);
  EXPECT_EQ(r.ended.reason, EndReason::length);
  const Model model = model_of(m);
  TestEngine plain(model, {.numerics = Numerics::quantised()});
  SequenceCache sequence;
  const StepInput whole{.sequence = &sequence, .ids = prompt, .logits = Batch::Logits::all};
  const MatView<const float> logits = plain.engine.step({&whole, 1});
  for (int64_t index = 0; index + 1 < std::ssize(prompt); ++index) {
    const std::span<const float> row(logits.row(index), static_cast<size_t>(logits.cols));
    const TokenScore& got = r.prompt_scores[static_cast<size_t>(index)];
    EXPECT_NEAR(got.logprob, row[static_cast<size_t>(got.id)] - log_sum_exp(row), 1e-12);
    EXPECT_EQ(got.id, prompt[static_cast<size_t>(index + 1)]);
    EXPECT_EQ(got.top.size(), 1u);
  }
}

// In order, each once and with the same bits, also where the prompt is read again after it gave way to another request.
TEST(Scheduler, PromptLogitsAreToldOnce) {
  const RandomModel m(config());
  const auto prompt = random_ids(600, m.config.vocab_size, 9);
  std::vector<float> want;
  const Model model = model_of(m);
  TestEngine plain(model, {.numerics = Numerics::quantised()});
  PromptReader reader(plain.engine, 64);
  reader.add(prompt, 500, [&](int64_t index, VecView<const float> logits) {
    EXPECT_EQ(index, 500 + std::ssize(want) / m.config.vocab_size);
    want.insert(want.end(), logits.begin(), logits.end());
  });
  reader.read_all();
  ASSERT_EQ(std::ssize(want), 100 * m.config.vocab_size);
  for (const int64_t cache_tokens : {4096, 768}) {
    Harness h(m, {.stretch = std::numeric_limits<double>::infinity(), .passage_tokens = 4}, cache_tokens);
    Result older, r;
    h.submit({1, 2, 3}, 300, older);
    ScheduledRequest request = h.request(prompt, 2, r, 0);
    request.logits_from = 500;
    request.prompt_logprobs = 0;
    std::vector<float> got;
    request.events.on_prompt_logits = [&](int64_t index, VecView<const float> logits) {
      EXPECT_EQ(index, 500 + std::ssize(got) / m.config.vocab_size);
      got.insert(got.end(), logits.begin(), logits.end());
    };
    h.scheduler.submit(std::move(request));
    h.drain();
    EXPECT_EQ(r.ended.n_preempted > 0, cache_tokens == 768);
    EXPECT_EQ(r.prompt_scores.size(), 599u);
    EXPECT_EQ(r.ids.size(), 2u);
    EXPECT_TRUE(got == want);
  }
}

// However the prompt is cut, and whatever else runs.
TEST(Scheduler, TheMeanStateOfAPromptIsTheSame) {
  const RandomModel m(config());
  for (const int64_t n : {1, 2, 63, 300}) {
    const auto prompt = random_ids(n, m.config.vocab_size, 12);
    std::vector<double> want;
    for (const int64_t rows : {512, 7, 64}) {
      Harness h(m, {.passage_tokens = rows}, rows == 7 ? 448 : 4096);
      Result r, noise, more;
      h.submit(random_ids(40, m.config.vocab_size, 13), 60, noise);
      ScheduledRequest request = h.request(prompt, 0, r, 0);
      std::vector<double> got;
      request.events.on_mean_state = [&](std::span<const double> state) { got.assign(state.begin(), state.end()); };
      h.scheduler.submit(std::move(request));
      h.submit(prompt, 30, more);
      h.drain();
      EXPECT_EQ(r.n_ends, 1);
      ASSERT_EQ(std::ssize(got), m.config.hidden_size);
      if (want.empty()) want = got;
      EXPECT_EQ(got, want) << n << " tokens, " << rows << " rows";
    }
  }
}

TEST(Scheduler, TheQueueIsBoundedAndWhatCannotRunIsRefused) {
  const RandomModel m(config());
  Harness h(m, {.max_running = 1, .max_queued = 3, .max_queued_tokens = 100}, 1024);
  Result r;
  EXPECT_THROW(h.submit({}, 1, r), Error);
  EXPECT_THROW(h.submit({97}, 1, r), Error);
  EXPECT_THROW(h.submit({-1}, 1, r), Error);
  EXPECT_THROW(h.submit(random_ids(2049, 97, 1), 1, r), Error);
  EXPECT_THROW(h.submit(random_ids(1025, 97, 1), 1, r), Error);  // than the cache
  for (int i = 0; i < 3; ++i) h.submit(random_ids(30, 97, 1), 1, r);
  EXPECT_FALSE(h.scheduler.has_room(1));
  EXPECT_THROW(h.submit({1}, 1, r), Error);
  h.scheduler.step();
  EXPECT_TRUE(h.scheduler.has_room(10));
  EXPECT_FALSE(h.scheduler.has_room(41));
  h.drain();
  EXPECT_EQ(r.n_ends, 3);
}

TEST(Scheduler, ASequenceThatFillsTheCacheEndsWithItsLength) {
  const RandomModel m(config());
  Harness h(m, {}, 128);
  Result r;
  h.submit(random_ids(100, 97, 1), 1000, r);
  h.drain();
  EXPECT_EQ(r.ended.reason, EndReason::length);
  EXPECT_EQ(r.ids.size(), 29u);  // 28 rows, and the last token needs none
}

// One owner floods; the other's requests are admitted in turn.
TEST(Scheduler, OwnersShareAndPrioritiesGoFirst) {
  const RandomModel m(config());
  Harness h(m, {.max_running = 1});
  std::vector<uint64_t> order;
  std::vector<Result> results(13);
  const auto add = [&](size_t i, uint64_t owner, int32_t priority) {
    ScheduledRequest r = h.request(random_ids(10, 97, i), 4, results[i], i);
    r.owner = owner;
    r.priority = priority;
    r.events.on_end = [&order, owner, priority](const Ended&) { order.push_back(priority > 0 ? 100 : owner); };
    h.scheduler.submit(std::move(r));
  };
  for (size_t i = 0; i < 8; ++i) add(i, 1, 0);
  for (size_t i = 8; i < 12; ++i) add(i, 2, 0);
  add(12, 1, 1);
  h.drain();
  ASSERT_EQ(order.size(), 13u);
  EXPECT_EQ(order[0], 100u);
  EXPECT_EQ(std::count(order.begin(), order.begin() + 9, 2u), 4) << "the other owner waits for the flood";
}

TEST(Scheduler, ADeadlineEndsARequestWhereverItIs) {
  const RandomModel m(config());
  Harness h(m, {.max_running = 1});
  Result waiting, running;
  ScheduledRequest a = h.request(random_ids(10, 97, 1), 1000000, running, 0);
  a.deadline = 1e-9;
  ScheduledRequest b = h.request(random_ids(10, 97, 1), 3, waiting, 0);
  h.scheduler.submit(std::move(a));
  h.scheduler.submit(std::move(b));
  h.drain();
  EXPECT_EQ(running.ended.reason, EndReason::deadline);
  EXPECT_EQ(waiting.ids.size(), 3u);
}

// While a long prompt is read, each step gives every sequence that decodes its next token, and carries no more rows
// than it may; pace_test.cpp bounds the time of such a step.
TEST(Scheduler, ALongPromptTakesNoTokenFromTheOthers) {
  const RandomModel m(config());
  Harness h(m, {.passage_tokens = 128}, 8192);
  std::vector<Result> shorts(8);
  for (size_t i = 0; i < shorts.size(); ++i) h.submit({static_cast<int32_t>(i), 1, 2}, 400, shorts[i], i);
  while (shorts.back().ids.empty()) h.scheduler.step();
  Result whole_context;
  h.submit(random_ids(1900, m.config.vocab_size, 9), 5, whole_context);
  int64_t rows = 0;
  for (int step = 0; whole_context.ids.empty(); ++step) {
    ASSERT_LT(step, 380);
    const SchedulerStep report = h.scheduler.step();
    ASSERT_GE(report.n_decoded, std::ssize(shorts));  // one more when one token of the long prompt is left
    ASSERT_LE(report.passage_rows, 128);
    if (report.passage_layers > 0) rows = std::max(rows, report.passage_rows);
  }
  EXPECT_GE(rows, 32);
  h.drain();
}

// The end of a constrained text is its end, also where no id is to stop it.
TEST(Scheduler, AConstraintThatEndsEndsTheText) {
  const RandomModel m(config());
  Harness h(m);
  std::vector<std::string> tokens(97, "b");
  tokens[5] = "a";
  const std::vector<int32_t> ends = {7};
  const auto vocabulary = std::make_shared<const TokenTrie>(tokens, ends);
  Result r;
  ScheduledRequest request = h.request({1, 2, 3}, 50, r, 4);
  request.constraint = std::make_shared<Matcher>(Grammar::from_gbnf("root ::= \"a\" \"a\""), vocabulary);
  h.scheduler.submit(std::move(request));
  h.drain();
  EXPECT_EQ(r.ids, (std::vector<int32_t>{5, 5}));
  EXPECT_EQ(r.ended.reason, EndReason::stop_token);
}

// Where no token goes on, that request ends with an error that says so; the one beside it gets all it asked for.
TEST(Scheduler, AConstraintWithoutAWayOnEndsOneRequest) {
  const RandomModel m(config());
  Harness h(m);
  std::vector<std::string> tokens(97, "b");
  const auto vocabulary = std::make_shared<const TokenTrie>(tokens, std::span<const int32_t>{});
  Result dead, good;
  ScheduledRequest request = h.request({1, 2, 3}, 50, dead, 4);
  request.constraint = std::make_shared<Matcher>(Grammar::from_gbnf("root ::= \"bb\" \"c\""), vocabulary);
  h.scheduler.submit(std::move(request));
  h.submit({3, 2, 1}, 20, good);
  h.drain();
  EXPECT_EQ(dead.ids.size(), 2u);
  EXPECT_EQ(dead.ended.reason, EndReason::error);
  ASSERT_TRUE(dead.ended.error);
  EXPECT_NE(std::string(dead.ended.error->what()).find("no token of the vocabulary"), std::string::npos);
  EXPECT_EQ(good.ids.size(), 20u);
}

// Memory that runs out in what a caller does with an event.
TEST(Scheduler, AnEventThatThrowsEndsItsRequestAlone) {
  const RandomModel m(config());
  for (int event = 0; event < 5; ++event) {
    Harness h(m);
    Result bad, good;
    ScheduledRequest r = h.request({1, 2, 3}, 9, bad, 1);
    const auto fail = [](const auto&...) -> void { throw std::bad_alloc(); };
    if (event == 0) r.events.on_token = [](const TokenScore&) -> bool { throw std::bad_alloc(); };
    if (event == 1) r.events.on_prompt = fail;
    if (event == 2) {
      r.events.on_prompt_token = fail;
      r.prompt_logprobs = 0;
    }
    if (event == 3) r.events.on_mean_state = fail;
    if (event == 4) {
      r.events.on_end = [&bad](const Ended& e) {
        bad.ended = e;
        ++bad.n_ends;
        throw std::bad_alloc();
      };
    }
    h.scheduler.submit(std::move(r));
    h.submit({3, 2, 1}, 20, good);
    h.drain();
    EXPECT_EQ(bad.n_ends, 1) << event;
    EXPECT_EQ(bad.ended.reason, event == 4 ? EndReason::length : EndReason::error) << event;
    EXPECT_EQ(good.ids.size(), 20u) << event;
    EXPECT_EQ(good.ended.reason, EndReason::length) << event;
  }
}

// What an event says of the world (a disk that is full) is what its request ends with.
TEST(Scheduler, AnErrorOfAnEventIsThatOfItsRequest) {
  const RandomModel m(config());
  for (const int event : {0, 1, 2, 3}) {
    Harness h(m);
    Result bad;
    ScheduledRequest r = h.request({1, 2, 3}, event == 0 ? 9 : 0, bad, 1);
    int calls = 0;
    const auto fail = [&calls](const auto&...) -> void {
      ++calls;
      throw_resource("the disk is full");
    };
    if (event == 0) r.events.on_token = [](const TokenScore&) -> bool { throw_resource("the disk is full"); };
    if (event == 1) r.events.on_prompt = fail;
    if (event == 2) r.events.on_prompt_logits = fail;
    if (event == 3) {
      r.events.on_prompt_token = fail;
      r.prompt_logprobs = 0;
    }
    h.scheduler.submit(std::move(r));
    h.drain();
    EXPECT_EQ(calls, event > 0 ? 1 : 0);
    ASSERT_TRUE(bad.ended.error) << event;
    EXPECT_STREQ(bad.ended.error->what(), "the disk is full");
    EXPECT_EQ(bad.ended.reason, EndReason::error);
  }
}

// Ended from outside while drafts are under way.
TEST(Scheduler, AllEndsBetweenStepsThatDraft) {
  const RandomModel m(config());
  Harness h(m);
  std::vector<Result> results(3);
  for (Result& result : results) {
    ScheduledRequest r = h.request({1, 2, 1, 2, 1, 2, 1, 2}, 200, result, 0);
    r.generate.sampling.temperature = 0;
    std::vector<std::unique_ptr<Proposer>> proposers;
    proposers.push_back(std::make_unique<PromptLookup>());
    r.generate.speculator = std::make_shared<Speculator>(std::move(proposers), 4);
    h.scheduler.submit(std::move(r));
  }
  while (results[2].ids.size() < 10) h.scheduler.step();
  h.scheduler.end_all(EndReason::cancelled, {});
  for (const Result& result : results) EXPECT_EQ(result.ended.reason, EndReason::cancelled);
  EXPECT_EQ(h.scheduler.cache_tokens_in_use(), 0);
}

// Weights that give NaN end the request with an error, and nothing else.
TEST(Scheduler, LogitsThatAreNoNumbersEndOneRequest) {
  RandomModel m(config());
  const int64_t D = m.config.hidden_size;
  float* embedding = reinterpret_cast<float*>(const_cast<std::byte*>(m.weights.embed_tokens.row(5)));
  std::fill_n(embedding, D, NAN);
  Harness h(m);
  Result bad, good;
  h.submit({5, 1, 2}, 5, bad);
  h.submit({1, 2, 3}, 5, good);
  h.drain();
  EXPECT_EQ(bad.ended.reason, EndReason::error);
  ASSERT_TRUE(bad.ended.error);
  EXPECT_EQ(good.n_ends, 1);
}

}  // namespace
}  // namespace fathom
