// POST /v1/messages and /v1/messages/count_tokens in Anthropic's form: https://docs.anthropic.com/en/api/messages
#include <array>

#include "server/api/chat_request.h"
#include "server/api/routes.h"
#include "server/api/sampling_parameters.h"
#include "server/sse.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kMessages = {
    Parameter{"model", Type::text},
    Parameter{"messages", Type::array, 0, 0, "the conversation", kObjectsForm},
    Parameter{"system", Type::any, 0, 0, "a text, or blocks of text", kTextOrListForm},
    Parameter{"max_tokens", Type::integer, 1, kNoLimit, "most tokens of the answer"},
    Parameter{"temperature", Type::number, 0, 1},
    Parameter{"top_p", Type::number, 0, 1},
    Parameter{"top_k", Type::integer, 0, kNoLimit},
    Parameter{"stop_sequences", Type::any, 0, 0, "the answer ends before it", kTextsForm},
    Parameter{"stream", Type::boolean},
    Parameter{"tools", Type::array, 0, 0, "functions that may be called", kObjectsForm},
    Parameter{"tool_choice", Type::object},
    Parameter{"metadata", Type::ignored},
    Parameter{"service_tier", Type::ignored},
    Parameter{"cache_control", Type::ignored},
    Parameter{"thinking", Type::any, 0, 0, "models of the V2 family do not think aloud: disabled is taken"},
    Parameter{"container", Type::refused, 0, 0, "the server runs no code"},
    Parameter{"mcp_servers", Type::refused, 0, 0, "the server fetches nothing"},
};

// Anthropic's errors name the place itself.
std::string text_field(const json::object& o, std::string_view key, const std::string& place) {
  return needed_text(o, key, place, place);
}

// The texts of blocks, joined by line ends; anything but text is refused.
std::string text_of_blocks(const json::value& v, const std::string& place) {
  if (v.is_string()) return std::string(v.get_string());
  const json::array* blocks = v.if_array();
  if (blocks == nullptr) refuse(place, "{} is {}; needed is a text or blocks", place, json_kind_name(v));
  std::string text;
  for (const json::value& b : *blocks) {
    const json::object* o = b.if_object();
    if (o == nullptr || text_field(*o, "type", place) != "text")
      refuse(place, "{} holds a block that is no text; fathom's models read text alone", place);
    text += (text.empty() ? "" : "\n") + text_field(*o, "text", place);
  }
  return text;
}

// One message of Anthropic's is one or several of OpenAI's: results of tools are messages of their own there.
void add_message(const json::value& v, size_t i, json::array& out) {
  const std::string place = fmt::format("messages[{}]", i);
  const json::object* o = v.if_object();
  if (o == nullptr) refuse(place, "{} is {}; needed is an object", place, json_kind_name(v));
  const std::string role = text_field(*o, "role", place);
  if (role != "user" && role != "assistant")
    refuse(place, "{} has the role {}; it is user or assistant", place, quoted_for_message(role, 40));
  const json::value* content = given(*o, "content");
  if (content == nullptr) refuse(place, "{} has no content", place);
  if (content->is_string()) return void(out.push_back({{"role", role}, {"content", *content}}));
  if (!content->is_array())
    refuse(place, "{}.content is {}; needed is a text or blocks", place, json_kind_name(*content));
  std::string text;
  json::array calls;
  for (const json::value& block : content->get_array()) {
    const json::object* b = block.if_object();
    if (b == nullptr) refuse(place, "{} holds a block that is no object", place);
    const std::string type = text_field(*b, "type", place);
    if (type == "text") {
      text += (text.empty() ? "" : "\n") + text_field(*b, "text", place);
    } else if (type == "tool_use" && role == "assistant") {
      const json::value* input = given(*b, "input");
      calls.push_back({{"id", text_field(*b, "id", place)},
                       {"type", "function"},
                       {"function",
                        {{"name", text_field(*b, "name", place)},
                         {"arguments", json::serialize(input != nullptr ? *input : json::value(json::object()))}}}});
    } else if (type == "tool_result" && role == "user") {
      const json::value* result = given(*b, "content");
      out.push_back({{"role", "tool"},
                     {"tool_call_id", text_field(*b, "tool_use_id", place)},
                     {"content", result != nullptr ? text_of_blocks(*result, place) : ""}});
    } else if (type != "thinking" && type != "redacted_thinking") {
      refuse(place, "{} holds a block of type {}; fathom's models read text and results of tools", place,
             quoted_for_message(type, 40));
    }
  }
  if (!calls.empty())
    out.push_back({{"role", "assistant"}, {"content", text}, {"tool_calls", std::move(calls)}});
  else if (!text.empty() || role == "assistant")
    out.push_back({{"role", role}, {"content", text}});
}

