#include "cli/chat/chat_session.h"

#include <algorithm>

#include "base/progress.h"
#include "engine/generation.h"
#include "kernels/peak.h"
#include "tokenizer/stop_strings.h"

namespace fathom {
namespace {

struct Interrupted {};

}  // namespace

// Ids of an answer -> its text, without the gap in front that belongs to the template, up to a stop string.
class ChatSession::AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, std::vector<std::string> stops, std::string gap, const ShowFn& show)
      : decoder_(tokenizer), stops_(std::move(stops)), gap_(std::move(gap)), show_(show) {}

  // false: a stop string has come.
  bool push(int32_t id) {
    add(stops_.push(decoder_.push(id)));
    return !stops_.stopped();
  }
  void finish() {
    if (stops_.stopped()) return;
    add(stops_.push(decoder_.flush()));
    if (!stops_.stopped()) add(stops_.flush());
    if (before_gap_) release(held_);
  }
  const std::string& text() const { return text_; }
  const std::string& gap() const { return gap_; }
  bool was_cut() const { return stops_.stopped(); }

 private:
  void add(const std::string& piece) {
    if (!before_gap_) return release(piece);
    held_ += piece;
    if (held_.size() < gap_.size() && gap_.starts_with(held_)) return;  // may still become the gap
    before_gap_ = false;
    release(held_.starts_with(gap_) ? held_.substr(gap_.size()) : held_);
  }
  void release(const std::string& piece) {
    text_ += piece;
    if (!piece.empty()) show_(piece);
  }

  StreamDecoder decoder_;
  StopStrings stops_;
  std::string gap_, held_, text_;
  bool before_gap_ = true;
  const ShowFn& show_;
};

