#include "measure/serve/workload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/json/json_fields.h"
#include "base/random.h"

namespace fathom::serve_bench {
namespace {

constexpr int64_t kMostTokens = 1 << 24;
constexpr int64_t kMostWeight = 1000;

// Short and common: most vocabularies have each of them, with its blank, as one token.
constexpr std::array<std::string_view, 96> kWords = {
    "the",   "of",   "and",  "to",    "in",     "that",  "it",   "was",  "for",    "on",    "are",  "with",
    "as",    "his",  "they", "be",    "at",     "one",   "have", "this", "from",   "or",    "had",  "by",
    "hot",   "but",  "some", "what",  "there",  "we",    "can",  "out",  "other",  "were",  "all",  "your",
    "when",  "up",   "use",  "word",  "how",    "said",  "an",   "each", "she",    "which", "do",   "their",
    "time",  "if",   "will", "way",   "about",  "many",  "then", "them", "would",  "write", "like", "so",
    "these", "her",  "long", "make",  "thing",  "see",   "him",  "two",  "has",    "look",  "more", "day",
    "could", "go",   "come", "did",   "my",     "sound", "no",   "most", "number", "who",   "over", "know",
    "water", "than", "call", "first", "people", "may",   "down", "side", "been",   "now",   "find", "work"};

[[noreturn]] void refuse_mix(std::string_view mix) {
  throw_bad_input(
      "--mix {}: needed are PROMPT:OUTPUT tokens, and *COUNT where there is more than one in a turn, such "
      "as 512:128*7,8192:64",
      mix);
}

struct Part {
  int64_t prompt = 0, output = 0, count = 1;
};

Part parse_part(std::string_view part, std::string_view mix) {
  Part out;
  const char* at = part.data();
  const char* const end = part.data() + part.size();
  const auto number = [&](int64_t& n, int64_t most) {
    const auto [after, failed] = std::from_chars(at, end, n);
    if (failed != std::errc{} || n < 1 || n > most) refuse_mix(mix);
    at = after;
  };
  const auto skip = [&](char c) {
    if (at == end || *at != c) refuse_mix(mix);
    ++at;
  };
  number(out.prompt, kMostTokens);
  skip(':');
  number(out.output, kMostTokens);
  if (at != end) {
    skip('*');
    number(out.count, kMostWeight);
  }
  if (at != end) refuse_mix(mix);
  return out;
}

// Kinds in an order in which each comes as evenly as its count allows.
std::vector<size_t> even_order(const std::vector<Part>& parts) {
  int64_t total = 0;
  for (const Part& p : parts) total += p.count;
  std::vector<int64_t> credit(parts.size(), 0);
  std::vector<size_t> order;
  for (int64_t i = 0; i < total; ++i) {
    for (size_t k = 0; k < parts.size(); ++k) credit[k] += parts[k].count;
    const auto best = std::max_element(credit.begin(), credit.end());
    *best -= total;
    order.push_back(static_cast<size_t>(best - credit.begin()));
  }
  return order;
}

int64_t checked_tokens(JsonFields& fields, std::string_view key, int64_t when_absent) {
  const int64_t n = fields.maybe_integer(key).value_or(when_absent);
  if (n < 1 || n > kMostTokens) throw_bad_input("{} is {}; it must be 1 to {}", fields.place(key), n, kMostTokens);
  return n;
}

Row row_of_line(const json::value& line, const std::string& where, int64_t max_tokens) {
  JsonFields fields(line, where);
  Row row;
  row.max_tokens = checked_tokens(fields, "max_tokens", max_tokens);
  const bool prompt = fields.has("prompt"), messages = fields.has("messages"), length = fields.has("prompt_tokens");
  if (prompt + messages + length != 1)
    throw_bad_input("{}: needed is one of \"prompt\", \"messages\" and \"prompt_tokens\"", where);
  if (length) row.prompt_tokens = checked_tokens(fields, "prompt_tokens", 0);
  if (messages) row.messages = fields.array("messages");
  if (prompt) {
    row.prompt = fields.value("prompt");
    if (!row.prompt.is_string() && !row.prompt.is_array())
      fields.refuse_type("prompt", "a text or token ids", row.prompt);
  }
  fields.refuse_unread();
  return row;
}

json::value messages_of(const Row& row, json::value prompt, uint64_t i) {
  if (!row.messages.is_null()) return row.messages;
  if (!prompt.is_string()) throw_bad_input("request {}: a chat takes a text, not token ids; leave --chat out", i + 1);
  return json::array{json::object{{"role", "user"}, {"content", std::move(prompt)}}};
}

}  // namespace

Workload workload_of_mix(std::string_view mix) {
  std::vector<Part> parts;
  for (std::string_view rest = mix;;) {
    const size_t comma = rest.find(',');
    parts.push_back(parse_part(rest.substr(0, comma), mix));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  Workload w;
  for (const Part& p : parts) w.kinds.push_back(fmt::format("{} in, {} out", p.prompt, p.output));
  for (const size_t k : even_order(parts))
    w.rows.push_back({.kind = k, .prompt_tokens = parts[k].prompt, .max_tokens = parts[k].output});
  return w;
}

Workload workload_of_lines(std::string_view text, const std::string& where, int64_t max_tokens) {
  Workload w;
  w.kinds = {where};
  int64_t n = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++n;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}, line {}", where, n);
    w.rows.push_back(row_of_line(parse_json(line, place), place, max_tokens));
  }
  if (w.rows.empty()) throw_bad_input("{}: holds no request", where);
  return w;
}

