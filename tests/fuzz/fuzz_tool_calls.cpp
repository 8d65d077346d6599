// Any text as the answer of a model that may call tools: the same text and calls wherever it is cut, calls of tools
// that there are, and no byte lost. Input: a byte for the cuts, a byte for the plan, the answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "server/api/tools.h"

namespace {

using namespace fathom;

struct Parsed {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;
  bool operator==(const Parsed&) const = default;
};

Parsed parse(const server::ToolPlan& plan, std::string_view answer, size_t piece) {
  server::CallParser parser(plan);
  Parsed parsed;
  for (; !answer.empty(); answer.remove_prefix(std::min(piece, answer.size())))
    parsed.text += parser.push(answer.substr(0, piece));
  server::CallParser::Rest rest = parser.finish();
  parsed.text += rest.text;
  for (server::ToolCall& call : rest.calls) parsed.calls.emplace_back(std::move(call.name), std::move(call.arguments));
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view answer(reinterpret_cast<const char*>(data) + 2, size - 2);
  server::ToolPlan plan;
  plan.choice = static_cast<server::ToolChoice>(data[1] % 4);
  for (const char* name : {"f", "get_weather"}) plan.tools.push_back({name, "", {}});
  plan.only = "f";
  const Parsed whole = parse(plan, answer, SIZE_MAX);
  if (parse(plan, answer, 1 + data[0] % 64) != whole) std::abort();
  check(answer.starts_with(whole.text), "what is shown is how the answer begins");
  check(!whole.calls.empty() || whole.text == answer, "an answer without calls is all text");
  check(whole.calls.empty() || plan.wants_calls(), "nothing is called that was not offered");
  for (const auto& call : whole.calls) {
    check(call.first == "f" || call.first == "get_weather", "a call is of a tool that there is");
    check(call.second.starts_with('{') && call.second.ends_with('}'), "arguments are an object");
  }
  return 0;
}
