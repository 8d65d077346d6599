// Any bytes as the body of a request for text: refused with an error that can be sent, or parameters within their
// bounds, a plan of tools, a constraint, and messages that the chat template is given.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/text/utf8.h"
#include "server/api/constraint.h"
#include "server/api/request_context.h"
#include "server/api/sampling_parameters.h"
#include "server/api/tools.h"
#include "tokenizer/chat/chat_messages.h"

namespace {

using namespace fathom;
using namespace fathom::server;

constexpr std::array kMore = {Parameter{"messages", Parameter::Type::array}, Parameter{"tools", Parameter::Type::array},
                              Parameter{"tool_choice", Parameter::Type::any}, Parameter{"prompt", Parameter::Type::any},
                              Parameter{"max_tokens", Parameter::Type::integer, 0, kNoLimit}};

void check_ranges(const Parameters& p) {
  for (const auto list : {generation_parameters(), sampling_parameters()})
    for (const Parameter& known : list) {
      if (known.type != Parameter::Type::number && known.type != Parameter::Type::integer) continue;
      const double value = p.number(known.name).value_or(known.least);
      check(value >= known.least && value <= known.most, "a number is within its range");
    }
}

void read(std::string_view body) {
  const std::array lists = {std::span<const Parameter>(kMore), generation_parameters(), sampling_parameters(),
                            constraint_parameters()};
  const Parameters p(body, lists);
  check_ranges(p);
  const SamplingOptions sampling = sampling_of(p, {}, 97);
  for (const auto& [id, bias] : sampling.logit_bias) check(id >= 0 && id < 97, "a bias is of a token");
  check(p.texts("stop", 16).size() <= 16, "stops are as many as are taken");
  const ToolPlan plan = tool_plan(p.array("tools"), p.find("tool_choice"));
  if (const json::array* messages = p.array("messages"))
    conversation_from_json(json::object{{"messages", without_tool_roles(*messages)}}, "the request");
  if (body.size() > 3000) return;  // compiling has its own targets, and its own bounds
  constraint_or_call(constraint_of(p), plan);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    read(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const ApiError& e) {
    const http::Reply reply = http::error_reply(e.info());
    check(reply.status == 400, "a refusal is the client's fault");
    check(find_invalid_utf8(reply.body) == std::string_view::npos, "an error is UTF-8");
    check(e.info().message.size() < 2000 && !e.info().message.empty(), "an error says something, in few words");
    const json::value sent = parse_json(reply.body, "the answer");
    check(sent.at("error").at("message").get_string() == e.info().message, "an error is sent as it is");
  } catch (const Error& e) {
    check(e.kind() == ErrorKind::bad_input || e.kind() == ErrorKind::unsupported, "a refusal is of the input");
  }
  return 0;
}
