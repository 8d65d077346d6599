#include "server/api/tools.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "server/api/constraint.h"
#include "server/api/request_context.h"

namespace fathom::server {
namespace {

constexpr size_t kMostTools = 128, kLongestName = 64;
constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>", kCallBegin = "<｜tool▁call▁begin｜>",
                           kCallEnd = "<｜tool▁call▁end｜>", kSeparator = "<｜tool▁sep｜>";

bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kLongestName && std::all_of(s.begin(), s.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  });
}

Tool tool_of(const json::value& v, size_t i) {
  const std::string place = fmt::format("tools[{}]", i);
  const json::object* o = v.if_object();
  const json::value* type = o ? given(*o, "type") : nullptr;
  if (type != nullptr && type->is_string() && type->get_string() != "function")
    refuse("tools", "{} is of type {}; only functions can be called", place,
           quoted_for_message(std::string_view(type->get_string()), 40));
  const json::value* inner = o ? given(*o, "function") : nullptr;
  const json::object* f = inner ? inner->if_object() : nullptr;
  if (f == nullptr) refuse("tools", "{} has no function", place);
  const json::value* name = given(*f, "name");
  if (name == nullptr || !name->is_string() || !is_name(std::string_view(name->get_string())))
    refuse("tools", "{}.function.name must be a text of at most {} letters, digits, _, - and .", place, kLongestName);
  Tool tool{.name = std::string(name->get_string()), .description = {}, .parameters = {}};
  if (const json::value* d = given(*f, "description")) {
    if (!d->is_string()) refuse("tools", "{}.function.description is {}; needed is a text", place, json_kind_name(*d));
    tool.description = d->get_string();
  }
  if (const json::value* p = given(*f, "parameters")) {
    if (!p->is_object())
      refuse("tools", "{}.function.parameters is {}; needed is a JSON schema", place, json_kind_name(*p));
    tool.parameters = *p;
  }
  return tool;
}

void read_choice(const json::value& v, ToolPlan& plan) {
  if (const json::string* word = v.if_string()) {
    if (*word == "none")
      plan.choice = ToolChoice::none;
    else if (*word == "auto")
      plan.choice = ToolChoice::automatic;
    else if (*word == "required")
      plan.choice = ToolChoice::required;
    else
      refuse("tool_choice", "tool_choice is {}; it is none, auto, required, or a function",
             quoted_for_message(std::string_view(*word), 40));
    return;
  }
  const json::object* o = v.if_object();
  const json::value* f = o ? given(*o, "function") : nullptr;
  const json::value* name = f && f->is_object() ? given(f->get_object(), "name") : o ? given(*o, "name") : nullptr;
  if (name == nullptr || !name->is_string())
    refuse("tool_choice", "tool_choice is {}; it is none, auto, required, or a function with its name",
           json_kind_name(v));
  plan.choice = ToolChoice::one;
  plan.only = name->get_string();
  if (std::none_of(plan.tools.begin(), plan.tools.end(), [&](const Tool& t) { return t.name == plan.only; }))
    refuse("tool_choice", "tool_choice names {}, which is none of the tools", quoted_for_message(plan.only, 64));
}

json::value parsed_or_text(std::string_view text) {
  boost::system::error_code error;
  json::value v = json::parse(text, error);
  return error ? json::value(json::string(text)) : v;
}

}  // namespace

ToolPlan tool_plan(const json::array* tools, const json::value* choice) {
  ToolPlan plan;
  std::set<std::string> names;
  if (tools != nullptr) {
    if (tools->size() > kMostTools)
      refuse("tools", "there are {} tools; at most {} are taken", tools->size(), kMostTools);
    for (size_t i = 0; i < tools->size(); ++i) {
      plan.tools.push_back(tool_of((*tools)[i], i));
      if (!names.insert(plan.tools.back().name).second)
        refuse("tools", "two tools have the name {}", plan.tools.back().name);
    }
  }
  if (!plan.tools.empty()) plan.choice = ToolChoice::automatic;
  if (choice == nullptr) return plan;
  if (plan.tools.empty() &&
      !(choice->is_string() && (choice->get_string() == "none" || choice->get_string() == "auto")))
    refuse("tool_choice", "tool_choice is given without tools");
  read_choice(*choice, plan);
  return plan;
}

std::shared_ptr<const Grammar> call_grammar(const ToolPlan& plan) {
  json::array calls;
  for (const Tool& t : plan.tools) {
    if (plan.choice == ToolChoice::one && t.name != plan.only) continue;
    json::value arguments = t.parameters.is_object() ? t.parameters : json::value(json::object{{"type", "object"}});
    calls.push_back({{"type", "object"},
                     {"properties", {{"name", {{"const", t.name}}}, {"arguments", std::move(arguments)}}},
                     {"required", {"name", "arguments"}},
                     {"additionalProperties", false}});
  }
  if (calls.size() == 1) return schema_grammar(calls[0], "tools");
  return schema_grammar(json::object{{"anyOf", std::move(calls)}}, "tools");
}

std::shared_ptr<const Grammar> constraint_or_call(std::shared_ptr<const Grammar> asked, const ToolPlan& plan) {
  if (plan.choice != ToolChoice::required && plan.choice != ToolChoice::one) return asked;
  if (asked != nullptr)
    refuse("tool_choice", "tool_choice demands a call, and another form of the answer is asked for; one can hold");
  return call_grammar(plan);
}

