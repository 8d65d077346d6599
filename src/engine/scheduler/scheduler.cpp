#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <new>

#include "base/trace.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

constexpr int64_t kScoredRows = 128;  // of one passage whose logits are all wanted: a row has vocab_size numbers
constexpr int64_t kSharedWorth = kBlockTokens;  // a common prefix that is worth waiting for

TokenScore token_score(std::span<const float> logits, int64_t n_usable, int32_t id, int64_t k) {
  const TokenLogprobs found = token_logprobs(logits, n_usable, id, k);
  TokenScore score{.id = id, .logprob = found.chosen};
  for (const TokenLogprob& t : found.top) score.top.emplace_back(t.id, t.logprob);
  return score;
}

Error no_memory() {
  return {ErrorKind::resource, "the machine has no memory left for this request; try fewer or shorter ones"};
}

// Calls an event; false: it threw.
template <class Tell>
bool told(Tell&& tell) noexcept {
  try {
    tell();
    return true;
  } catch (...) {
    return false;
  }
}

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace

Scheduler::Scheduler(Engine& engine, SchedulerOptions options)
    : engine_(engine),
      options_(std::move(options)),
      prefixes_(engine.cache()),
      pace_(engine.config().num_hidden_layers, options_.stretch) {
  check(options_.max_running > 0 && options_.passage_tokens > 0 && options_.stretch >= 1, "options of the scheduler");
}

Scheduler::~Scheduler() {
  if (passage_) engine_.give_up(*passage_);
}

int64_t Scheduler::cache_tokens_in_use() const noexcept {
  KvCache& cache = engine_.cache();
  return (cache.n_blocks() - cache.pool().n_free() - prefixes_.n_idle()) * kBlockTokens;
}

int64_t Scheduler::n_read(RequestId id) const noexcept {
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& job) { return job->id == id; });
  if (at == running_.end()) return 0;
  const int64_t asked = (*at)->n_asked, crossed = passage_ ? asked * passage_->layers : 0;
  return (*at)->cache.length() - asked + crossed / engine_.config().num_hidden_layers;
}

// ---- what waits ----

void check_prompt(std::span<const int32_t> prompt, const ModelConfig& config, int64_t context_tokens,
                  int64_t cache_tokens) {
  if (prompt.empty()) throw_bad_input("the prompt is empty; a request needs at least one token");
  check_ids(prompt, config);
  const int64_t n = std::ssize(prompt);
  if (n > context_tokens)
    throw_bad_input("the prompt has {} tokens, and the context has room for {} (the model allows {})", n,
                    context_tokens, config.max_position_embeddings);
  if (n > cache_tokens) throw_bad_input("the prompt has {} tokens, and the cache has room for {}", n, cache_tokens);
}

bool Scheduler::has_room(int64_t prompt_tokens) const noexcept {
  return n_queued() < options_.max_queued && queued_tokens_ + prompt_tokens <= options_.max_queued_tokens;
}

RequestId Scheduler::submit(ScheduledRequest request) {
  check_prompt(request.prompt, engine_.config(), engine_.context_tokens(), cache_tokens());
  if (!has_room(std::ssize(request.prompt)))
    throw_resource("the queue is full: {} requests with {} prompt tokens wait", n_queued(), queued_tokens_);
  auto job = std::make_unique<Job>();
  job->id = next_id_++;
  job->history = request.prompt;
  job->n_prompt = std::ssize(request.prompt);
  job->ended.n_prompt = job->n_prompt;
  job->ended.times.submitted = clock_seconds();
  request.generate.max_tokens = std::min(request.generate.max_tokens, engine_.context_tokens() - job->n_prompt + 1);
  job->request = std::move(request);
  queued_tokens_ += job->n_prompt;
  // Who comes back after a pause has no claim on what was not asked for meanwhile.
  double least = 0;
  if (!charged_.contains(job->request.owner)) {
    if (!charged_.empty())
      least = std::min_element(charged_.begin(), charged_.end(), [](const auto& a, const auto& b) {
                return a.second < b.second;
              })->second;
    charged_[job->request.owner] = least;
  }
  const RequestId id = job->id;
  queue_.push_back(std::move(job));
  ++counts_.submitted;
  return id;
}

