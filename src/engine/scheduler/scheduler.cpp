#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <new>
#include <numeric>

#include "base/trace.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

constexpr int64_t kSharedWorth = kBlockTokens;  // a common prefix that is worth waiting for

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

std::function<void()> Scheduler::exchange_poll(std::function<void()> poll) {
  return std::exchange(options_.poll, std::move(poll));
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
  queued_tokens_ += queue_.back()->n_prompt;
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
      drop_rows(job);
      end(job, reason, error);
    }
}

// Cancelled ones, and those whose time is over.
void Scheduler::drop_ended() {
  const double now = clock_seconds();
  std::vector<Job*> over;
  for (Jobs* jobs : {&queue_, &running_})
    for (const auto& job : *jobs)
      if (job->is_cancelled || job->error || (job->request.deadline > 0 && now > job->request.deadline))
        over.push_back(job.get());
  for (Job* job : over) {
    leave_passage(*job);
    end(*job, job->is_cancelled ? EndReason::cancelled : EndReason::deadline);
  }
}

// Of the highest priority; of these the owner's that had the least; of these the first that came. One that waits for a
// prefix lets others go first, of which the next few are looked at.
Scheduler::Jobs::iterator Scheduler::next_queued() {
  constexpr ptrdiff_t kLookedAt = 16;
  std::vector<Jobs::iterator> order(queue_.size());
  std::iota(order.begin(), order.end(), queue_.begin());
  const auto few = order.begin() + std::min(kLookedAt, std::ssize(order));
  std::partial_sort(order.begin(), few, order.end(), [&](const auto& at, const auto& bt) {
    const Job &a = **at, &b = **bt;
    if (a.request.priority != b.request.priority) return a.request.priority > b.request.priority;
    const double ca = charged_[a.request.owner], cb = charged_[b.request.owner];
    return ca != cb ? ca < cb : a.id < b.id;
  });
  const auto found = std::find_if(order.begin(), few, [&](const auto& at) { return !waits_for_prefix(**at); });
  return found == few ? queue_.end() : *found;
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
    auto next = queue_.end();
    if (auto error = thrown_by([&] { next = next_queued(); })) {
      end(*queue_.front(), EndReason::error, std::move(error));
      continue;
    }
    if (next == queue_.end() || !fits(**next)) return;
    Job& job = **next;
    if (auto error = thrown_by([&] { admit(next); })) end(job, EndReason::error, std::move(error));
  }
}

// What it throws leaves the request in the queue.
void Scheduler::admit(Jobs::iterator next) {
  Job& job = **next;
  running_.reserve(running_.size() + 1);
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
  const bool shorter_waits = std::any_of(reading.begin() + 1, reading.end(),
                                         [&](const Job* job) { return left(job) < left(reading.front()); });
  take(reading.front(), shorter_waits ? (rows + 1) / 2 : rows);
  std::stable_sort(reading.begin() + 1, reading.end(), [&](Job* a, Job* b) { return left(a) < left(b); });
  for (size_t i = 1; i < reading.size(); ++i) take(reading[i], rows);
  chosen.front().second += std::min(rows, left(chosen.front().first) - chosen.front().second);
  return chosen;
}

// The first reader is the oldest, for which younger ones give way; the others take what is free.
void Scheduler::start_passage() {
  const int64_t n_decoding =
      std::count_if(running_.begin(), running_.end(), [](const auto& j) { return j->is_decoding(); });
  const auto chosen = choose_readers(pace_.passage_rows(n_decoding, n_running(), options_.passage_tokens));
  std::vector<StepInput> inputs;
  inputs.reserve(chosen.size());
  readers_.reserve(chosen.size());
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
  if (auto error = thrown_by([&] { passage_.emplace(engine_.begin(inputs)); })) {
    for (Job* job : std::exchange(readers_, {})) job->n_asked = 0;
    end(*chosen.front().first, EndReason::error, std::move(error));
  }
}

StepInput Scheduler::input_of(Job& job, int64_t n) {
  const bool is_last = job.cache.length() + n == std::ssize(job.history);
  return {.sequence = &job.cache,
          .ids = std::span(job.history).subspan(static_cast<size_t>(job.cache.length()), static_cast<size_t>(n)),
          .logits = is_last ? Batch::Logits::last : Batch::Logits::none,
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

// Of a job that ends in the middle of a step: its rows may not be whole, and what it drafted is not decided.
void Scheduler::drop_rows(Job& job) noexcept {
  job.n_asked = 0;
  job.speculation.reset();
  job.cache = {};
}

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
  queue_.reserve(queue_.size() + 1);
  leave_passage(job);
  thrown_by([&] { index(job, true); });  // where that fails, all of it is computed again
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
  std::vector<Job*> ready, at_stake;
  try {
    if (options_.poll) options_.poll();
    drop_ended();
    admit();
    if (running_.empty()) return report;
    if (!passage_) start_passage();
    ready = at_stake = decoding();
    at_stake.insert(at_stake.end(), readers_.begin(), readers_.end());
    run(ready, report);
  } catch (const Error& e) {
    fail(at_stake, e);
  } catch (const std::bad_alloc&) {
    fail(at_stake, no_memory());
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

// Of a step's jobs, and of those that read, the ones that had not come to their end when it failed.
void Scheduler::fail(const std::vector<Job*>& jobs, const Error& error) noexcept {
  if (passage_) engine_.give_up(*passage_);
  passage_.reset();
  const std::vector<Job*> readers = std::exchange(readers_, {});
  for (const auto* failed : {&jobs, &readers})
    for (Job* job : *failed) {
      if (!is_running(job)) continue;
      drop_rows(*job);
      end(*job, EndReason::error, error);
    }
}

// What must be equal for rows of the cache to be those of this request's first n tokens.
std::vector<uint64_t> Scheduler::keys_of(const Job& job, int64_t n) const {
  std::vector<uint64_t> keys(job.history.begin(), job.history.begin() + n);
  if (!options_.exact_prefixes) return keys;
  for (int64_t at = 0; at < n;) {
    const StepSize size = piece_of(at, job.n_prompt);
    const uint64_t forms = engine_.forms(size) << 32;
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
