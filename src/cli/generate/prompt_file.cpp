#include "cli/generate/prompt_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/json/json_number.h"
#include "base/text/suggest.h"
#include "tokenizer/chat/chat_messages.h"

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

std::pair<int32_t, double> one_bias(int64_t id, const json::value& bias, int64_t vocab_size) {
  if (id < 0 || id >= vocab_size)
    throw_bad_input("\"logit_bias\" names token {}; the model has ids 0 to {}", id, vocab_size - 1);
  return {static_cast<int32_t>(id), real(bias, "logit_bias")};
}

std::vector<std::pair<int32_t, double>> read_logit_bias(const json::value& v, int64_t vocab_size) {
  std::vector<std::pair<int32_t, double>> biases;
  if (const json::object* object = v.if_object()) {
    for (const auto& [key, bias] : *object) {
      int64_t id = 0;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size())
        throw_bad_input("\"logit_bias\": {} is no token id", quoted_for_message({key.data(), key.size()}));
      biases.push_back(one_bias(id, bias, vocab_size));
    }
    return biases;
  }
  const json::array* list = v.if_array();
  const auto is_pair = [](const json::value& item) { return item.is_array() && item.get_array().size() == 2; };
  if (list == nullptr || !std::all_of(list->begin(), list->end(), is_pair))
    throw_bad_input("\"logit_bias\": needed are biases by token id, for example {{\"17464\": -1.5}}");
  for (const json::value& item : *list)
    biases.push_back(one_bias(integer(item.at(0), "logit_bias"), item.at(1), vocab_size));
  return biases;
}

// A conversation in the ids that the template makes of it, as `chat --messages` has them.
void read_messages(PromptRequest& r, const json::object& line, const PromptRules& rules, const std::string& where) {
  if (rules.tokenizer == nullptr) throw_bad_input("\"messages\": the model has no tokenizer; give \"ids\"");
  json::object request;
  for (const char* key : {"messages", "tools"})
    if (const json::value* v = line.if_contains(key)) request[key] = *v;
  const Conversation given = conversation_from_json(request, where);
  check_waits_for_answer(given, where);
  const ChatTemplate& chat = rules.chat_template(!given.tools.empty());
  const Conversation c = fitted_to(chat, given, where);
  const ChatTemplate with_tools = chat.with_tools(c.tools);
  r.ids = encode_pieces(*rules.tokenizer, with_tools.render_pieces(c.messages, true));
  r.gap = answer_gap(with_tools, c.messages);
}

using Field = std::function<void(PromptRequest&, const json::value&, const PromptRules&)>;

Field number(const char* key, double SamplingOptions::*option) {
  return [=](PromptRequest& r, const json::value& v, const PromptRules&) { r.sampling.*option = real(v, key); };
}
Field number(const char* key, int64_t SamplingOptions::*option) {
  return [=](PromptRequest& r, const json::value& v, const PromptRules&) { r.sampling.*option = integer(v, key); };
}

std::map<std::string, Field> sampling_fields() {
  std::map<std::string, Field> known;
  for (const auto& [key, option] : std::initializer_list<std::pair<const char*, double SamplingOptions::*>>{
           {"temperature", &SamplingOptions::temperature},
           {"top_p", &SamplingOptions::top_p},
           {"min_p", &SamplingOptions::min_p},
           {"typical_p", &SamplingOptions::typical_p},
           {"xtc_probability", &SamplingOptions::xtc_probability},
           {"xtc_threshold", &SamplingOptions::xtc_threshold},
           {"repeat_penalty", &SamplingOptions::repeat_penalty},
           {"presence_penalty", &SamplingOptions::presence_penalty},
           {"frequency_penalty", &SamplingOptions::frequency_penalty},
           {"dry_multiplier", &SamplingOptions::dry_multiplier},
           {"dry_base", &SamplingOptions::dry_base}})
    known[key] = number(key, option);
  for (const auto& [key, option] : std::initializer_list<std::pair<const char*, int64_t SamplingOptions::*>>{
           {"top_k", &SamplingOptions::top_k},
           {"repeat_last_n", &SamplingOptions::repeat_window},
           {"dry_allowed_length", &SamplingOptions::dry_allowed_length},
           {"dry_penalty_last_n", &SamplingOptions::dry_penalty_last_n}})
    known[key] = number(key, option);
  known["logit_bias"] = [](PromptRequest& r, const json::value& v, const PromptRules& rules) {
    r.sampling.logit_bias = read_logit_bias(v, rules.vocab_size);
  };
  return known;
}