void Scheduler::cancel(RequestId id) {
  for (Jobs* jobs : {&queue_, &running_})
    for (const auto& job : *jobs)
      if (job->id == id) job->is_cancelled = true;
}

void Scheduler::end_all(EndReason reason, const std::optional<Error>& error) {
  if (passage_) engine_.give_up(*passage_);
  passage_.reset();
  readers_.clear();
  for (Jobs* jobs : {&running_, &queue_})
    while (!jobs->empty()) {
      Job& job = *jobs->back();
      job.n_asked = 0;
      job.cache = {};
      end(job, reason, error);
    }
}

// Cancelled ones, and those whose time is over.
void Scheduler::drop_ended() {
  const double now = clock_seconds();
  std::vector<Job*> over;
  for (Jobs* jobs : {&queue_, &running_})
    for (const auto& job : *jobs)
      if (job->is_cancelled || job->is_lost || (job->request.deadline > 0 && now > job->request.deadline))
        over.push_back(job.get());
  for (Job* job : over) {
    leave_passage(*job);
    if (job->is_lost)
      end(*job, EndReason::error, no_memory());
    else
      end(*job, job->is_cancelled ? EndReason::cancelled : EndReason::deadline);
  }
}

// Of the highest priority; of these the owner's that had the least; of these the first that came.
Scheduler::Jobs::iterator Scheduler::next_queued() {
  return std::min_element(queue_.begin(), queue_.end(), [&](const auto& a, const auto& b) {
    if (a->request.priority != b->request.priority) return a->request.priority > b->request.priority;
    const double ca = charged_[a->request.owner], cb = charged_[b->request.owner];
    return ca != cb ? ca < cb : a->id < b->id;
  });
}

// Another one reads a prompt that begins in the same way: when it is done, its rows serve this one too.
bool Scheduler::waits_for_prefix(const Job& job) const {
  if (job.reads_all()) return false;
  int64_t stored = -1;
  for (const auto& other : running_) {
    if (other->is_decoding() || other->request.salt != job.request.salt) continue;
    const int64_t n =
        std::min(common_prefix(other->history, job.history), std::ssize(job.history) - 1) / kBlockTokens * kBlockTokens;
    if (n < kSharedWorth || other->n_indexed >= n) continue;
    if (stored < 0) stored = prefixes_.stored(job.request.salt, keys_of(job, std::ssize(job.history) - 1));
    if (n >= stored + kSharedWorth) return true;
  }
  return false;
}

// All blocks of its prompt, and for each running sequence one more.
bool Scheduler::fits(const Job& job) const {
  KvCache& cache = engine_.cache();
  const int64_t available = cache.pool().n_free() + prefixes_.n_idle();
  return running_.empty() || blocks_of(std::ssize(job.history)) + n_running() <= available;
}

void Scheduler::admit() {
  while (!queue_.empty() && n_running() < options_.max_running) {
    const auto next = next_queued();
    Job& job = **next;
    if (waits_for_prefix(job) || !fits(job)) return;
    job.ended.times.admitted = job.ended.times.admitted > 0 ? job.ended.times.admitted : clock_seconds();
    if (!job.reads_all()) prefixes_.take(job.cache, job.request.salt, keys_of(job, std::ssize(job.history) - 1));
    if (!job.is_charged) {  // what it finds after it was preempted is its own
      job.ended.n_cached = job.cache.length();
      charged_[job.request.owner] += static_cast<double>(job.n_prompt - job.ended.n_cached);
      counts_.prompt_tokens += job.n_prompt;
      counts_.prompt_tokens_cached += job.ended.n_cached;
    }
    job.is_charged = true;
    queued_tokens_ -= job.n_prompt;
    const auto place = std::find_if(running_.begin(), running_.end(), [&](const auto& r) { return r->id > job.id; });
    auto taken = std::move(*next);
    queue_.erase(next);
    running_.insert(place, std::move(taken));
  }
}

