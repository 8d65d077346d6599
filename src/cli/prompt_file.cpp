#include "cli/prompt_file.h"

#include <cmath>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/json_number.h"
#include "base/suggest.h"

namespace fathom {
namespace {

int64_t integer(const json::value& v, const char* key) {
  if (const auto n = json_integer(v)) return *n;
  throw_bad_input("\"{}\" is {}; needed is a whole number of at most 64 bits", key, json_found(v));
}

double real(const json::value& v, const char* key) {
  if (!v.is_number()) throw_bad_input("\"{}\" is {}; needed is a number", key, json_kind_name(v));
  return v.to_number<double>();
}

std::string text(const json::value& v, const char* key) {
  const json::string* s = v.if_string();
  if (s == nullptr) throw_bad_input("\"{}\" is {}; needed is a text", key, json_kind_name(v));
  if (s->empty()) throw_bad_input("\"{}\" is empty", key);
  return {s->data(), s->size()};
}

std::vector<int32_t> token_ids(const json::value& v, int64_t vocab_size) {
  const json::array* a = v.if_array();
  if (a == nullptr || a->empty()) throw_bad_input("\"ids\": needed are token ids, for example [0, 17464]");
  std::vector<int32_t> ids;
  for (const json::value& item : *a) {
    const int64_t id = integer(item, "ids");
    if (id < 0 || id >= vocab_size) throw_bad_input("\"ids\" holds {}; the model has ids 0 to {}", id, vocab_size - 1);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::vector<std::string> stop_texts(const json::value& v) {
  if (v.is_string()) return {text(v, "stop")};
  const json::array* a = v.if_array();
  if (a == nullptr) throw_bad_input("\"stop\" is {}; needed is a text or several", json_kind_name(v));
  std::vector<std::string> stops;
  for (const json::value& item : *a) stops.push_back(text(item, "stop"));
  return stops;
}

uint64_t seed(const json::value& v) {
  if (const uint64_t* n = v.if_uint64()) return *n;
  const int64_t n = integer(v, "seed");
  if (n < 0) throw_bad_input("\"seed\" is {}; needed is a whole number, 0 or more", n);
  return static_cast<uint64_t>(n);
}

int64_t max_tokens(const json::value& v) {
  const int64_t n = integer(v, "max_tokens");
  if (n < -1) throw_bad_input("\"max_tokens\" is {}; needed is a whole number, -1 or more", n);
  return n;
}

// What the answer repeats as it is. A longer number than that is read as the nearest double, which may be another's id.
const json::value& answer_id(const json::value& v) {
  if (const double* n = v.if_double(); n != nullptr && std::abs(*n) >= 0x1p63)
    throw_bad_input("\"id\" is a number of more than 64 bits; give it as a text");
  return v;
}

using Field = std::function<void(PromptRequest&, const json::value&, const PromptRules&)>;

const std::map<std::string, Field>& fields() {
  static const std::map<std::string, Field> known = {
      {"id", [](auto& r, auto& v, auto&) { r.id = answer_id(v); }},
      {"prompt",
       [](auto& r, auto& v, auto& rules) {
         if (rules.tokenizer == nullptr) throw_bad_input("\"prompt\": the model has no tokenizer; give \"ids\"");
         r.ids =
             rules.tokenizer->encode(text(v, "prompt"), {.add_special = true, .parse_special = rules.parse_special});
       }},
      {"ids", [](auto& r, auto& v, auto& rules) { r.ids = token_ids(v, rules.vocab_size); }},
      {"max_tokens", [](auto& r, auto& v, auto&) { r.max_tokens = max_tokens(v); }},
      {"temperature", [](auto& r, auto& v, auto&) { r.sampling.temperature = real(v, "temperature"); }},
      {"top_k", [](auto& r, auto& v, auto&) { r.sampling.top_k = integer(v, "top_k"); }},
      {"top_p", [](auto& r, auto& v, auto&) { r.sampling.top_p = real(v, "top_p"); }},
      {"min_p", [](auto& r, auto& v, auto&) { r.sampling.min_p = real(v, "min_p"); }},
      {"repeat_penalty", [](auto& r, auto& v, auto&) { r.sampling.repeat_penalty = real(v, "repeat_penalty"); }},
      {"seed", [](auto& r, auto& v, auto&) { r.sampling.seed = seed(v), r.seed_given = true; }},
      {"stop", [](auto& r, auto& v, auto&) { r.stops = stop_texts(v); }},
  };
  return known;
}

[[noreturn]] void throw_unknown(const std::string& key) {
  std::vector<std::string> names;
  for (const auto& [name, field] : fields()) names.push_back(name);
  throw_bad_input("there is no field {}; known are {}.{} What shall stand in the answer too belongs into \"id\"",
                  quoted_for_message(key), fmt::join(names, ", "), did_you_mean(key, names));
}

PromptRequest read_line(std::string_view line, const PromptRules& rules, uint64_t number) {
  const json::value value = parse_json(line, "JSON");
  const json::object* object = value.if_object();
  if (object == nullptr) throw_bad_input("is {}; needed is an object", json_kind_name(value));
  PromptRequest request = rules.defaults;
  request.sampling.seed += number;
  if (object->contains("prompt") == object->contains("ids")) throw_bad_input("needed is one of \"prompt\" and \"ids\"");
  for (const auto& [key, v] : *object) {
    const auto field = fields().find({key.data(), key.size()});
    if (field == fields().end()) throw_unknown({key.data(), key.size()});
    if (!v.is_null()) field->second(request, v, rules);
  }
  validate(request.sampling);
  if (request.ids.empty()) throw_bad_input("the prompt has no token");
  if (std::ssize(request.ids) > rules.context_tokens)
    throw_bad_input("the prompt has {} tokens, and the context has room for {}", request.ids.size(),
                    rules.context_tokens);
  return request;
}

}  // namespace

std::vector<PromptRequest> read_prompt_lines(std::string_view text, const std::string& where,
                                             const PromptRules& rules) {
  std::vector<PromptRequest> requests;
  std::string first_bad;
  int64_t n_bad = 0, line_number = 0;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      requests.push_back(read_line(line, rules, requests.size()));
    } catch (const Error& e) {
      if (n_bad++ == 0) first_bad = fmt::format("{}:{}: {}", where, line_number, e.what());
    }
  }
  if (n_bad > 0)
    throw_bad_input("{}{}", first_bad, n_bad == 1 ? "" : fmt::format(" (and {} more bad lines)", n_bad - 1));
  if (requests.empty()) throw_bad_input("{}: holds no prompt", where);
  return requests;
}

}  // namespace fathom
