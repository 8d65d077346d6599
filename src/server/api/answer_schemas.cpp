#include "server/api/answer_schemas.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace fathom::server {
namespace {

using Fields = std::initializer_list<std::pair<std::string_view, json::value>>;

json::value type(const char* name) { return json::object{{"type", name}}; }
json::value text() { return type("string"); }
json::value number() { return type("number"); }
json::value integer() { return type("integer"); }
json::value boolean() { return type("boolean"); }
json::value null() { return type("null"); }
json::value count() { return json::object{{"type", "integer"}, {"minimum", 0}}; }
json::value any() { return json::object(); }
json::value ref(std::string_view name) { return schema_reference(name); }
json::value is(const char* value) { return json::object{{"const", value}}; }
json::value list(json::value items) { return json::object{{"type", "array"}, {"items", std::move(items)}}; }
json::value one_of(std::initializer_list<const char*> words) {
  json::array values;
  for (const char* w : words) values.emplace_back(w);
  return json::object{{"enum", std::move(values)}};
}
json::value either(std::initializer_list<json::value> schemas) {
  json::array list;
  for (const json::value& s : schemas) list.push_back(s);
  return json::object{{"anyOf", std::move(list)}};
}
json::value or_null(json::value schema) { return either({std::move(schema), null()}); }
json::value map_of(json::value values) {
  return json::object{{"type", "object"}, {"additionalProperties", std::move(values)}};
}

// An object of these fields and no others; those whose name ends with ? may be missing.
json::value closed(Fields fields) {
  json::object properties;
  json::array required;
  for (const auto& [name, schema] : fields) {
    const bool is_optional = name.ends_with('?');
    const std::string_view key = name.substr(0, name.size() - (is_optional ? 1 : 0));
    properties[key] = schema;
    if (!is_optional) required.emplace_back(key);
  }
  return json::object{{"type", "object"},
                      {"properties", std::move(properties)},
                      {"required", std::move(required)},
                      {"additionalProperties", false}};
}

json::value envelope(const char* object, json::value choice, bool is_chunk) {
  json::value schema = closed({{"id", text()},
                               {"object", is(object)},
                               {"created", integer()},
                               {"model", text()},
                               {"system_fingerprint", text()},
                               {"choices", list(std::move(choice))},
                               {is_chunk ? "usage?" : "usage", is_chunk ? or_null(ref("Usage")) : ref("Usage")},
                               {is_chunk ? "timings?" : "timings", ref("Timings")},
                               {"prompt_progress?", closed({{"processed", count()}, {"total", count()}})},
                               {"obfuscation?", text()}});
  if (is_chunk) return schema;
  for (const char* of_chunks : {"prompt_progress", "obfuscation"}) schema.at("properties").as_object().erase(of_chunks);
  return schema;
}

json::value finish_reason() { return one_of({"stop", "length", "tool_calls"}); }
json::value token_fields(bool has_others) {
  json::value bytes = or_null(list(count()));
  if (!has_others) return closed({{"token", text()}, {"logprob", number()}, {"bytes", bytes}});
  return closed(
      {{"token", text()}, {"logprob", number()}, {"bytes", bytes}, {"top_logprobs", list(token_fields(false))}});
}
json::value tool_call(bool has_index) {
  const json::value function = closed({{"name", text()}, {"arguments", text()}});
  if (!has_index) return closed({{"id", text()}, {"type", is("function")}, {"function", function}});
  return closed({{"id", text()}, {"type", is("function")}, {"function", function}, {"index", count()}});
}

void add_openai(json::object& out) {
  const json::value scores = or_null(closed({{"content", list(token_fields(true))}, {"refusal", null()}}));
  out["Usage"] = closed({{"prompt_tokens", count()},
                         {"completion_tokens", count()},
                         {"total_tokens", count()},
                         {"prompt_tokens_details", closed({{"cached_tokens", count()}})}});
  out["Timings"] = closed({{"prompt_tokens", count()},
                           {"cached_tokens", count()},
                           {"queue_seconds", number()},
                           {"prompt_seconds", number()},
                           {"generated_tokens", count()},
                           {"generated_seconds", number()},
                           {"kv_cache_tokens", count()},
                           {"kv_cache_capacity", count()}});
  const json::value message = closed({{"role", is("assistant")},
                                      {"content", or_null(text())},
                                      {"refusal", null()},
                                      {"tool_calls?", list(tool_call(false))}});
  out["ChatCompletion"] = envelope(
      "chat.completion",
      closed({{"index", count()}, {"message", message}, {"logprobs", scores}, {"finish_reason", finish_reason()}}),
      false);
  const json::value delta =
      closed({{"role?", is("assistant")}, {"content?", or_null(text())}, {"tool_calls?", list(tool_call(true))}});
  out["ChatChunk"] = either({envelope("chat.completion.chunk",
                                      closed({{"index", count()},
                                              {"delta", delta},
                                              {"logprobs", scores},
                                              {"finish_reason", or_null(finish_reason())}}),
                                      true),
                             ref("Error")});
  out["CompletionChoice"] = closed({{"index", count()},
                                    {"text", text()},
                                    {"logprobs", or_null(closed({{"tokens", list(text())},
                                                                 {"token_logprobs", list(or_null(number()))},
                                                                 {"top_logprobs", list(or_null(map_of(number())))},
                                                                 {"text_offset", list(count())}}))},
                                    {"finish_reason", or_null(one_of({"stop", "length"}))}});
  out["Completion"] = envelope("text_completion", ref("CompletionChoice"), false);
  out["CompletionChunk"] = either({envelope("text_completion", ref("CompletionChoice"), true), ref("Error")});
  out["Embeddings"] = closed({{"object", is("list")},
                              {"data", list(closed({{"object", is("embedding")},
                                                    {"index", count()},
                                                    {"embedding", either({list(number()), text()})}}))},
                              {"model", text()},
                              {"usage", closed({{"prompt_tokens", count()}, {"total_tokens", count()}})}});
  out["Error"] = closed(
      {{"error",
        closed({{"message", text()}, {"type", text()}, {"param", or_null(text())}, {"code", or_null(text())}})}});
}

void add_responses(json::object& out) {
  const json::value part =
      closed({{"type", is("output_text")}, {"text", text()}, {"annotations", list(any())}, {"logprobs", list(any())}});
  const json::value status = one_of({"in_progress", "completed", "incomplete"});
  out["OutputItem"] = either({closed({{"id", text()},
                                      {"type", is("message")},
                                      {"status", status},
                                      {"role", is("assistant")},
                                      {"content", list(part)}}),
                              closed({{"id", text()},
                                      {"type", is("function_call")},
                                      {"status", status},
                                      {"call_id", text()},
                                      {"name", text()},
                                      {"arguments", text()}})});
  out["Response"] = closed({{"id", text()},
                            {"object", is("response")},
                            {"created_at", integer()},
                            {"status", status},
                            {"error", null()},
                            {"incomplete_details", or_null(closed({{"reason", is("max_output_tokens")}}))},
                            {"instructions", or_null(text())},
                            {"max_output_tokens", or_null(count())},
                            {"model", text()},
                            {"output", list(ref("OutputItem"))},
                            {"parallel_tool_calls", boolean()},
                            {"previous_response_id", null()},
                            {"store", boolean()},
                            {"tool_choice", text()},
                            {"tools", list(any())},
                            {"text", closed({{"format", closed({{"type", is("text")}})}})},
                            {"truncation", is("disabled")},
                            {"metadata", type("object")},
                            {"usage?", closed({{"input_tokens", count()},
                                               {"input_tokens_details", closed({{"cached_tokens", count()}})},
                                               {"output_tokens", count()},
                                               {"output_tokens_details", closed({{"reasoning_tokens", count()}})},
                                               {"total_tokens", count()}})}});
  const json::value n = count();
  const json::value item = ref("OutputItem");
  out["ResponseEvent"] = either(
      {closed(
           {{"type", one_of({"response.created", "response.in_progress", "response.completed", "response.incomplete"})},
            {"sequence_number", n},
            {"response", ref("Response")}}),
       closed({{"type", one_of({"response.output_item.added", "response.output_item.done"})},
               {"sequence_number", n},
               {"output_index", n},
               {"item", item}}),
       closed({{"type", one_of({"response.content_part.added", "response.content_part.done"})},
               {"sequence_number", n},
               {"item_id", text()},
               {"output_index", n},
               {"content_index", n},
               {"part", part}}),
       closed({{"type", one_of({"response.output_text.delta", "response.output_text.done"})},
               {"sequence_number", n},
               {"item_id", text()},
               {"output_index", n},
               {"content_index", n},
               {"delta?", text()},
               {"text?", text()},
               {"logprobs", list(any())}}),
       closed({{"type", one_of({"response.function_call_arguments.delta", "response.function_call_arguments.done"})},
               {"sequence_number", n},
               {"item_id", text()},
               {"output_index", n},
               {"delta?", text()},
               {"arguments?", text()}}),
       closed({{"type", is("error")},
               {"sequence_number", n},
               {"code", or_null(text())},
               {"message", text()},
               {"param", null()}})});
}

void add_messages(json::object& out) {
  const json::value usage = closed({{"input_tokens", count()},
                                    {"cache_read_input_tokens", count()},
                                    {"cache_creation_input_tokens", count()},
                                    {"output_tokens", count()}});
  const json::value reason = or_null(one_of({"end_turn", "max_tokens", "stop_sequence", "tool_use"}));
  const json::value block =
      either({closed({{"type", is("text")}, {"text", text()}}),
              closed({{"type", is("tool_use")}, {"id", text()}, {"name", text()}, {"input", type("object")}})});
  out["Message"] = closed({{"id", text()},
                           {"type", is("message")},
                           {"role", is("assistant")},
                           {"model", text()},
                           {"content", list(block)},
                           {"stop_reason", reason},
                           {"stop_sequence", or_null(text())},
                           {"usage", usage}});
  out["MessageEvent"] =
      either({closed({{"type", is("message_start")}, {"message", ref("Message")}}),
              closed({{"type", one_of({"ping", "message_stop"})}}),
              closed({{"type", is("content_block_start")}, {"index", count()}, {"content_block", block}}),
              closed({{"type", is("content_block_delta")},
                      {"index", count()},
                      {"delta", either({closed({{"type", is("text_delta")}, {"text", text()}}),
                                        closed({{"type", is("input_json_delta")}, {"partial_json", text()}})})}}),
              closed({{"type", is("content_block_stop")}, {"index", count()}}),
              closed({{"type", is("message_delta")},
                      {"delta", closed({{"stop_reason", reason}, {"stop_sequence", or_null(text())}})},
                      {"usage", usage}}),
              ref("AnthropicError")});
  out["AnthropicError"] = closed({{"type", is("error")}, {"error", closed({{"type", text()}, {"message", text()}})}});
  out["TokenCount"] = closed({{"input_tokens", count()}});
}

void add_others(json::object& out) {
  out["Model"] = closed({{"id", text()},
                         {"object", is("model")},
                         {"created", integer()},
                         {"owned_by", text()},
                         {"max_model_len", count()},
                         {"loaded", boolean()}});
  out["ModelList"] = closed({{"object", is("list")}, {"data", list(ref("Model"))}});
  const json::value piece = closed({{"id", count()}, {"piece", either({text(), list(count())})}});
  out["Tokens"] = closed({{"tokens", list(either({count(), piece}))}, {"count", count()}, {"max_model_len", count()}});
  out["Text"] = closed({{"prompt", text()}, {"content", text()}});
  out["TokenizerInfo"] = closed({{"tokenizer_class", text()},
                                 {"bos_token", or_null(text())},
                                 {"eos_token", or_null(text())},
                                 {"pad_token", or_null(text())},
                                 {"unk_token", or_null(text())},
                                 {"add_bos_token", boolean()},
                                 {"add_eos_token", boolean()},
                                 {"vocab_size", count()},
                                 {"model_max_length", count()},
                                 {"chat_template?", text()}});
  out["Prompt"] = closed({{"prompt", text()}, {"tokens", count()}});
  out["Properties"] =
      closed({{"model", text()},
              {"version", text()},
              {"context_length", count()},
              {"vocab_size", count()},
              {"has_chat_template", boolean()},
              {"fill_in_the_middle", boolean()},
              {"kv_cache_tokens", count()},
              {"kv_cache_capacity", count()},
              {"default_generation_settings",
               closed({{"temperature", number()}, {"top_p", number()}, {"top_k", integer()}, {"min_p", number()}})}});
  out["State"] = closed({{"status", one_of({"ok", "unavailable"})}, {"reason?", text()}});
  out["Document"] = type("object");
}

}  // namespace

json::object schema_reference(std::string_view name) { return {{"$ref", "#/components/schemas/" + std::string(name)}}; }

json::object answer_schemas() {
  json::object out;
  add_openai(out);
  add_responses(out);
  add_messages(out);
  add_others(out);
  return out;
}

}  // namespace fathom::server