// ---- the passage ----

// Whose prompts go next, and how many tokens of each: the oldest has all rows, or half of them where shorter ones wait,
// of which the shortest come first, so that a short prompt need not wait for a long one.
std::vector<std::pair<Scheduler::Job*, int64_t>> Scheduler::choose_readers(int64_t rows) const {
  std::vector<std::pair<Job*, int64_t>> chosen;
  std::vector<Job*> reading;
  for (const auto& job : running_)
    if (!job->is_decoding()) reading.push_back(job.get());
  if (reading.empty()) return chosen;
  const auto left = [](const Job* job) { return std::ssize(job->history) - job->cache.length(); };
  const auto take = [&](Job* job, int64_t most) {
    const int64_t n = std::min(left(job), most);
    if (n <= 0) return;
    chosen.emplace_back(job, n);
    rows -= n;
  };
  if (reading.front()->request.prompt_logprobs >= 0) {
    take(reading.front(), std::min(rows, kScoredRows));
    return chosen;
  }
  const bool shorter_waits = std::any_of(reading.begin() + 1, reading.end(),
                                         [&](const Job* job) { return left(job) < left(reading.front()); });
  take(reading.front(), shorter_waits ? (rows + 1) / 2 : rows);
  std::stable_sort(reading.begin() + 1, reading.end(), [&](Job* a, Job* b) { return left(a) < left(b); });
  for (size_t i = 1; i < reading.size(); ++i)
    if (reading[i]->request.prompt_logprobs < 0) take(reading[i], rows);
  chosen.front().second += std::min(rows, left(chosen.front().first) - chosen.front().second);
  return chosen;
}

// The first reader is the oldest, for which younger ones give way; the others take what is free.
void Scheduler::start_passage() {
  const int64_t n_decoding =
      std::count_if(running_.begin(), running_.end(), [](const auto& j) { return j->is_decoding(); });
  const auto chosen = choose_readers(pace_.passage_rows(n_decoding, n_running(), options_.passage_tokens));
  std::vector<StepInput> inputs;
  int64_t blocks = 0;
  for (auto [job, n] : chosen) {
    const int64_t more = blocks_of(job->cache.length() + n) - std::ssize(job->cache.blocks());
    const bool is_first = job == chosen.front().first;
    if (is_first ? !make_room(more, *job) : !is_running(job) || !prefixes_.make_room(blocks + more)) continue;
    blocks += more;
    inputs.push_back(input_of(*job, n));
    job->n_asked = n;
    readers_.push_back(job);
  }
  if (inputs.empty()) return;
  try {
    passage_.emplace(engine_.begin(inputs));
  } catch (const Error& e) {
    for (Job* job : std::exchange(readers_, {})) job->n_asked = 0;
    end(*chosen.front().first, EndReason::error, e);
  }
}

StepInput Scheduler::input_of(Job& job, int64_t n) {
  const bool is_last = job.cache.length() + n == std::ssize(job.history);
  const Batch::Logits rest = is_last ? Batch::Logits::last : Batch::Logits::none;
  return {.sequence = &job.cache,
          .ids = std::span(job.history).subspan(static_cast<size_t>(job.cache.length()), static_cast<size_t>(n)),
          .logits = job.request.prompt_logprobs >= 0 ? Batch::Logits::all : rest,
          .steps = Batch::Steps::pieces,
          .prompt_tokens = job.n_prompt};
}

bool Scheduler::is_running(const Job* job) const {
  return std::any_of(running_.begin(), running_.end(), [&](const auto& r) { return r.get() == job; });
}

void Scheduler::leave_passage(Job& job) {
  if (job.n_asked == 0) return;
  engine_.leave(*passage_, job.cache);
  job.n_asked = 0;
  std::erase(readers_, &job);
  if (readers_.empty()) passage_.reset();
}

