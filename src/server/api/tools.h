// Tools that a model may call, and its calls in what it writes.
//
// Three ways, by what the model's chat template and vocabulary know:
//   - The template tells of tools: it writes the prompt. Where the vocabulary has DeepSeek's markers (V2.5 and later),
//     calls are read from
//         <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```<｜tool▁call▁end｜>...
//     Source: the chat template of DeepSeek-V2.5.
//   - It does not (DeepSeek-V2's): the tools are described in the system message, and a call is a JSON object
//     {"name": ..., "arguments": {...}} that is the whole answer.
// tool_choice "required", or one function, constrains the answer to such an object whatever the template.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "grammar/grammar.h"
#include "server/api/parameters.h"

namespace fathom::server {

struct Tool {
  std::string name, description;
  json::value parameters;  // a JSON schema; null: none
};

enum class ToolChoice : uint8_t { none, automatic, required, one };

struct ToolPlan {
  std::vector<Tool> tools;
  ToolChoice choice = ToolChoice::none;
  std::string only;  // of ToolChoice::one

  bool wants_calls() const noexcept { return choice != ToolChoice::none && !tools.empty(); }
};

// `tools` of OpenAI's chat API, and tool_choice (nullptr: not given). ApiError for names that are none, that occur
// twice, or that tool_choice invents.
ToolPlan tool_plan(const json::array* tools, const json::value* choice);

// An answer that is a call and nothing else: {"name": one of them, "arguments": of its schema}.
std::shared_ptr<const Grammar> call_grammar(const ToolPlan& plan);

// The constraint of an answer: what was asked for, or the call that tool_choice demands. ApiError when both are.
std::shared_ptr<const Grammar> constraint_or_call(std::shared_ptr<const Grammar> asked, const ToolPlan& plan);

// What the system message says where the template has no words for tools.
std::string tools_as_text(const ToolPlan& plan);

// Messages with calls and results of tools as plain messages, for such templates.
json::array without_tool_roles(const json::array& messages);

struct ToolCall {
  std::string id, name, arguments;  // arguments: JSON text
};

// One answer's text in pieces, as it comes: what is shown, and the calls. The result is the same however the text is
// cut.
class CallParser {
 public:
  explicit CallParser(const ToolPlan& plan) : plan_(&plan) {}
  // Text that is certainly no part of a call.
  std::string push(std::string_view text);
  // The rest: calls, or text where it is none. complete: the model ended the answer by itself.
  struct Rest {
    std::string text;
    std::vector<ToolCall> calls;
  };
  Rest finish();

 private:
  bool is_tool(std::string_view name) const;
  std::optional<std::vector<ToolCall>> object_call() const;
  std::optional<std::vector<ToolCall>> marked_calls(std::string& before) const;
  const ToolPlan* plan_;
  std::string held_;
  bool is_text_ = false;  // this answer is no JSON object
};

}  // namespace fathom::server
