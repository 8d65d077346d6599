// Many requests on one engine: continuous batching with shared prefixes and preemption.
//
// Every step is one batch: the next token of every running sequence (and, where measured times say that it pays, drafts
// of those after it: speculator.h), and beside it some layers of a passage, in which a piece of waiting prompts crosses
// the network (model/transformer.h). So a long prompt holds up nobody: the passage takes part for as many layers as
// keep the step within `stretch` times the time of a step without it.
//
// The bits of a request's tokens depend on its ids and options alone, not on its neighbours, their order of arrival or
// preemption: prompts attend in pieces that depend on positions alone (piece_of). One exception, unless exact_prefixes
// is set: rows found in the cache may have attended in the other form of latent attention (mla.h), where another
// request generated what is prompt here, or where its prompt ended within the same piece; the difference is one of
// rounding.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/scheduler/pace.h"
#include "engine/scheduler/request.h"
#include "engine/speculation/speculator.h"
#include "kvcache/prefix_index.h"

namespace fathom {

struct SchedulerOptions {
  int64_t max_running = 32;  // sequences that have rows in the cache
  int64_t max_queued = 256;  // requests that wait, and their prompt tokens in all
  int64_t max_queued_tokens = 1 << 20;
  double stretch = 2;                     // most time of a step with a passage, in steps without one
  int64_t passage_tokens = kPieceTokens;  // most rows of a passage
  bool exact_prefixes = false;            // find only rows whose bits are those that the request itself would compute
  std::function<void()> poll = {};        // called between two layers of a passage; it may call cancel()
};

struct SchedulerCounts {
  int64_t submitted = 0, preempted = 0, steps = 0, ended[6] = {};  // by EndReason
  int64_t prompt_tokens = 0, prompt_tokens_cached = 0, generated_tokens = 0;
};

// What one step did, for metrics.
struct SchedulerStep {
  int64_t n_decoded = 0;       // sequences that got a token
  int64_t passage_rows = 0;    // of the passage beside them
  int64_t passage_layers = 0;  // that it took part in
  double seconds = 0;
};

// One thread submits, steps and cancels. The engine must outlive it.
class Scheduler {
 public:
  Scheduler(Engine& engine, SchedulerOptions options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Whether the queue takes another request with a prompt of so many tokens.
  bool has_room(int64_t prompt_tokens) const noexcept;
  // Queues it; errors as of check_prompt, and resource when there is no room.
  RequestId submit(ScheduledRequest request);
  // The request ends with EndReason::cancelled in this step or the next; unknown ids are ignored.
  void cancel(RequestId id);
  // Ends every request, and a passage that is under way: after something that step() does not know.
  void end_all(EndReason reason, const std::optional<Error>& error);
  bool has_work() const noexcept { return !queue_.empty() || !running_.empty(); }
  // Another function in place of SchedulerOptions::poll, which is returned.
  std::function<void()> exchange_poll(std::function<void()> poll);
  // One step; does nothing without work. What the engine throws ends the requests of the step with that error; where
  // memory runs out for one request alone, it ends that one.
  SchedulerStep step();

  int64_t n_running() const noexcept { return std::ssize(running_); }
  int64_t n_queued() const noexcept { return std::ssize(queue_); }
  int64_t queued_tokens() const noexcept { return queued_tokens_; }
  int64_t cache_tokens() const noexcept { return engine_.cache().n_blocks() * kBlockTokens; }
  // Of the request's tokens, those read so far; what is crossing the network counts by its layers. For a progress bar.
  int64_t n_read(RequestId id) const noexcept;
  int64_t cache_tokens_in_use() const noexcept;  // without what only the index of prefixes holds
  const SchedulerCounts& counts() const noexcept { return counts_; }
  const PrefixCounts& prefix_counts() const noexcept { return prefixes_.counts(); }

 private:
  // A request from submit() to its end. Its tokens in the cache are the first of history.
  struct Job {
    RequestId id = 0;
    ScheduledRequest request;
    std::vector<int32_t> history;  // prompt and generated tokens
    SequenceCache cache;
    int64_t n_prompt = 0;   // tokens of the request's prompt
    int64_t n_indexed = 0;  // that the index of prefixes has been told of
    int64_t n_asked = 0;    // tokens of it that are on their way in the passage
    bool is_cancelled = false, is_charged = false;
    std::optional<Error> error = {};  // of what was done for it; it ends with this
    Ended ended = {};

    int64_t n_scored = 0;                // tokens of the prompt whose scores and states have been used
    std::vector<double> state_sum = {};  // of the prompt's last hidden states
    std::optional<Speculation> speculation = {};

    bool wants_logits() const noexcept { return request.prompt_logprobs >= 0 || request.events.on_prompt_logits; }
    bool reads_all() const noexcept { return wants_logits() || request.events.on_mean_state; }
    bool is_read() const noexcept { return cache.length() >= std::ssize(history); }
    bool is_decoding() const noexcept {
      return n_asked == 0 && cache.length() == std::ssize(history) - 1 && (!reads_all() || cache.length() >= n_prompt);
    }
    int64_t n_generated() const noexcept { return std::ssize(history) - n_prompt; }
  };
  using Jobs = std::vector<std::unique_ptr<Job>>;
  using Rows = std::vector<std::pair<Job*, VecView<const float>>>;  // logits that a token is chosen from

  // ---- what waits ----
  void drop_ended();
  void admit();
  Jobs::iterator next_queued();
  void admit(Jobs::iterator next);
  bool waits_for_prefix(const Job& job) const;
  bool fits(const Job& job) const;
  bool is_running(const Job* job) const;
  // ---- the passage ----
  void start_passage();
  std::vector<std::pair<Job*, int64_t>> choose_readers(int64_t rows) const;
  static StepInput input_of(Job& job, int64_t n);
  void leave_passage(Job& job);
  bool takes_part(int64_t layer);
  // ---- room ----
  static void drop_rows(Job& job) noexcept;
  bool make_room(int64_t blocks, const Job& asking);
  void preempt(Job& job);
  // ---- steps ----
  std::vector<Job*> decoding();
  void run(const std::vector<Job*>& decoding, SchedulerStep& report);
  std::vector<StepInput> inputs_of(const std::vector<Job*>& decoding);
  void draft(Job& job, StepInput& input, int64_t rows_beside, int64_t most);
  void fail(const std::vector<Job*>& jobs, const Error& error) noexcept;
  // ---- the logits of a step (scheduler_tokens.cpp) ----
  // Does something for one request. What it throws is the error that the request ends with.
  template <class Do>
  static std::optional<Error> thrown_by(Do&& something) noexcept {
    try {
      something();
      return std::nullopt;
    } catch (const Error& e) {
      return e;
    } catch (...) {
      return no_memory();
    }
  }
  void take_arrived(const Passage& passage, MatView<const float> logits, Rows& chosen);
  void take_prompt_logits(Job& job, const Passage& passage, int64_t first_row, int64_t n, int64_t first_position);
  void tell_logits(Job& job, MatView<const float> logits, int64_t first_position);
  void score_prompt(Job& job, MatView<const float> logits, int64_t first_position);
  void add_states(Job& job, const Passage& passage, int64_t first_row, int64_t n, int64_t first_position);
  void choose(Rows rows);
  Rows choose_one_each(const Rows& rows);
  void forget_undecided(Job& job);
  static std::span<const uint64_t> allowed_of(const Job& job);
  std::optional<EndReason> take_token(Job& job, const TokenScore& token);
  void end(Job& job, EndReason reason, std::optional<Error> error = {}) noexcept;
  std::vector<uint64_t> keys_of(const Job& job, int64_t n) const;
  void index(Job& job, bool ends);

  Engine& engine_;
  SchedulerOptions options_;
  PrefixIndex prefixes_;
  Jobs queue_, running_;                // running_ in the order of submission
  std::map<uint64_t, double> charged_;  // tokens that an owner has had, for fair shares
  int64_t queued_tokens_ = 0;
  RequestId next_id_ = 1;
  std::optional<Passage> passage_;
  std::vector<Job*> readers_;  // of the passage, in its order
  PassagePace pace_;
  StepTimes step_times_;  // of steps without a passage
  SchedulerCounts counts_;
};

}  // namespace fathom