bool Scheduler::takes_part(int64_t layer) {
  if (options_.poll) options_.poll();
  const bool is_wanted =
      std::any_of(readers_.begin(), readers_.end(), [](const Job* job) { return !job->is_cancelled; });
  return is_wanted && pace_.allows(layer);
}

// ---- room ----

// Makes `blocks` of the cache free, of prefixes that nobody uses and then of the youngest sequence that is younger than
// the one that asks.
bool Scheduler::make_room(int64_t blocks, const Job& asking) {
  while (!prefixes_.make_room(blocks)) {
    Job& youngest = *running_.back();
    if (&youngest == &asking) return false;
    preempt(youngest);
  }
  return true;
}

// Its rows stay in the index of prefixes while there is room for them; what is gone is computed again, to the same
// bits.
void Scheduler::preempt(Job& job) {
  leave_passage(job);
  index(job, true);
  job.cache = {};
  job.n_indexed = 0;
  ++job.ended.n_preempted;
  ++counts_.preempted;
  queued_tokens_ += job.n_prompt;
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& r) { return r.get() == &job; });
  queue_.push_back(std::move(*at));
  running_.erase(at);
}

// ---- steps ----

// The sequences that get a token in this step, the oldest first; each has room for it.
std::vector<Scheduler::Job*> Scheduler::decoding() {
  std::vector<RequestId> ids;
  for (const auto& job : running_)
    if (job->is_decoding()) ids.push_back(job->id);
  std::vector<Job*> ready;
  int64_t blocks = 0;
  for (const RequestId id : ids) {
    const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& r) { return r->id == id; });
    if (at == running_.end()) continue;  // preempted for an older one
    Job& job = **at;
    const int64_t more = blocks_of(job.cache.length() + 1) - std::ssize(job.cache.blocks());
    if (!make_room(blocks + more, job)) {
      if (n_running() == 1)
        end(job, EndReason::length);  // the cache is all its own, and full
      else
        preempt(job);
      break;  // all after it are younger
    }
    blocks += more;
    ready.push_back(&job);
  }
  return ready;
}

SchedulerStep Scheduler::step() {
  SchedulerStep report;
  if (options_.poll) options_.poll();
  drop_ended();
  admit();
  if (running_.empty()) return report;
  std::vector<Job*> ready, at_stake;
  try {
    if (!passage_) start_passage();
    ready = at_stake = decoding();
    at_stake.insert(at_stake.end(), readers_.begin(), readers_.end());
    run(ready, report);
  } catch (const Error& e) {
    fail(std::move(at_stake), e);
  } catch (const std::bad_alloc&) {
    fail(std::move(at_stake), no_memory());
  }
  ++counts_.steps;
  return report;
}

// The last token of each, and drafts behind it as far as the cache has room that nobody else needs.
std::vector<StepInput> Scheduler::inputs_of(const std::vector<Job*>& ready) {
  const auto blocks_after = [](const Job& job, int64_t n) { return blocks_of(job.cache.length() + n); };
  std::vector<StepInput> inputs;
  int64_t spare = engine_.cache().pool().n_free(), rows_beside = std::ssize(ready) - 1;
  for (Job* job : ready) {
    inputs.push_back(input_of(*job, 1));
    inputs.back().logits = Batch::Logits::last;
    spare -= blocks_after(*job, 1) - std::ssize(job->cache.blocks());
  }
  if (passage_) return inputs;  // whose steps are not those that were timed
  for (size_t i = 0; i < ready.size(); ++i) {
    Job& job = *ready[i];
    if (!job.speculation) continue;
    draft(job, inputs[i], rows_beside, (blocks_after(job, 1) + spare) * kBlockTokens - job.cache.length());
    const int64_t n = std::ssize(inputs[i].ids);
    rows_beside += n - 1;
    spare -= blocks_after(job, n) - blocks_after(job, 1);
  }
  return inputs;
}

