// What /v1/chat/completions and /v1/completions have in common: the object around the choices, whole or in chunks.
#pragma once
#include <memory>
#include <string>

#include "server/api/request_context.h"
#include "server/sse.h"

namespace fathom::server {

struct AnswerForm {
  std::string id, object;  // object: "chat.completion", "text_completion", ...
  std::string model, fingerprint;
  int64_t created = 0;
  json::object envelope(json::array choices) const;
};
AnswerForm answer_form(const ServedModel& model, std::string_view id_prefix, std::string object);

// The whole answer, with its usage.
void reply_whole(http::Exchange& exchange, const AnswerForm& form, json::array choices, ServedModel& model,
                 const Usage& usage, const Ended& first);

struct StreamOptions {
  bool include_usage = false;  // null in every chunk, and a last one with the figures
  bool obfuscate = false;      // chunks get a field of varying length, so that sizes do not tell tokens
};
StreamOptions stream_options(const Parameters& parameters);

// The chunks of an answer. begin() on any thread, the others on the engine's.
class ChunkStream {
 public:
  ChunkStream(ServedModel& model, std::shared_ptr<http::Exchange> exchange, AnswerForm form, StreamOptions options,
              std::chrono::milliseconds keep_alive)
      : model_(model), stream_(std::move(exchange), keep_alive), form_(std::move(form)), options_(options) {}

  void begin() { stream_.begin(); }
  // A chunk with these choices; `more` stands beside them.
  void send(json::array choices, json::object more = {});
  void finish(const Usage& usage, const Ended& first);
  void fail(const http::ErrorInfo& error);

 private:
  ServedModel& model_;
  EventStream stream_;
  AnswerForm form_;
  StreamOptions options_;
};

}  // namespace fathom::server
