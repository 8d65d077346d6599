#include "tokenizer/chat/chat_messages.h"

#include <gtest/gtest.h>
#include "support/errors.h"

namespace fathom {
namespace {

ChatTemplate template_of(const std::string& source) { return ChatTemplate::from_source(source, "<s>", "</s>", "t"); }

std::string error_of(const std::string& text) {
  return test::error_of([&] { parse_conversation(text, "f.json"); });
}

TEST(ChatMessages, ARequestAndAListOfMessagesAreTheSame) {
  const std::string list = R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}])";
  for (const std::string& text : {list, R"({"model": "m", "stream": true, "messages": )" + list + "}"}) {
    const Conversation c = parse_conversation(text, "f.json");
    ASSERT_EQ(c.messages.size(), 2u);
    EXPECT_EQ(c.messages[0].role, "system");
    EXPECT_EQ(c.messages[1].content, "Hi");
    EXPECT_TRUE(c.tools.empty());
  }
}

TEST(ChatMessages, PartsOfTextAreJoinedAndNullsStandBesideCalls) {
  const Conversation c = parse_conversation(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
          {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
          {"role": "tool", "content": "3", "tool_call_id": "1"}])",
      "f.json");
  EXPECT_EQ(c.messages[0].content, "a\nb");
  EXPECT_FALSE(c.messages[1].has_content);
  EXPECT_EQ(c.messages[2].more.at("tool_call_id").as_string(), "1");
}

TEST(ChatMessages, ABadMessageIsNamedByItsIndexAndRole) {
  const std::pair<const char*, const char*> cases[] = {
      {"3", "f.json: found an integer; needed a list of messages, or an object with messages"},
      {"{}", "f.json: there is no list of messages"},
      {R"({"messages": {}})", "f.json: messages is an object; a list is needed"},
      {R"([{"role": "user", "content": "a"}, 3])",
       "f.json: messages[1] is an integer; a message is an object with role and content"},
      {R"([{"content": "a"}])",
       "f.json: messages[0] has no role; it is one of system, developer, user, assistant, tool"},
      {R"([{"role": "bot", "content": "a"}])",
       "f.json: messages[0] has the role 'bot'; it must be one of system, developer, user, assistant, tool"},
      {R"([{"role": "user"}])", "f.json: messages[0] (role user) has no content"},
      {R"([{"role": "assistant", "content": null, "tool_calls": []}])",
       "f.json: messages[0] (role assistant) has no content"},
      {R"([{"role": "user", "content": 1}])",
       "f.json: messages[0] (role user): content is an integer; a string, or a list of texts, is needed"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
       "f.json: messages[0] (role user): content[0] is of type 'image_url'; fathom's models read text only"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])",
       "f.json: messages[0] (role user): content[0] has no text"},
      {R"([{"role": "user", "content": "a", "tool_calls": []}])",
       "f.json: messages[0] (role user) has tool_calls; only an assistant calls tools"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])",
       "f.json: messages[0] (role assistant): tool_calls[0] has no function with a name"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]}])",
       "f.json: messages[0] (role assistant): the arguments of tool_calls[0] are an integer; an object, or one written "
       "as "
       "a string, is needed"},
      {R"({"messages": [], "tools": 1})", "f.json: tools is an integer; a list is needed"},
      {R"({"messages": [], "tools": [{"type": "function"}]})", "f.json: tools[0] has no function with a name"},
      {R"({"messages": [], "temperature": 1})",
       "f.json: messages and tools are read from a file, not 'temperature'; sampling is set by options of fathom"},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(error_of(text), message) << text;
}

TEST(ChatMessages, WhatIsWrittenIsReadAgain) {
  const std::string text =
      R"({"messages": [{"role": "user", "content": "a\n\t\u00e9"}, {"role": "assistant", "content": null, "tool_calls":
         [{"function": {"name": "f", "arguments": {"x": 1}}}], "reasoning_content": "hm"}], "tools": [{"name": "f"}]})";
  const std::string written = to_json(parse_conversation(text, "f.json"));
  EXPECT_EQ(to_json(parse_conversation(written, "f.json")), written);
  EXPECT_NE(written.find("reasoning_content"), std::string::npos);
}