// At most `most` ids in all.
void Scheduler::draft(Job& job, StepInput& input, int64_t rows_beside, int64_t most) {
  most = std::min({most, job.request.generate.max_tokens - job.n_generated(),
                   engine_.context_tokens() - job.cache.length(), engine_.chunk_tokens()});
  input.ids = job.speculation->ids_to_verify(job.history, most, {step_times_, rows_beside});
  input.logits = Batch::Logits::all;
}

void Scheduler::run(const std::vector<Job*>& ready, SchedulerStep& report) {
  const std::vector<StepInput> inputs = inputs_of(ready);
  if (inputs.empty() && !passage_) return;
  const int64_t rows = passage_ ? passage_->batch.rows() : 0, layers = passage_ ? passage_->layers : 0;
  pace_.begin(std::ssize(ready), n_running(), rows);
  const MatView<const float> logits =
      passage_ ? engine_.step(inputs, *passage_, [&](int64_t layer) { return takes_part(layer); })
               : engine_.step(inputs);
  report = {.n_decoded = std::ssize(ready), .passage_rows = rows};
  if (passage_) report.passage_layers = passage_->layers - layers;
  Rows chosen;
  chosen.reserve(ready.size() + readers_.size());
  int64_t row = 0;
  for (size_t i = 0; i < ready.size(); ++i) {
    const int64_t n = std::ssize(inputs[i].ids);
    if (inputs[i].logits == Batch::Logits::all) ready[i]->speculation->verified(logits.sub_rows(row, n));
    chosen.emplace_back(ready[i], logits.vec(row));
    row += n;
  }
  const bool was_alone = !passage_;
  if (passage_ && engine_.has_arrived(*passage_)) {
    const Passage arrived = std::move(*passage_);
    passage_.reset();
    take_arrived(arrived, logits.sub_rows(row, logits.rows - row), chosen);
  }
  choose(std::move(chosen));
  pace_.finish();
  report.seconds = pace_.seconds();
  if (was_alone) step_times_.record(row, report.seconds);
}

// The readers of a passage that has arrived, whose logits these are.
void Scheduler::take_arrived(const Passage& passage, MatView<const float> logits, Rows& chosen) {
  int64_t first_row = 0, row = 0;
  for (Job* job : std::exchange(readers_, {})) {
    const int64_t n = std::exchange(job->n_asked, 0), first = job->cache.length() - n;
    if (job->request.events.on_mean_state) add_states(*job, passage, first_row, n, first);
    first_row += n;
    if (job->request.prompt_logprobs >= 0) {
      score_prompt(*job, logits.sub_rows(row, n), first);
      row += n;
      if (job->is_read()) chosen.emplace_back(job, logits.vec(row - 1));
    } else if (job->is_read()) {
      chosen.emplace_back(job, logits.vec(row++));
    }
    if (job->reads_all()) job->n_scored = std::max(job->n_scored, std::min(job->cache.length(), job->n_prompt));
    index(*job, false);
    const auto& on_prompt = job->request.events.on_prompt;
    if (on_prompt && !told([&] { on_prompt(std::min(job->cache.length(), job->n_prompt), job->n_prompt); }))
      job->is_lost = true;
  }
}

// Of positions from n_scored on: one that was preempted reads its prompt again.
void Scheduler::add_states(Job& job, const Passage& passage, int64_t first_row, int64_t n, int64_t first_position) {
  job.state_sum.resize(static_cast<size_t>(engine_.config().hidden_size));
  const MatView<const float> states = engine_.last_states(passage, first_row, n);
  for (int64_t i = 0; i < n; ++i) {
    if (first_position + i < job.n_scored || first_position + i >= job.n_prompt) continue;
    for (int64_t d = 0; d < states.cols; ++d)
      job.state_sum[static_cast<size_t>(d)] += static_cast<double>(states(i, d));
  }
}