void ChatSession::set_system(const std::string& text) {
  if (!messages_.empty() && messages_[0].role == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", text});
}

void ChatSession::clear() {
  const bool has_system = !messages_.empty() && messages_[0].role == "system";
  messages_.resize(has_system ? 1 : 0);
  tools_.clear();
  chat_ = chat_.with_tools({});
  past_text_.clear();
}

void ChatSession::load(const Conversation& conversation, const std::string& where) {
  Conversation fitted = fitted_to(chat_, conversation, where);
  messages_ = std::move(fitted.messages);
  tools_ = std::move(fitted.tools);
  chat_ = chat_.with_tools(tools_);
  past_text_.clear();
}

bool ChatSession::waits_for_answer() const {
  return !messages_.empty() && (messages_.back().role == "user" || messages_.back().role == "tool");
}

// The conversation is written anew by the template every turn. Where it says what it said before, the ids that were run
// stay: a model spells a text with other ids than the tokenizer would, and those it wrote are in the cache.
std::vector<int32_t> ChatSession::prompt_ids(const std::vector<TextPiece>& pieces) const {
  std::string text;
  for (const TextPiece& piece : pieces) text += piece.text;
  if (past_text_.empty() || !text.starts_with(past_text_)) return encode_pieces(tokenizer_, pieces);
  std::vector<TextPiece> rest;
  size_t skip = past_text_.size();
  for (const TextPiece& piece : pieces) {
    if (skip < piece.text.size()) rest.push_back({piece.text.substr(skip), piece.trusted});
    skip -= std::min(skip, piece.text.size());
  }
  std::vector<int32_t> ids = past_;
  const std::vector<int32_t> more = encode_pieces(tokenizer_, rest);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

std::span<const float> ChatSession::read_prompt(std::span<const int32_t> ids, Answer& answer,
                                                const InterruptedFn& interrupted) {
  const auto in_cache = std::span(past_).first(static_cast<size_t>(sequence_.length()));
  const auto differ =
      std::mismatch(in_cache.begin(), in_cache.end(), ids.begin(), ids.end() - 1).first;  // one is appended at least
  answer.n_cached = differ - in_cache.begin();
  answer.n_prompt = std::ssize(ids) - answer.n_cached;
  engine_.cache().truncate(sequence_, answer.n_cached);
  past_.assign(ids.begin(), ids.end());

  const double start = clock_seconds();
  Progress progress("reading", static_cast<uint64_t>(answer.n_prompt), "tokens", settings_.quiet);
  const auto logits = engine_.append(sequence_, ids.subspan(static_cast<size_t>(answer.n_cached)), [&](int64_t done) {
    progress.set(static_cast<uint64_t>(done));
    if (interrupted()) throw Interrupted{};
  });
  answer.prompt_s = clock_seconds() - start;
  return logits;
}

void ChatSession::write_answer(std::vector<int32_t>& ids, std::span<const float> logits, AnswerText& text,
                               Answer& answer, const InterruptedFn& interrupted) {
  const double start = clock_seconds();
  SamplingOptions sampling = settings_.sampling;
  sampling.seed += attempts_;
  const int64_t room = engine_.context_tokens() - std::ssize(ids);
  const bool is_short = settings_.max_tokens > 0 && settings_.max_tokens < room;
  const GenerateRequest request{.max_tokens = is_short ? settings_.max_tokens : room,
                                .sampling = sampling,
                                .stop_ids = settings_.stop_ids,
                                .n_usable_ids = std::min<int64_t>(engine_.config().vocab_size, tokenizer_.n_tokens()),
                                .speculator = settings_.speculator};
  const SpeculationCounts before = counts_of(settings_.speculator);
  bool was_interrupted = false;
  const FinishReason reason = generate(engine_, sequence_, ids, logits, request, [&](int32_t id) {
    ++answer.n_written;
    const bool goes_on = text.push(id);
    was_interrupted = interrupted();
    return goes_on && !was_interrupted;
  });
  text.finish();
  answer.write_s = clock_seconds() - start;
  answer.speculation = counts_of(settings_.speculator) - before;
  if (was_interrupted)
    answer.end = AnswerEnd::interrupted;
  else if (reason == FinishReason::length)
    answer.end = is_short ? AnswerEnd::length : AnswerEnd::context_full;
}

Answer ChatSession::say(const std::string& user, const ShowFn& show, const InterruptedFn& interrupted) {
  const std::vector<ChatMessage> before = messages_;
  attempts_ = 0;
  messages_.push_back({"user", user});
  return answer_or_restore(before, show, interrupted);
}

Answer ChatSession::answer(const ShowFn& show, const InterruptedFn& interrupted) {
  return answer_or_restore(messages_, show, interrupted);
}

Answer ChatSession::regenerate(const ShowFn& show, const InterruptedFn& interrupted) {
  const std::vector<ChatMessage> before = messages_;
  if (!messages_.empty() && messages_.back().role == "assistant") messages_.pop_back();
  if (!waits_for_answer()) {
    messages_ = before;
    throw_bad_input("there is no message to answer again");
  }
  past_text_.clear();
  ++attempts_;
  return answer_or_restore(before, show, interrupted);
}

Answer ChatSession::answer_or_restore(const std::vector<ChatMessage>& before, const ShowFn& show,
                                      const InterruptedFn& interrupted) {
  Answer answer;
  bool is_running = false;
  try {
    const std::vector<TextPiece> pieces = chat_.render_pieces(messages_, true);
    const std::vector<int32_t> ids = prompt_ids(pieces);
    if (ids.empty()) throw_bad_input("the chat template makes no text of these messages");
    if (std::ssize(ids) >= engine_.context_tokens())
      throw_resource(
          "the context is full: the conversation has {} tokens with this message, and the context has room for {}; "
          "/clear starts a new conversation, a larger --ctx makes room (the model allows {})",
          ids.size(), engine_.context_tokens(), engine_.config().max_position_embeddings);
    AnswerText text(tokenizer_, settings_.stops, answer_gap(chat_, messages_), show);
    is_running = true;
    past_text_.clear();
    const std::span<const float> logits = read_prompt(ids, answer, interrupted);
    write_answer(past_, logits, text, answer, interrupted);
    messages_.push_back({"assistant", text.text()});
    answer.text = text.text();
    past_text_ = text.was_cut()
                     ? std::string()
                     : chat_.render(std::span(messages_).first(messages_.size() - 1), true) + text.gap() + text.text();
  } catch (const Interrupted&) {  // between two chunks of the prompt: those that were read stay in the cache
    messages_ = before;
    answer.end = AnswerEnd::interrupted;
  } catch (...) {
    messages_ = before;
    if (is_running) {  // what the cache holds is not known
      past_.clear();
      engine_.cache().truncate(sequence_, 0);
    }
    throw;
  }
  return answer;
}

}  // namespace fathom