std::string tools_as_text(const ToolPlan& plan) {
  std::string text = "You can call these functions:\n";
  for (const Tool& t : plan.tools) {
    json::object o{{"name", t.name}};
    if (!t.description.empty()) o["description"] = t.description;
    if (!t.parameters.is_null()) o["parameters"] = t.parameters;
    text += json::serialize(o) + "\n";
  }
  return text +
         "To call one, answer with nothing but a JSON object: {\"name\": NAME, \"arguments\": {...}}. "
         "Otherwise answer in words.";
}

json::array without_tool_roles(const json::array& messages) {
  json::array out;
  for (const json::value& m : messages) {
    const json::object* o = m.if_object();
    const json::value* role = o ? given(*o, "role") : nullptr;
    const json::value* calls = o ? given(*o, "tool_calls") : nullptr;
    if (role != nullptr && role->is_string() && role->get_string() == "tool") {
      const json::value* content = given(*o, "content");
      out.push_back(
          {{"role", "user"},
           {"content", "The function returned: " + (content && content->is_string() ? std::string(content->get_string())
                                                    : content                       ? json::serialize(*content)
                                                                                    : std::string())}});
    } else if (calls != nullptr && calls->is_array() && !calls->get_array().empty()) {
      std::string text;
      for (const json::value& call : calls->get_array()) {
        const json::value* f = call.is_object() ? given(call.get_object(), "function") : nullptr;
        if (f == nullptr || !f->is_object()) refuse("messages", "an entry of tool_calls has no function");
        const json::value* name = given(f->get_object(), "name");
        const json::value* arguments = given(f->get_object(), "arguments");
        json::object said{{"name", name ? *name : json::value()}};
        said["arguments"] = arguments == nullptr     ? json::value(json::object())
                            : arguments->is_string() ? parsed_or_text(arguments->get_string())
                                                     : *arguments;
        text += (text.empty() ? "" : "\n") + json::serialize(said);
      }
      out.push_back({{"role", "assistant"}, {"content", text}});
    } else {
      out.push_back(m);
    }
  }
  return out;
}

std::string CallParser::push(std::string_view text) {
  held_ += text;
  if (!plan_->wants_calls()) return std::exchange(held_, {});
  if (!is_text_) {  // may it still become an object that is a call?
    const size_t first = held_.find_first_not_of(" \n\r\t");
    if (first == std::string::npos || held_[first] == '{') return {};
    is_text_ = true;
  }
  if (const size_t at = held_.find(kCallsBegin); at != std::string::npos) {
    std::string before = held_.substr(0, at);
    held_.erase(0, at);
    return before;
  }
  size_t keep = std::min(held_.size(), kCallsBegin.size() - 1);  // the longest end that may begin the marker
  while (keep > 0 && !kCallsBegin.starts_with(std::string_view(held_).substr(held_.size() - keep))) --keep;
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::optional<std::vector<ToolCall>> CallParser::object_call() const {
  boost::system::error_code error;
  const json::value v = json::parse(held_, error);
  const json::object* o = error ? nullptr : v.if_object();
  const json::value* name = o ? given(*o, "name") : nullptr;
  if (name == nullptr || !name->is_string()) return {};
  const std::string called(name->get_string());
  if (!is_tool(called)) return {};
  const json::value* arguments = given(*o, "arguments");
  if (arguments == nullptr || !arguments->is_object()) return {};
  return std::vector<ToolCall>{{new_id("call_"), called, json::serialize(*arguments)}};
}

bool CallParser::is_tool(std::string_view name) const {
  return std::any_of(plan_->tools.begin(), plan_->tools.end(), [&](const Tool& t) { return t.name == name; });
}

// Whole calls of tools that there are: what the model had no time to end, or has invented, stays text.
std::optional<std::vector<ToolCall>> CallParser::marked_calls(std::string& before) const {
  const size_t begin = held_.find(kCallsBegin);
  if (begin == std::string::npos) return {};
  before = held_.substr(0, begin);
  std::vector<ToolCall> calls;
  size_t end = begin;
  for (size_t at = held_.find(kCallBegin, end); at != std::string::npos; at = held_.find(kCallBegin, end)) {
    end = held_.find(kCallEnd, at);
    if (end == std::string::npos) return {};
    const std::string_view call = std::string_view(held_).substr(at + kCallBegin.size(), end - at - kCallBegin.size());
    const size_t separator = call.find(kSeparator), line = call.find('\n');
    if (separator == std::string_view::npos || line == std::string_view::npos || line < separator) return {};
    const std::string_view name = call.substr(separator + kSeparator.size(), line - separator - kSeparator.size());
    if (!is_tool(name)) return {};
    const size_t open = call.find('{', line), close = call.rfind('}');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
    calls.push_back({new_id("call_"), std::string(name), std::string(call.substr(open, close - open + 1))});
  }
  if (calls.empty()) return {};
  return calls;
}

CallParser::Rest CallParser::finish() {
  Rest rest;
  if (plan_->wants_calls()) {
    std::string before;
    if (auto calls = is_text_ ? std::nullopt : object_call())
      rest.calls = std::move(*calls);
    else if (auto marked = marked_calls(before)) {
      rest.calls = std::move(*marked);
      rest.text = before;
    }
  }
  if (rest.calls.empty()) rest.text = held_;
  held_.clear();
  return rest;
}

}  // namespace fathom::server