// Of a step's jobs, and of those that read, the ones that had not come to their end when it failed.
void Scheduler::fail(std::vector<Job*> jobs, const Error& error) {
  jobs.insert(jobs.end(), readers_.begin(), readers_.end());
  if (passage_) engine_.give_up(*passage_);
  passage_.reset();
  readers_.clear();
  for (Job* job : jobs) {
    if (!is_running(job)) continue;
    job->n_asked = 0;
    job->cache = {};  // its rows may not be whole
    end(*job, EndReason::error, error);
  }
}

// Logits after positions first, first + 1, ...: the scores of the tokens that follow them in the prompt.
void Scheduler::score_prompt(Job& job, MatView<const float> logits, int64_t first) {
  const int64_t n = std::min(logits.rows, job.n_prompt - 1 - first);
  std::vector<TokenScore> scores(static_cast<size_t>(std::max<int64_t>(0, n)));
  engine_.pool().parallel_for_dynamic(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = logits.vec(i);
      scores[static_cast<size_t>(i)] =
          token_score({row.data, static_cast<size_t>(row.size)}, job.request.generate.n_usable_ids,
                      job.history[static_cast<size_t>(first + i + 1)], job.request.prompt_logprobs);
    }
  });
  const auto seen = static_cast<size_t>(std::max<int64_t>(0, job.n_scored - 1 - first));  // before it was preempted
  for (size_t i = seen; i < scores.size() && job.request.events.on_prompt_token; ++i)
    if (!told([&] { job.request.events.on_prompt_token(first + 1 + static_cast<int64_t>(i), scores[i]); }))
      job.is_lost = true;
}

// A token of every row; where it was drafted, the next one follows from the row of the draft.
void Scheduler::choose(Rows rows) {
  const Zone zone("sample", std::ssize(rows));
  while (!rows.empty()) rows = choose_one_each(rows);
}

// By all threads. Returns the rows that tokens can be chosen from next.
Scheduler::Rows Scheduler::choose_one_each(const Rows& rows) {
  struct Choice {
    TokenScore token;
    std::optional<Error> error;
  };
  std::vector<Choice> choices(rows.size());
  engine_.pool().parallel_for_dynamic(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Job& job = *rows[static_cast<size_t>(i)].first;
      const GenerateRequest& g = job.request.generate;
      if (g.max_tokens <= 0) continue;
      const VecView<const float> row = rows[static_cast<size_t>(i)].second;
      const std::span<const float> logits(row.data, static_cast<size_t>(row.size));
      Choice& choice = choices[static_cast<size_t>(i)];
      try {
        const int32_t id = sample(logits, g.n_usable_ids, job.history, std::ssize(job.history), g.sampling,
                                  allowed_of(job), job.n_prompt);
        choice.token = job.request.logprobs >= 0 ? token_score(logits, g.n_usable_ids, id, job.request.logprobs)
                                                 : TokenScore{.id = id};
      } catch (const Error& e) {
        choice.error = e;
      } catch (const std::bad_alloc&) {
        choice.error = no_memory();
      }
    }
  });
  Rows next;
  for (size_t i = 0; i < rows.size(); ++i) {
    Job& job = *rows[i].first;
    const GenerateRequest& g = job.request.generate;
    if (choices[i].error) {
      end(job, EndReason::error, choices[i].error);
      continue;
    }
    if (g.max_tokens <= 0) {
      end(job, EndReason::length);
      continue;
    }
    if (g.speculator != nullptr && !job.speculation)
      told([&] { job.speculation.emplace(*g.speculator, job.history, g, engine_.config().vocab_size); });
    if (!take_token(job, choices[i].token) || !job.speculation) continue;
    if (const auto row = job.speculation->logits_of_draft(job.history))
      next.emplace_back(&job, VecView<const float>{row->data(), std::ssize(*row)});
    else
      forget_undecided(job);
  }
  return next;
}

// Takes the tokens out of the cache that were drafted and not chosen.
void Scheduler::forget_undecided(Job& job) {
  if (!job.speculation) return;
  if (const int64_t n = job.speculation->forget_undecided(); n > 0)
    engine_.cache().truncate(job.cache, job.cache.length() - n);
}

