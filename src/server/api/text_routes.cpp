// Routes that run no model: what is served, and its text side.
#include <array>

#include "base/json/json_number.h"
#include "base/text/utf8.h"
#include "server/api/request_context.h"
#include "server/api/routes.h"
#include "server/prompt.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr size_t kMostIds = 1 << 20;

constexpr std::array kTokenize = {
    Parameter{"model", Type::text},
    Parameter{"prompt", Type::text, 0, 0, "the text"},
    Parameter{"content", Type::text, 0, 0, "another name of prompt"},
    Parameter{"messages", Type::array, 0, 0, "a conversation in place of a text", kObjectsForm},
    Parameter{"tools", Type::array, 0, 0, "functions that it may call", kObjectsForm},
    Parameter{"add_generation_prompt", Type::boolean},
    Parameter{"add_special_tokens", Type::boolean, 0, 0, "bos and eos, as the model's files say"},
    Parameter{"add_special", Type::boolean, 0, 0, "another name of add_special_tokens"},
    Parameter{"parse_special", Type::boolean, 0, 0,
              "special tokens that the text spells become those tokens; default: true"},
    Parameter{"with_pieces", Type::boolean, 0, 0, "objects with id and piece in place of ids"},
};
constexpr std::array kDetokenize = {Parameter{"model", Type::text},
                                    Parameter{"tokens", Type::array, 0, 0, "ids", kIdsForm},
                                    Parameter{"skip_special_tokens", Type::boolean}};
constexpr std::array kTemplate = {
    Parameter{"model", Type::text}, Parameter{"messages", Type::array, 0, 0, "the conversation", kObjectsForm},
    Parameter{"tools", Type::array, 0, 0, "functions that it may call", kObjectsForm},
    Parameter{"add_generation_prompt", Type::boolean}, Parameter{"continue_final_message", Type::boolean}};

void reply(const std::shared_ptr<http::Exchange>& exchange, const json::value& body) {
  exchange->reply({.body = json::serialize(body)});
}

json::object model_object(const ServedModel& m) {
  return {{"id", m.name()},
          {"object", "model"},
          {"created", m.created()},
          {"owned_by", "fathom"},
          {"max_model_len", m.context_tokens()},
          {"loaded", m.engine().snapshot().state == EngineState::ready}};
}

json::value piece_of_token(const Tokenizer& t, int32_t id) {
  const std::string_view bytes = t.token_bytes(id);
  if (find_invalid_utf8(bytes) == std::string_view::npos) return json::string(bytes);
  json::array out;
  for (const char c : bytes) out.push_back(static_cast<unsigned char>(c));
  return out;
}

ChatPrompt conversation_prompt(const ServedModel& model, const Parameters& p) {
  return chat_prompt(model, *p.array("messages"), p.find("tools"), tool_plan(p.array("tools"), nullptr),
                     prompt_options(p));
}

std::vector<int32_t> ids_to_tokenize(const ServedModel& model, const Parameters& p) {
  const bool has_messages = p.has("messages");
  if (p.has("prompt") + p.has("content") + has_messages != 1)
    refuse("prompt", "needed is one of prompt (a text), content and messages");
  if (has_messages) return conversation_prompt(model, p).ids;
  const std::string text = p.has("prompt") ? *p.text("prompt") : *p.text("content");
  return model.tokenizer().encode(
      text, {.add_special = p.boolean("add_special_tokens").value_or(p.boolean("add_special").value_or(true)),
             .parse_special = p.boolean("parse_special").value_or(true)});
}

json::value spelling(const Tokenizer& t, std::optional<int32_t> id) {
  return id ? json::value(json::string(t.token_bytes(*id))) : json::value(nullptr);
}

}  // namespace

ParameterLists tokenize_parameters() { return {kTokenize}; }

ParameterLists detokenize_parameters() { return {kDetokenize}; }

ParameterLists template_parameters() { return {kTemplate}; }