json::array openai_messages(const Parameters& p) {
  json::array out;
  if (const json::value* system = p.find("system"))
    if (const std::string text = text_of_blocks(*system, "system"); !text.empty())
      out.push_back({{"role", "system"}, {"content", text}});
  if (!p.has("messages")) refuse("messages", "messages is missing");
  const json::array& messages = *p.array("messages");
  for (size_t i = 0; i < messages.size(); ++i) add_message(messages[i], i, out);
  return out;
}

json::value openai_tools(const Parameters& p) {
  const json::array* tools = p.array("tools");
  if (tools == nullptr || tools->empty()) return nullptr;
  json::array out;
  for (size_t i = 0; i < tools->size(); ++i) {
    const json::object* o = (*tools)[i].if_object();
    const std::string place = fmt::format("tools[{}]", i);
    if (o == nullptr) refuse("tools", "{} is no object", place);
    if (const json::value* type = given(*o, "type"); type != nullptr && *type != "custom")
      refuse("tools", "{} is of type {}; only functions of the client can be called", place,
             json::serialize(*type).substr(0, 40));
    json::object f{{"name", text_field(*o, "name", place)}};
    if (const json::value* d = given(*o, "description")) f["description"] = *d;
    if (const json::value* schema = given(*o, "input_schema")) f["parameters"] = *schema;
    out.push_back({{"type", "function"}, {"function", std::move(f)}});
  }
  return out;
}

json::value openai_tool_choice(const Parameters& p) {
  const json::object* o = p.object("tool_choice");
  if (o == nullptr) return nullptr;
  const std::string type = text_field(*o, "type", "tool_choice");
  if (type == "auto" || type == "none") return json::string(type);
  if (type == "any") return "required";
  if (type == "tool")
    return json::object{{"type", "function"}, {"function", {{"name", text_field(*o, "name", "tool_choice")}}}};
  refuse("tool_choice", "tool_choice.type is {}; it is auto, any, tool or none", quoted_for_message(type, 40));
}

// stop: the stop sequence that came; empty: none.
json::object ending(MessageEnd e, const std::string& stop) {
  if (e == MessageEnd::stop && !stop.empty()) return {{"stop_reason", "stop_sequence"}, {"stop_sequence", stop}};
  const char* reason = e == MessageEnd::calls ? "tool_use" : e == MessageEnd::length ? "max_tokens" : "end_turn";
  return {{"stop_reason", reason}, {"stop_sequence", nullptr}};
}

json::object usage_of(const Usage& u) {
  return {{"input_tokens", u.prompt_tokens - u.cached_tokens},
          {"cache_read_input_tokens", u.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"output_tokens", u.completion_tokens}};
}

json::value input_of(const ToolCall& call) {
  boost::system::error_code error;
  json::value v = json::parse(call.arguments, error);
  return error ? json::value(json::object()) : v;
}