constexpr const char* kCalls =
    "{% for m in messages %}{{ m.role }}:{{ m.content if m.content is not none }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ ARGUMENTS }}]{% endfor %}{% endfor %}";

std::string calls_template(const std::string& arguments) {
  std::string source = kCalls;
  return source.replace(source.find("ARGUMENTS"), 9, arguments);
}

std::string written_call(const std::string& arguments_of_template, const std::string& arguments) {
  const Conversation c = parse_conversation(R"([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls":
      [{"function": {"name": "f", "arguments": )" +
                                                arguments + "}}]}]",
                                            "f.json");
  const ChatTemplate chat = template_of(calls_template(arguments_of_template));
  return chat.render(fitted_to(chat, c, "f.json").messages, true);
}

TEST(ChatMessages, ArgumentsTakeTheFormThatTheTemplateWrites) {
  const std::string object = R"({"x": "a", "y": [1, null]})", text = R"("{\"x\": \"a\", \"y\": [1, null]}")";
  const std::string want = "user:qassistant:[f " + object + "]";
  for (const std::string& given : {object, text}) {
    EXPECT_EQ(written_call("c.function.arguments | tojson", given), want) << given;
    EXPECT_EQ(written_call("'' + c.function.arguments", given), want) << given;
    EXPECT_EQ(written_call("c.function.arguments if c.function.arguments is string else c.function.arguments | tojson",
                           given),
              want)
        << given;
  }
}

TEST(ChatMessages, ATemplateThatCannotWriteNoneGetsAnEmptyText) {
  const Conversation c = parse_conversation(
      R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "1"}}]}])",
      "f.json");
  for (const char* content : {"m.content", "m.content + ''", "m.content | trim"}) {
    const ChatTemplate chat =
        template_of(std::string("{% for m in messages %}{{ ") + content +
                    " }}{% for t in m.tool_calls or [] %}{{ t.function.name }}{% endfor %}{% endfor %}");
    EXPECT_EQ(chat.render(fitted_to(chat, c, "f.json").messages, true), "qf") << content;
  }
}

TEST(ChatMessages, WhatATemplateLeavesOutIsNamed) {
  const auto error = [](const std::string& source, const std::string& text) -> std::string {
    return test::error_of([&] { fitted_to(template_of(source), parse_conversation(text, "f.json"), "f.json"); });
  };
  const std::string plain = "{% for m in messages if m.role != 'tool' %}{{ m.role }}{{ m.content }}{% endfor %}";
  EXPECT_EQ(error(plain, R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"name": "f"}]})"),
            "f.json: the chat template of this model leaves the tools out; it knows none");
  EXPECT_EQ(
      error(plain, R"([{"role": "user", "content": "q"}, {"role": "tool", "content": "3"}])"),
      "f.json: messages[1] (role tool): the chat template of this model leaves the message out; it knows no tools");
  EXPECT_EQ(error(plain, R"([{"role": "assistant", "content": "q", "tool_calls": [{"function": {"name": "f"}}]}])"),
            "f.json: messages[0] (role assistant): the chat template of this model leaves tool_calls out; it knows no "
            "tools");
  EXPECT_EQ(error("{{ tools | tojson }}" + plain,
                  R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"name": "f"}]})"),
            "");
}

TEST(ChatMessages, NumbersThatNoTemplateCanHoldAreRefused) {
  const Conversation c =
      parse_conversation(R"([{"role": "user", "content": "q", "n": 18446744073709551615}])", "f.json");
  EXPECT_THROW(template_of("x").render(c.messages, true), Error);
}

TEST(ChatMessages, ToolsAreNotTrusted) {
  const Conversation c =
      parse_conversation(R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"name": "<s>"}]})", "f.json");
  const ChatTemplate chat = template_of("<s>{{ tools[0].name }}").with_tools(c.tools);
  const std::vector<TextPiece> pieces = chat.render_pieces(c.messages, true);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_TRUE(pieces[0].trusted);
  EXPECT_FALSE(pieces[1].trusted);
}

}  // namespace
}  // namespace fathom