void list_models(const ServiceContext& c, const http::Request&, const std::shared_ptr<http::Exchange>& exchange) {
  json::array data;
  for (size_t i = 0; i < c.models.size(); ++i) data.push_back(model_object(c.models[i]));
  reply(exchange, {{"object", "list"}, {"data", std::move(data)}});
}

void show_model(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  reply(exchange, model_object(model_named(c, r.path_parameters.at("id"))));
}

void tokenize(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(r.body, tokenize_parameters());
  const ServedModel& model = request_context(c, p).model;
  const std::vector<int32_t> ids = ids_to_tokenize(model, p);
  json::array tokens;
  for (const int32_t id : ids) {
    if (p.boolean("with_pieces").value_or(false))
      tokens.push_back({{"id", id}, {"piece", piece_of_token(model.tokenizer(), id)}});
    else
      tokens.push_back(id);
  }
  reply(exchange, {{"tokens", std::move(tokens)}, {"count", ids.size()}, {"max_model_len", model.context_tokens()}});
}

void detokenize(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(r.body, detokenize_parameters());
  const ServedModel& model = request_context(c, p).model;
  const json::array* tokens = p.array("tokens");
  if (tokens == nullptr) refuse("tokens", "tokens is missing; it is an array of token ids");
  if (tokens->size() > kMostIds) refuse("tokens", "tokens has {} ids; at most {} are taken", tokens->size(), kMostIds);
  std::vector<int32_t> ids;
  for (const json::value& v : *tokens) {
    const auto id = json_integer(v);
    if (!id || *id < 0 || *id >= model.tokenizer().n_tokens())
      refuse("tokens", "tokens holds {}; the tokenizer has ids 0 to {}", json::serialize(v).substr(0, 40),
             model.tokenizer().n_tokens() - 1);
    ids.push_back(static_cast<int32_t>(*id));
  }
  const std::string text = model.tokenizer().decode(
      ids, {.skip_special = p.boolean("skip_special_tokens").value_or(false), .replace_invalid = true});
  reply(exchange, {{"prompt", text}, {"content", text}});
}

void tokenizer_info(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  const ServedModel& model = request_context(c, r).model;
  const Tokenizer& t = model.tokenizer();
  json::object out{{"tokenizer_class", "fathom"},
                   {"bos_token", spelling(t, t.bos())},
                   {"eos_token", spelling(t, t.eos())},
                   {"pad_token", spelling(t, t.pad())},
                   {"unk_token", spelling(t, t.unk())},
                   {"add_bos_token", t.adds_bos()},
                   {"add_eos_token", t.adds_eos()},
                   {"vocab_size", t.n_tokens()},
                   {"model_max_length", model.context_tokens()}};
  if (!model.chat_source().empty()) out["chat_template"] = model.chat_source();
  reply(exchange, out);
}

void apply_template(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(r.body, template_parameters());
  const ServedModel& model = request_context(c, p).model;
  if (!p.has("messages")) refuse("messages", "messages is missing");
  const ChatPrompt prompt = conversation_prompt(model, p);
  reply(exchange, {{"prompt", prompt.text}, {"tokens", prompt.ids.size()}});
}

void show_properties(const ServiceContext& c, const http::Request& r, const std::shared_ptr<http::Exchange>& exchange) {
  const ServedModel& m = request_context(c, r).model;
  const EngineSnapshot e = m.engine_snapshot();
  const SamplingOptions& s = m.sampling();
  reply(exchange, {{"model", m.name()},
                   {"version", FATHOM_VERSION},
                   {"context_length", m.context_tokens()},
                   {"vocab_size", m.config().vocab_size},
                   {"has_chat_template", !m.chat_source().empty()},
                   {"fill_in_the_middle", can_fill_in(m)},
                   {"kv_cache_tokens", e.cache_tokens_in_use},
                   {"kv_cache_capacity", e.cache_tokens},
                   {"default_generation_settings",
                    {{"temperature", s.temperature}, {"top_p", s.top_p}, {"top_k", s.top_k}, {"min_p", s.min_p}}}});
}

}  // namespace fathom::server