std::string common_words(int64_t n, uint64_t seed, uint64_t stream) {
  std::string text;
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0) text += ' ';
    text += kWords[philox(seed, stream, static_cast<uint64_t>(i))[0] % kWords.size()];
  }
  return text;
}

PromptMaker::PromptMaker(std::vector<int32_t> ids, uint64_t seed) : ids_(std::move(ids)), seed_(seed) {
  check(!ids_.empty(), "prompts are made of some ids");
}

PromptMaker::PromptMaker(double tokens_per_word, uint64_t seed) : tokens_per_word_(tokens_per_word), seed_(seed) {
  check(tokens_per_word > 0, "a word has tokens");
}

json::value PromptMaker::make(int64_t shared, int64_t own, uint64_t number) const {
  constexpr uint64_t kShared = 0;
  const uint64_t stream = number + 1;
  if (!makes_ids()) {
    const auto words = [&](int64_t tokens) {
      return tokens == 0 ? 0 : std::max<int64_t>(std::llround(static_cast<double>(tokens) / tokens_per_word_), 1);
    };
    std::string text = common_words(words(shared), seed_, kShared);
    if (shared > 0 && own > 0) text += ' ';
    return json::string(text + common_words(words(own), seed_, stream));
  }
  json::array ids;
  ids.reserve(static_cast<size_t>(shared + own));
  const auto add = [&](int64_t n, uint64_t from) {
    for (int64_t i = 0; i < n; ++i)
      ids.emplace_back(ids_[philox(seed_, from, static_cast<uint64_t>(i))[0] % ids_.size()]);
  };
  add(shared, kShared);
  add(own, stream);
  return ids;
}

Request request_of(const Workload& w, const PromptMaker& maker, const std::string& model, uint64_t i, uint64_t number) {
  const Row& row = w.rows[i % w.rows.size()];
  const bool made = row.prompt.is_null() && row.messages.is_null();
  json::value prompt = made ? maker.make(w.shared_prefix, row.prompt_tokens, number) : row.prompt;
  json::object body{{"model", model},
                    {"max_tokens", row.max_tokens},
                    {"temperature", 0},
                    {"stream", true},
                    {"stream_options", json::object{{"include_usage", true}}}};
  if (w.ignore_eos) body["ignore_eos"] = true;
  if (w.chat) {
    body["messages"] = messages_of(row, std::move(prompt), i);
  } else {
    if (!row.messages.is_null())
      throw_bad_input("request {} has \"messages\", which are for a chat; try --chat", i + 1);
    body["prompt"] = std::move(prompt);
  }
  for (const auto& parameter : w.parameters) body[parameter.key()] = parameter.value();
  return {.kind = row.kind, .body = json::serialize(body)};
}

}  // namespace fathom::serve_bench