std::map<std::string, Field> all_fields() {
  std::map<std::string, Field> known = {
      {"id", [](auto&, auto&, auto&) {}},  // these three are read before the others
      {"messages", [](auto&, auto&, auto&) {}},
      {"tools", [](auto&, auto&, auto&) {}},
      {"prompt",
       [](auto& r, auto& v, auto& rules) {
         if (rules.tokenizer == nullptr) throw_bad_input("\"prompt\": the model has no tokenizer; give \"ids\"");
         r.ids =
             rules.tokenizer->encode(text(v, "prompt"), {.add_special = true, .parse_special = rules.parse_special});
       }},
      {"ids", [](auto& r, auto& v, auto& rules) { r.ids = token_ids(v, rules.vocab_size); }},
      {"max_tokens", [](auto& r, auto& v, auto&) { r.max_tokens = max_tokens(v); }},
      {"seed", [](auto& r, auto& v, auto&) { r.sampling.seed = seed(v), r.seed_given = true; }},
      {"stop", [](auto& r, auto& v, auto&) { r.stops = stop_texts(v); }},
  };
  known.merge(sampling_fields());
  return known;
}

const std::map<std::string, Field>& fields() {
  static const std::map<std::string, Field> known = all_fields();
  return known;
}

[[noreturn]] void throw_unknown(const std::string& key) {
  std::vector<std::string> names;
  for (const auto& [name, field] : fields()) names.push_back(name);
  throw_bad_input("there is no field {}; known are {}.{} What shall stand in the answer too belongs into \"id\"",
                  quoted_for_message(key), fmt::join(names, ", "), did_you_mean(key, names));
}

bool is_given(const json::object& line, std::string_view key) {
  const json::value* v = line.if_contains(key);
  return v != nullptr && !v->is_null();
}

void read_line(std::string_view line, const PromptRules& rules, const std::string& where, PromptRequest& request) {
  const json::value value = parse_json(line, "JSON");
  const json::object* object = value.if_object();
  if (object == nullptr) throw_bad_input("is {}; needed is an object", json_kind_name(value));
  if (const json::value* id = object->if_contains("id")) request.id = answer_id(*id);
  if (is_given(*object, "prompt") + is_given(*object, "ids") + is_given(*object, "messages") != 1)
    throw_bad_input("needed is one of \"prompt\", \"ids\" and \"messages\"");
  if (is_given(*object, "tools") && !is_given(*object, "messages"))
    throw_bad_input("\"tools\" are for \"messages\" alone");
  if (is_given(*object, "messages")) read_messages(request, *object, rules, where);
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
}

}  // namespace

std::vector<PromptRequest> read_prompt_lines(std::string_view text, const std::string& where,
                                             const PromptRules& rules) {
  std::vector<PromptRequest> requests;
  std::string first_bad;
  int64_t n_bad = 0, line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    PromptRequest& request = requests.emplace_back(rules.defaults);
    request.sampling.seed += requests.size() - 1;
    const std::string place = fmt::format("{}:{}", where, line_number);
    try {
      read_line(line, rules, place, request);
    } catch (const Error& e) {
      request.error = e.what();
      if (!request.error.starts_with(place + ": ")) request.error = fmt::format("{}: {}", place, request.error);
      if (n_bad++ == 0) first_bad = request.error;
    }
  }
  if (n_bad > 0 && rules.bad == BadPrompts::refuse)
    throw_bad_input("{}{}", first_bad, n_bad == 1 ? "" : fmt::format(" (and {} more bad lines)", n_bad - 1));
  if (requests.empty()) throw_bad_input("{}: holds no prompt", where);
  return requests;
}

}  // namespace fathom
