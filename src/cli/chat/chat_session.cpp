#include "cli/chat/chat_session.h"

#include <algorithm>

#include "base/progress.h"
#include "engine/generation.h"
#include "tokenizer/stop_strings.h"

namespace fathom {
namespace {

struct Interrupted {};

}  // namespace

ChatSession::ChatSession(Engine& engine, const Tokenizer& tokenizer, ChatTemplate chat, ChatSettings settings)
    : engine_(engine),
      scheduler_(engine, offline_options(1)),
      tokenizer_(tokenizer),
      chat_(std::move(chat)),
      settings_(std::move(settings)) {}

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

GenerateRequest ChatSession::generate_request(int64_t n_prompt) const {
  const int64_t room = engine_.context_tokens() - n_prompt;
  GenerateRequest request{.max_tokens = settings_.max_tokens > 0 ? std::min(settings_.max_tokens, room) : room,
                          .sampling = settings_.sampling,
                          .stop_ids = settings_.stop_ids,
                          .n_usable_ids = std::min<int64_t>(engine_.config().vocab_size, tokenizer_.n_tokens()),
                          .speculator = settings_.speculator};
  request.sampling.seed += attempts_;
  return request;
}

// Ends as an error does when the interruption comes before the first token.
void ChatSession::write_answer(const std::vector<int32_t>& ids, AnswerText& text, Answer& answer,
                               const InterruptedFn& interrupted) {
  const SpeculationCounts before = counts_of(settings_.speculator);
  std::optional<Progress> progress(std::in_place, "reading", ids.size(), "tokens", settings_.quiet);
  bool was_interrupted = false;
  ScheduledRequest request{.prompt = ids, .generate = generate_request(std::ssize(ids))};
  const bool is_short = request.generate.max_tokens < engine_.context_tokens() - std::ssize(ids);
  request.events.on_token = [&](const TokenScore& token) {
    progress.reset();
    ++answer.n_written;
    past_.push_back(token.id);
    const bool goes_on = text.push(token.id);
    was_interrupted = interrupted();
    return goes_on && !was_interrupted;
  };
  const Ended ended = generate(scheduler_, std::move(request), [&](int64_t n_read) {
    if (!progress) return true;  // from the first token on, on_token asks
    progress->set(static_cast<uint64_t>(n_read));
    return !interrupted();
  });
  progress.reset();
  if (ended.error) throw Error(*ended.error);
  if (ended.reason == EndReason::cancelled) throw Interrupted{};
  text.finish();
  const RequestTimes& t = ended.times;
  answer.n_cached = ended.n_cached;
  answer.n_prompt = ended.n_prompt - ended.n_cached;
  answer.prompt_s = (t.first_token > 0 ? t.first_token : t.ended) - t.submitted;
  answer.write_s = t.first_token > 0 ? t.ended - t.first_token : 0;
  answer.speculation = counts_of(settings_.speculator) - before;
  if (was_interrupted)
    answer.end = AnswerEnd::interrupted;
  else if (ended.reason == EndReason::length)
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
    past_text_.clear();
    past_ = ids;
    write_answer(ids, text, answer, interrupted);
    messages_.push_back({"assistant", text.text()});
    answer.text = text.text();
    past_text_ = text.was_cut()
                     ? std::string()
                     : chat_.render(std::span(messages_).first(messages_.size() - 1), true) + text.gap() + text.text();
  } catch (const Interrupted&) {  // while the prompt was read
    messages_ = before;
    answer.end = AnswerEnd::interrupted;
  } catch (...) {
    messages_ = before;
    throw;
  }
  return answer;
}

}  // namespace fathom
