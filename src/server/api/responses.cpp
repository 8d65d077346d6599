// POST /v1/responses, without a memory of its own: https://platform.openai.com/docs/api-reference/responses
#include <array>

#include "server/api/chat_request.h"
#include "server/api/constraint.h"
#include "server/api/routes.h"
#include "server/api/sampling_parameters.h"
#include "server/sse.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr const char* kNoMemory = "this server keeps no responses; send the whole conversation as input";

constexpr std::array kResponses = {
    Parameter{"model", Type::text},
    Parameter{"input", Type::any, 0, 0, "a text, or items", kTextOrListForm},
    Parameter{"instructions", Type::text, 0, 0, "the system message"},
    Parameter{"max_output_tokens", Type::integer, 1, kNoLimit},
    Parameter{"temperature", Type::number, 0, 2},
    Parameter{"top_p", Type::number, 0, 1},
    Parameter{"stream", Type::boolean},
    Parameter{"stream_options", Type::ignored},
    Parameter{"text", Type::object, 0, 0, "format: text, json_object or json_schema"},
    Parameter{"tools", Type::array, 0, 0, "functions that may be called", kObjectsForm},
    Parameter{"tool_choice", Type::any, 0, 0, "none, auto, required, or a function", kToolChoiceForm},
    Parameter{"parallel_tool_calls", Type::ignored},
    Parameter{"store", Type::ignored},
    Parameter{"metadata", Type::ignored},
    Parameter{"user", Type::ignored},
    Parameter{"service_tier", Type::ignored},
    Parameter{"safety_identifier", Type::ignored},
    Parameter{"prompt_cache_key", Type::ignored},
    Parameter{"prompt_cache_retention", Type::ignored},
    Parameter{"include", Type::ignored},
    Parameter{"truncation", Type::text, 0, 0, "disabled"},
    Parameter{"reasoning", Type::any, 0, 0, "models of the V2 family do not reason aloud: only null and {} are taken"},
    Parameter{"previous_response_id", Type::refused, 0, 0, kNoMemory},
    Parameter{"conversation", Type::refused, 0, 0, kNoMemory},
    Parameter{"background", Type::boolean},
    Parameter{"prompt", Type::refused, 0, 0, kNoMemory},
};

std::string text_of_parts(const json::value& v, const std::string& place) {
  if (v.is_string()) return std::string(v.get_string());
  const json::array* parts = v.if_array();
  if (parts == nullptr) refuse("input", "{}.content is {}; needed is a text or parts", place, json_kind_name(v));
  std::string text;
  for (const json::value& part : *parts) {
    const json::object* o = part.if_object();
    const std::string type = o != nullptr ? needed_text(*o, "type", place, "input") : "";
    if (type != "input_text" && type != "output_text" && type != "text")
      refuse("input", "{} holds a part that is no text; fathom's models read text alone", place);
    text += (text.empty() ? "" : "\n") + needed_text(*o, "text", place, "input");
  }
  return text;
}

void add_item(const json::value& v, size_t i, json::array& out) {
  const std::string place = fmt::format("input[{}]", i);
  const json::object* o = v.if_object();
  if (o == nullptr) refuse("input", "{} is {}; needed is an object", place, json_kind_name(v));
  const json::value* kind = given(*o, "type");
  const std::string type = kind != nullptr && kind->is_string() ? std::string(kind->get_string()) : "message";
  if (type == "message") {
    const json::value* content = given(*o, "content");
    if (content == nullptr) refuse("input", "{} has no content", place);
    out.push_back({{"role", needed_text(*o, "role", place, "input")}, {"content", text_of_parts(*content, place)}});
  } else if (type == "function_call") {
    json::object call{{"id", needed_text(*o, "call_id", place, "input")},
                      {"type", "function"},
                      {"function",
                       {{"name", needed_text(*o, "name", place, "input")},
                        {"arguments", needed_text(*o, "arguments", place, "input")}}}};
    out.push_back({{"role", "assistant"}, {"content", ""}, {"tool_calls", {std::move(call)}}});
  } else if (type == "function_call_output") {
    const json::value* output = given(*o, "output");
    out.push_back({{"role", "tool"},
                   {"tool_call_id", needed_text(*o, "call_id", place, "input")},
                   {"content", output == nullptr ? "" : text_of_parts(*output, place)}});
  } else if (type != "reasoning") {
    refuse("input", "{} is of type {}; messages, function calls and their outputs are read", place,
           quoted_for_message(type, 40));
  }
}

json::array messages_of(const Parameters& p) {
  json::array out;
  if (const auto text = p.text("instructions"); text && !text->empty())
    out.push_back({{"role", "system"}, {"content", *text}});
  const json::value* input = p.find("input");
  if (input == nullptr) refuse("input", "input is missing");
  if (input->is_string()) {
    out.push_back({{"role", "user"}, {"content", *input}});
    return out;
  }
  const json::array* items = input->if_array();
  if (items == nullptr) refuse("input", "input is {}; needed is a text or items", json_kind_name(*input));
  for (size_t i = 0; i < items->size(); ++i) add_item((*items)[i], i, out);
  return out;
}