// The ids that the request's constraint allows; empty: all.
std::span<const uint64_t> Scheduler::allowed_of(const Job& job) {
  if (job.request.constraint == nullptr) return {};
  if (job.request.constraint->is_dead())
    throw_bad_input("no token goes on as the grammar asks: {}", job.request.constraint->why_dead());
  return job.request.constraint->allowed().words;
}

// false: the request has ended.
bool Scheduler::take_token(Job& job, const TokenScore& token) {
  const GenerateRequest& g = job.request.generate;
  Matcher* constraint = job.request.constraint.get();
  if (constraint != nullptr) check(constraint->accept(token.id), "a token that was allowed");
  if (job.ended.times.first_token == 0) job.ended.times.first_token = clock_seconds();
  const auto ended = [&](EndReason reason, std::optional<Error> error = {}) {
    end(job, reason, std::move(error));
    return false;
  };
  const bool is_stop = std::find(g.stop_ids.begin(), g.stop_ids.end(), token.id) != g.stop_ids.end();
  if (is_stop || (constraint != nullptr && constraint->ended())) return ended(EndReason::stop_token);
  job.history.push_back(token.id);
  ++counts_.generated_tokens;
  charged_[job.request.owner] += 1;
  bool goes_on = true;
  if (!told([&] { goes_on = !job.request.events.on_token || job.request.events.on_token(token); }))
    return ended(EndReason::error, no_memory());
  if (!goes_on) return ended(EndReason::stopped_by_caller);
  return job.n_generated() < g.max_tokens || ended(EndReason::length);
}

void Scheduler::end(Job& job, EndReason reason, std::optional<Error> error) {
  if (job.request.events.on_mean_state && job.n_scored == job.n_prompt && !error) {
    for (double& x : job.state_sum) x /= static_cast<double>(job.n_prompt);
    if (!told([&] { job.request.events.on_mean_state(job.state_sum); })) {
      reason = EndReason::error;
      error = no_memory();
    }
  }
  forget_undecided(job);
  told([&] { index(job, true); });  // where that fails, nobody finds this prefix
  job.cache = {};
  job.ended.reason = reason;
  job.ended.error = std::move(error);
  job.ended.n_generated = job.n_generated();
  job.ended.times.ended = clock_seconds();
  ++counts_.ended[static_cast<size_t>(reason)];
  for (Jobs* jobs : {&queue_, &running_}) {
    const auto at = std::find_if(jobs->begin(), jobs->end(), [&](const auto& j) { return j.get() == &job; });
    if (at == jobs->end()) continue;
    if (jobs == &queue_) queued_tokens_ -= job.n_prompt;
    const std::unique_ptr<Job> gone = std::move(*at);
    jobs->erase(at);
    told([&] {
      if (gone->request.events.on_end) gone->request.events.on_end(gone->ended);
    });
    return;
  }
}

// What must be equal for rows of the cache to be those of this request's first n tokens.
std::vector<uint64_t> Scheduler::keys_of(const Job& job, int64_t n) const {
  std::vector<uint64_t> keys(job.history.begin(), job.history.begin() + n);
  if (!options_.exact_prefixes) return keys;
  for (int64_t at = 0; at < n;) {
    const StepSize size = piece_of(at, job.n_prompt);
    const uint64_t forms = engine_.attention_forms(size) << 32;
    for (const int64_t end = std::min(n, size.n_past + size.n_new); at < end; ++at)
      keys[static_cast<size_t>(at)] |= forms;
  }
  return keys;
}

void Scheduler::index(Job& job, bool ends) {
  const int64_t n = ends ? job.cache.length() : job.cache.length() / kBlockTokens * kBlockTokens;
  if (n <= job.n_indexed) return;
  prefixes_.add(job.cache, job.request.salt, keys_of(job, n), ends);
  job.n_indexed = n;
}

}  // namespace fathom
