// What becomes of the logits of a step: scores of prompts, tokens, and the ends of requests.
#include <algorithm>

#include "base/trace.h"
#include "engine/scheduler/scheduler.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

const Error kNoMemory(ErrorKind::resource,
                      "the machine has no memory left for this request; try fewer or shorter ones");

TokenScore token_score(std::span<const float> logits, int64_t n_usable, int32_t id, int64_t k) {
  const TokenLogprobs found = token_logprobs(logits, n_usable, id, k);
  TokenScore score{.id = id, .logprob = found.chosen};
  for (const TokenLogprob& t : found.top) score.top.emplace_back(t.id, t.logprob);
  return score;
}

}  // namespace

const Error& no_memory() noexcept { return kNoMemory; }

// The readers of a passage that has arrived, whose logits these are.
void Scheduler::take_arrived(const Passage& passage, MatView<const float> logits, Rows& chosen) {
  int64_t first_row = 0, row = 0;
  for (Job* job : std::exchange(readers_, {})) {
    const int64_t n = std::exchange(job->n_asked, 0), first = job->cache.length() - n;
    const auto attempt = [job](auto&& something) {
      if (auto error = thrown_by(something)) job->error = std::move(error);
    };
    if (job->request.events.on_mean_state) attempt([&] { add_states(*job, passage, first_row, n, first); });
    if (job->wants_logits()) attempt([&] { take_prompt_logits(*job, passage, first_row, n, first); });
    first_row += n;
    if (job->is_read()) chosen.emplace_back(job, logits.vec(row++));
    if (job->reads_all()) job->n_scored = std::max(job->n_scored, std::min(job->cache.length(), job->n_prompt));
    attempt([&] { index(*job, false); });
    if (const auto& on_prompt = job->request.events.on_prompt)
      attempt([&] { on_prompt(std::min(job->cache.length(), job->n_prompt), job->n_prompt); });
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

// Some rows at a time: a row has vocab_size numbers.
void Scheduler::take_prompt_logits(Job& job, const Passage& passage, int64_t first_row, int64_t n, int64_t first) {
  constexpr int64_t kRows = 128;
  int64_t from = job.n_scored;  // it may have been read before it was preempted
  if (job.request.prompt_logprobs < 0) from = std::max(from, job.request.logits_from);
  n = std::min(n, job.n_prompt - first);
  for (int64_t at = std::max<int64_t>(0, from - first), rows; at < n; at += rows) {
    rows = std::min(kRows, n - at);
    const MatView<const float> logits = engine_.logits_of(passage, first_row + at, rows);
    if (job.request.events.on_prompt_logits) tell_logits(job, logits, first + at);
    if (job.request.prompt_logprobs >= 0) score_prompt(job, logits, first + at);
  }
}

void Scheduler::tell_logits(Job& job, MatView<const float> logits, int64_t first) {
  for (int64_t i = std::max<int64_t>(0, job.request.logits_from - first); i < logits.rows; ++i)
    job.request.events.on_prompt_logits(first + i, logits.vec(i));
}

// Logits after positions first, first + 1, ...: the scores of the tokens that follow them in the prompt.
void Scheduler::score_prompt(Job& job, MatView<const float> logits, int64_t first) {
  if (!job.request.events.on_prompt_token) return;
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
  for (size_t i = 0; i < scores.size(); ++i)
    job.request.events.on_prompt_token(first + 1 + static_cast<int64_t>(i), scores[i]);
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
      choice.error = thrown_by([&] {
        const int32_t id = sample(logits, g.n_usable_ids, job.history, std::ssize(job.history), g.sampling,
                                  allowed_of(job), job.n_prompt);
        choice.token = job.request.logprobs >= 0 ? token_score(logits, g.n_usable_ids, id, job.request.logprobs)
                                                 : TokenScore{.id = id};
      });
    }
  });
  Rows next;
  next.reserve(rows.size());
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
      thrown_by([&] { job.speculation.emplace(*g.speculator, job.history, g, engine_.config().vocab_size); });
    std::optional<EndReason> reason;
    auto error = thrown_by([&] { reason = take_token(job, choices[i].token); });
    if (error || reason) {
      end(job, error ? EndReason::error : *reason, std::move(error));
      continue;
    }
    if (!job.speculation) continue;
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

// Why the request ends with it; nothing: it goes on.
std::optional<EndReason> Scheduler::take_token(Job& job, const TokenScore& token) {
  const GenerateRequest& g = job.request.generate;
  Matcher* constraint = job.request.constraint.get();
  if (constraint != nullptr) check(constraint->accept(token.id), "a token that was allowed");
  if (job.ended.times.first_token == 0) job.ended.times.first_token = clock_seconds();
  const bool is_stop = std::find(g.stop_ids.begin(), g.stop_ids.end(), token.id) != g.stop_ids.end();
  if (is_stop || (constraint != nullptr && constraint->ended())) return EndReason::stop_token;
  job.history.push_back(token.id);
  ++counts_.generated_tokens;
  charged_[job.request.owner] += 1;
  if (job.request.events.on_token && !job.request.events.on_token(token)) return EndReason::stopped_by_caller;
  if (job.n_generated() >= g.max_tokens) return EndReason::length;
  return std::nullopt;
}

void Scheduler::end(Job& job, EndReason reason, std::optional<Error> error) noexcept {
  if (!error && job.error) {
    error = job.error;
    reason = EndReason::error;
  }
  if (job.request.events.on_mean_state && job.n_scored == job.n_prompt && !error) {
    for (double& x : job.state_sum) x /= static_cast<double>(job.n_prompt);
    error = thrown_by([&] { job.request.events.on_mean_state(job.state_sum); });
    if (error) reason = EndReason::error;
  }
  thrown_by([&] {  // where that fails, nobody finds this prefix
    forget_undecided(job);
    index(job, true);
  });
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
    thrown_by([&] {
      if (gone->request.events.on_end) gone->request.events.on_end(gone->ended);
    });
    return;
  }
}

}  // namespace fathom