// Functions lie flat here, and in a field of their own in the chat API.
json::value tools_of(const Parameters& p) {
  const json::array* tools = p.array("tools");
  if (tools == nullptr || tools->empty()) return nullptr;
  json::array out;
  for (size_t i = 0; i < tools->size(); ++i) {
    const json::object* o = (*tools)[i].if_object();
    const json::value* type = o != nullptr ? given(*o, "type") : nullptr;
    if (type == nullptr || *type != "function")
      refuse("tools", "tools[{}] is of type {}; only functions of the client can be called", i,
             type != nullptr ? json::serialize(*type).substr(0, 40) : "none");
    json::object f;
    for (const char* key : {"name", "description", "parameters"})
      if (const json::value* v = given(*o, key)) f[key] = *v;
    out.push_back({{"type", "function"}, {"function", std::move(f)}});
  }
  return out;
}

std::shared_ptr<const Grammar> format_of(const Parameters& p) {
  const json::object* text = p.object("text");
  const json::value* format = text != nullptr ? given(*text, "format") : nullptr;
  if (format == nullptr) return nullptr;
  const json::object* o = format->if_object();
  const std::string type = o != nullptr ? needed_text(*o, "type", "text.format", "input") : "";
  if (type == "text") return nullptr;
  if (type == "json_object") return Grammar::json_object();
  const json::value* schema = type == "json_schema" ? given(*o, "schema") : nullptr;
  if (schema == nullptr) refuse("text.format", "text.format is text, json_object, or json_schema with a schema");
  return schema_grammar(*schema, "text.format.schema");
}

struct ResponseForm {
  std::string id, model;
  int64_t created = 0;
  json::value instructions, max_output_tokens;

  json::object object(const char* status, json::array output) const {
    return {{"id", id},
            {"object", "response"},
            {"created_at", created},
            {"status", status},
            {"error", nullptr},
            {"incomplete_details", nullptr},
            {"instructions", instructions},
            {"max_output_tokens", max_output_tokens},
            {"model", model},
            {"output", std::move(output)},
            {"parallel_tool_calls", true},
            {"previous_response_id", nullptr},
            {"store", false},
            {"tool_choice", "auto"},
            {"tools", json::array()},
            {"text", {{"format", {{"type", "text"}}}}},
            {"truncation", "disabled"},
            {"metadata", json::object()}};
  }
};

