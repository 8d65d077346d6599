#include "measure/serve/event_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json/json.h"
#include "base/text/utf8.h"

namespace fathom::serve_bench {
namespace {

bool is_filled_text(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_string() && !v->get_string().empty();
}

bool choice_has_text(const json::value& choice) {
  const json::object* o = choice.if_object();
  if (o == nullptr) return false;
  if (is_filled_text(*o, "text")) return true;
  const json::value* delta = o->if_contains("delta");
  const json::object* d = delta != nullptr ? delta->if_object() : nullptr;
  return d != nullptr && (is_filled_text(*d, "content") || is_filled_text(*d, "reasoning_content"));
}

int64_t count_of(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  const int64_t* n = v != nullptr ? v->if_int64() : nullptr;
  return n != nullptr ? *n : 0;
}

std::string error_words(const json::value& error) {
  if (const json::object* o = error.if_object(); o != nullptr && is_filled_text(*o, "message"))
    return std::string(o->at("message").as_string());
  return json::serialize(error);
}

constexpr size_t kMostWords = 300;  // bytes of an answer in another form

}  // namespace

void EventReader::read(std::string_view bytes, const std::function<void(std::string_view)>& on_data) {
  for (const char c : bytes) {
    const bool ends_cr_lf = std::exchange(after_cr_, c == '\r') && c == '\n';
    if (c != '\n' && c != '\r')
      line_ += c;
    else if (!ends_cr_lf)
      end_line(on_data);
  }
}

void EventReader::end_line(const std::function<void(std::string_view)>& on_data) {
  std::string_view line = line_;
  if (std::exchange(is_first_line_, false)) line = without_byte_order_mark(line);
  if (line.empty()) {
    if (std::exchange(has_data_, false)) on_data(data_);
    data_.clear();
  } else if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(std::min<size_t>(line.size(), 5));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (std::exchange(has_data_, true)) data_ += '\n';
    data_ += line;
  }
  line_.clear();
}

Chunk read_chunk(std::string_view data) {
  Chunk chunk;
  if (data == "[DONE]") {
    chunk.done = true;
    return chunk;
  }
  json::value value;
  try {
    value = parse_json(data, "an event");
  } catch (const Error& e) {
    chunk.error = e.what();
    return chunk;
  }
  const json::object* o = value.if_object();
  if (o == nullptr) {
    chunk.error = fmt::format("an event is {}, not an object", json_kind_name(value));
    return chunk;
  }
  if (const json::value* error = o->if_contains("error"); error != nullptr && !error->is_null())
    chunk.error = error_words(*error);
  const json::value* choices = o->if_contains("choices");
  if (choices != nullptr && choices->is_array())
    for (const json::value& choice : choices->get_array()) chunk.has_text |= choice_has_text(choice);
  const json::value* usage = o->if_contains("usage");
  if (const json::object* u = usage != nullptr ? usage->if_object() : nullptr) {
    chunk.has_usage = true;
    chunk.prompt_tokens = count_of(*u, "prompt_tokens");
    chunk.output_tokens = count_of(*u, "completion_tokens");
  }
  return chunk;
}

std::string refusal_words(std::string_view body) {
  try {
    const json::value value = parse_json(body, "an answer");
    if (const json::object* o = value.if_object(); o != nullptr && o->contains("error"))
      return error_words(o->at("error"));
  } catch (const Error&) {  // another form
  }
  return std::string(body.substr(0, kMostWords));
}

}  // namespace fathom::serve_bench
