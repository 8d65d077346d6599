#include "server/api/openai_answer.h"

namespace fathom::server {
namespace {

void add_figures(json::object& out, ServedModel& model, const Usage& usage, const Ended& first) {
  out["usage"] = usage_json(usage);
  out["timings"] = timings_json(first, model.engine().snapshot());
}

}  // namespace

json::object AnswerForm::envelope(json::array choices) const {
  return {{"id", id},
          {"object", object},
          {"created", created},
          {"model", model},
          {"system_fingerprint", fingerprint},
          {"choices", std::move(choices)}};
}

AnswerForm answer_form(const ServedModel& model, std::string_view id_prefix, std::string object) {
  return {.id = new_id(id_prefix),
          .object = std::move(object),
          .model = model.name(),
          .fingerprint = model.fingerprint(),
          .created = unix_seconds()};
}

void reply_whole(http::Exchange& exchange, const AnswerForm& form, json::array choices, ServedModel& model,
                 const Usage& usage, const Ended& first) {
  json::object out = form.envelope(std::move(choices));
  add_figures(out, model, usage, first);
  exchange.reply({.body = json::serialize(out)});
}

StreamOptions stream_options(const Parameters& p) {
  const json::object* given_options = p.object("stream_options");
  only_keys(given_options, "stream_options", {"include_usage", "include_obfuscation"});
  return {.include_usage = flag_of(given_options, "stream_options", "include_usage"),
          .obfuscate = flag_of(given_options, "stream_options", "include_obfuscation")};
}

void ChunkStream::send(json::array choices, json::object more) {
  json::object out = form_.envelope(std::move(choices));
  for (auto& [key, value] : more) out[key] = std::move(value);
  if (options_.include_usage) out["usage"] = nullptr;
  if (options_.obfuscate) out["obfuscation"] = new_id("").substr(0, 1 + json::serialize(out).size() % 16);
  stream_.send(out);
}

void ChunkStream::finish(const Usage& usage, const Ended& first) {
  if (options_.include_usage) {
    json::object out = form_.envelope({});
    add_figures(out, model_, usage, first);
    stream_.send(out);
  }
  stream_.send_text("[DONE]");
  stream_.end();
}

void ChunkStream::fail(const http::ErrorInfo& error) {
  stream_.send_text(http::openai_error(error));
  stream_.end();
}

}  // namespace fathom::server