json::object response_usage(const Usage& u) {
  return {{"input_tokens", u.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", u.cached_tokens}}},
          {"output_tokens", u.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", u.prompt_tokens + u.completion_tokens}};
}

json::object text_part(const std::string& text) {
  return {{"type", "output_text"}, {"text", text}, {"annotations", json::array()}, {"logprobs", json::array()}};
}

json::object message_item(const std::string& id, const char* status, json::array content) {
  return {{"id", id}, {"type", "message"}, {"status", status}, {"role", "assistant"}, {"content", std::move(content)}};
}

json::object call_item(const ToolCall& c, const char* status, const std::string& arguments) {
  return {{"id", "fc_" + c.id}, {"type", "function_call"}, {"status", status},
          {"call_id", c.id},    {"name", c.name},          {"arguments", arguments}};
}

// The events of a stream, and the object that both forms end with.
class ResponseAnswer final : public MessageAnswer {
 public:
  ResponseAnswer(std::shared_ptr<http::Exchange> exchange, ResponseForm form, ToolPlan plan,
                 std::optional<std::chrono::milliseconds> keep_alive)
      : MessageAnswer(std::move(plan), 1), exchange_(std::move(exchange)), form_(std::move(form)) {
    if (keep_alive) stream_.emplace(exchange_, *keep_alive);
  }
  void begin() override {
    if (stream_) stream_->begin();
  }
  void all_ended(const Usage& usage, const Ended&) override {
    start();
    const bool is_cut = end_ == MessageEnd::length;
    json::object out = form_.object(is_cut ? "incomplete" : "completed", std::move(output_));
    if (is_cut) out["incomplete_details"] = {{"reason", "max_output_tokens"}};
    out["usage"] = response_usage(usage);
    if (!stream_) return exchange_->reply({.body = json::serialize(out)});
    send(is_cut ? "response.incomplete" : "response.completed", {{"response", std::move(out)}});
    stream_->end();
  }
  void failed(const http::ErrorInfo& e) override {
    if (!stream_) return exchange_->reply(http::error_reply(e));
    send("error",
         {{"code", e.code.empty() ? json::value() : json::value(e.code)}, {"message", e.message}, {"param", nullptr}});
    stream_->end();
  }

 private:
  void on_text(int64_t, std::string text, const std::vector<TokenScore>&) override {
    if (text.empty()) return;
    open_message();
    text_ += text;
    send("response.output_text.delta", {{"item_id", item_},
                                        {"output_index", output_.size()},
                                        {"content_index", 0},
                                        {"delta", text},
                                        {"logprobs", json::array()}});
  }
  void on_calls(int64_t, std::vector<ToolCall> calls) override {
    start();
    close_message();
    for (const ToolCall& c : calls) {
      const size_t index = output_.size();
      json::object done = call_item(c, "completed", c.arguments);
      send("response.output_item.added", {{"output_index", index}, {"item", call_item(c, "in_progress", "")}});
      send("response.function_call_arguments.delta",
           {{"item_id", done.at("id")}, {"output_index", index}, {"delta", c.arguments}});
      send("response.function_call_arguments.done",
           {{"item_id", done.at("id")}, {"output_index", index}, {"arguments", c.arguments}});
      send("response.output_item.done", {{"output_index", index}, {"item", done}});
      output_.push_back(std::move(done));
    }
  }
  void on_choice_end(int64_t, MessageEnd end) override {
    end_ = end;
    if (output_.empty()) open_message();
    close_message();
  }
  void start() {
    if (std::exchange(has_started_, true)) return;
    send("response.created", {{"response", form_.object("in_progress", {})}});
    send("response.in_progress", {{"response", form_.object("in_progress", {})}});
  }
  void open_message() {
    start();
    if (!item_.empty()) return;
    item_ = new_id("msg_");
    send("response.output_item.added",
         {{"output_index", output_.size()}, {"item", message_item(item_, "in_progress", {})}});
    send("response.content_part.added",
         {{"item_id", item_}, {"output_index", output_.size()}, {"content_index", 0}, {"part", text_part("")}});
  }
  void close_message() {
    if (item_.empty()) return;
    const size_t index = output_.size();
    json::object item = message_item(item_, "completed", {text_part(text_)});
    send("response.output_text.done", {{"item_id", item_},
                                       {"output_index", index},
                                       {"content_index", 0},
                                       {"text", text_},
                                       {"logprobs", json::array()}});
    send("response.content_part.done",
         {{"item_id", item_}, {"output_index", index}, {"content_index", 0}, {"part", text_part(text_)}});
    send("response.output_item.done", {{"output_index", index}, {"item", item}});
    output_.push_back(std::move(item));
    item_.clear();
    text_.clear();
  }
  void send(std::string_view type, json::object rest) {
    if (!stream_) return;
    json::object event{{"type", json::string(type)}, {"sequence_number", n_sent_++}};
    for (auto& [key, value] : rest) event[key] = std::move(value);
    stream_->send(event, type);
  }

  std::shared_ptr<http::Exchange> exchange_;
  ResponseForm form_;
  std::optional<EventStream> stream_;
  json::array output_;
  std::string item_, text_;  // of the message that is written now
  bool has_started_ = false;
  int64_t n_sent_ = 0;
  MessageEnd end_ = MessageEnd::stop;
};

}  // namespace

ParameterLists response_parameters() { return {kResponses}; }

void responses(const ServiceContext& service, const http::Request& request,
               const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, response_parameters());
  const RequestContext c = request_context(service, p);
  ServedModel& model = c.model;
  if (p.boolean("background").value_or(false)) refuse("background", "background is not supported: {}", kNoMemory);
  if (p.text("truncation").value_or("disabled") != "disabled")
    refuse("truncation", "truncation is not supported: nothing is cut; a prompt that is too long is refused");
  if (const json::value* r = p.find("reasoning"); r != nullptr && (!r->is_object() || !r->get_object().empty()))
    refuse("reasoning", "reasoning is not supported: models of the V2 family do not reason aloud");
  ChatRequest chat;
  chat.messages = messages_of(p);
  chat.tools = tools_of(p);
  chat.plan = tool_plan(chat.tools.if_array(), p.find("tool_choice"));
  chat.grammar = format_of(p);
  chat.max_tokens = p.integer("max_output_tokens");
  GenerationSpec spec;
  spec.n = 1;
  spec.request.generate = {.max_tokens = 0,
                           .sampling = sampling_of(p, model.sampling(), model.usable_ids()),
                           .stop_ids = model.stop_ids(),
                           .n_usable_ids = model.usable_ids()};
  const auto instructions = p.text("instructions");
  ResponseForm form{.id = new_id("resp_"),
                    .model = model.name(),
                    .created = unix_seconds(),
                    .instructions = instructions ? json::value(*instructions) : json::value(),
                    .max_output_tokens = chat.max_tokens ? json::value(*chat.max_tokens) : json::value()};
  std::optional<std::chrono::milliseconds> keep_alive;
  if (p.boolean("stream").value_or(false)) keep_alive = c.limits.keep_alive;
  answer_chat(c, request, exchange, chat, std::move(spec),
              std::make_unique<ResponseAnswer>(exchange, std::move(form), chat.plan, keep_alive));
}

}  // namespace fathom::server