json::object message_object(const std::string& id, const std::string& model) {
  return {{"id", id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model},
          {"content", json::array()},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

class WholeMessage final : public MessageAnswer {
 public:
  WholeMessage(ServedModel& model, std::shared_ptr<http::Exchange> exchange, ToolPlan plan)
      : MessageAnswer(std::move(plan), 1), model_(model), exchange_(std::move(exchange)) {}
  void stopped_by(int64_t, const std::string& stop) override { stop_ = stop; }
  void all_ended(const Usage& usage, const Ended&) override {
    json::object out = message_object(new_id("msg_"), model_.name());
    json::array content;
    if (!text_.empty() || calls_.empty()) content.push_back({{"type", "text"}, {"text", text_}});
    for (const ToolCall& c : calls_)
      content.push_back({{"type", "tool_use"}, {"id", c.id}, {"name", c.name}, {"input", input_of(c)}});
    out["content"] = std::move(content);
    for (auto& [key, value] : ending(end_, stop_)) out[key] = std::move(value);
    out["usage"] = usage_of(usage);
    exchange_->reply({.body = json::serialize(out)});
  }
  void failed(const http::ErrorInfo& error) override { exchange_->reply(http::error_reply(error, anthropic_error)); }

 private:
  void on_text(int64_t, std::string text, const std::vector<TokenScore>&) override { text_ += text; }
  void on_calls(int64_t, std::vector<ToolCall> calls) override { calls_ = std::move(calls); }
  void on_choice_end(int64_t, MessageEnd end) override { end_ = end; }
  ServedModel& model_;
  std::shared_ptr<http::Exchange> exchange_;
  std::string text_, stop_;
  std::vector<ToolCall> calls_;
  MessageEnd end_ = MessageEnd::stop;
};

class StreamedMessage final : public MessageAnswer {
 public:
  StreamedMessage(ServedModel& model, std::shared_ptr<http::Exchange> exchange, ToolPlan plan,
                  std::chrono::milliseconds keep_alive)
      : MessageAnswer(std::move(plan), 1), model_(model), stream_(std::move(exchange), keep_alive) {}
  void begin() override { stream_.begin(); }
  void stopped_by(int64_t, const std::string& stop) override { stop_ = stop; }
  void all_ended(const Usage& usage, const Ended&) override {
    start();
    send("message_delta", {{"delta", ending(end_, stop_)}, {"usage", usage_of(usage)}});
    send("message_stop", {});
    stream_.end();
  }
  void failed(const http::ErrorInfo& error) override {
    stream_.send(json::parse(anthropic_error(error)), "error");
    stream_.end();
  }

 private:
  void on_text(int64_t, std::string text, const std::vector<TokenScore>&) override {
    if (text.empty()) return;
    open_text();
    send("content_block_delta", {{"index", index_}, {"delta", {{"type", "text_delta"}, {"text", text}}}});
  }
  void on_calls(int64_t, std::vector<ToolCall> calls) override {
    start();
    close();
    for (const ToolCall& c : calls) {
      send("content_block_start",
           {{"index", ++index_},
            {"content_block", {{"type", "tool_use"}, {"id", c.id}, {"name", c.name}, {"input", json::object()}}}});
      send("content_block_delta",
           {{"index", index_}, {"delta", {{"type", "input_json_delta"}, {"partial_json", c.arguments}}}});
      is_open_ = true;
      close();
    }
  }
  void on_choice_end(int64_t, MessageEnd end) override {
    end_ = end;
    if (index_ < 0) open_text();
    close();
  }
  void start() {
    if (std::exchange(has_started_, true)) return;
    json::object message = message_object(new_id("msg_"), model_.name());
    message["usage"] = usage_of({});  // message_delta tells it, when the prompt has been read
    send("message_start", {{"message", std::move(message)}});
    send("ping", {});
  }
  void open_text() {
    start();
    if (std::exchange(is_open_, true)) return;
    send("content_block_start", {{"index", ++index_}, {"content_block", {{"type", "text"}, {"text", ""}}}});
  }
  void close() {
    if (std::exchange(is_open_, false)) send("content_block_stop", {{"index", index_}});
  }
  void send(std::string_view type, json::object rest) {
    json::object event{{"type", json::string(type)}};
    for (auto& [key, value] : rest) event[key] = std::move(value);
    stream_.send(event, type);
  }
  ServedModel& model_;
  EventStream stream_;
  int64_t index_ = -1;
  std::string stop_;
  bool has_started_ = false, is_open_ = false;
  MessageEnd end_ = MessageEnd::stop;
};

ChatRequest chat_of(const Parameters& p) {
  ChatRequest chat;
  chat.messages = openai_messages(p);
  chat.tools = openai_tools(p);
  const json::value choice = openai_tool_choice(p);
  chat.plan = tool_plan(chat.tools.if_array(), choice.is_null() ? nullptr : &choice);
  if (const json::value* thinking = p.find("thinking")) {
    const json::object* o = thinking->if_object();
    if (o == nullptr || text_field(*o, "type", "thinking") != "disabled")
      refuse("thinking", "thinking is not supported: models of the V2 family do not think aloud");
  }
  return chat;
}

}  // namespace

std::string anthropic_error(const http::ErrorInfo& e) {
  const char* type = e.status == 401   ? "authentication_error"
                     : e.status == 403 ? "permission_error"
                     : e.status == 404 ? "not_found_error"
                     : e.status == 413 ? "request_too_large"
                     : e.status == 429 ? "rate_limit_error"
                     : e.status == 503 ? "overloaded_error"
                     : e.status >= 500 ? "api_error"
                                       : "invalid_request_error";
  return json::serialize(json::object{{"type", "error"}, {"error", {{"type", type}, {"message", e.message}}}});
}

ParameterLists message_parameters() { return {kMessages}; }

void messages(const ServiceContext& service, const http::Request& request,
              const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, message_parameters());
  const RequestContext c = request_context(service, p);
  ServedModel& model = c.model;
  ChatRequest chat = chat_of(p);
  if (!p.has("max_tokens")) refuse("max_tokens", "max_tokens is missing");
  chat.max_tokens = p.integer("max_tokens");
  GenerationSpec spec;
  spec.n = 1;
  spec.stops = p.texts("stop_sequences", kMostStops);
  spec.request.generate = {.max_tokens = 0,
                           .sampling = sampling_of(p, model.sampling(), model.usable_ids()),
                           .stop_ids = model.stop_ids(),
                           .n_usable_ids = model.usable_ids()};
  std::unique_ptr<AnswerWriter> writer;
  if (p.boolean("stream").value_or(false))
    writer = std::make_unique<StreamedMessage>(model, exchange, chat.plan, c.limits.keep_alive);
  else
    writer = std::make_unique<WholeMessage>(model, exchange, chat.plan);
  answer_chat(c, request, exchange, chat, std::move(spec), std::move(writer));
}

void count_message_tokens(const ServiceContext& service, const http::Request& request,
                          const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, message_parameters());
  const ServedModel& model = request_context(service, p).model;
  const ChatRequest chat = chat_of(p);
  const ChatPrompt prompt = chat_prompt(model, chat);
  exchange->reply({.body = json::serialize(json::object{{"input_tokens", prompt.ids.size()}})});
}

}  // namespace fathom::server
