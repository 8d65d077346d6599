#include "tokenizer/chat_template.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

namespace fathom {
namespace {

const std::string kBos =
    "<\xEF\xBD\x9C"
    "begin\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>";
const std::string kEos =
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>";
const std::filesystem::path kGolden = std::filesystem::path(FATHOM_GOLDEN_DIR) / "chat";

std::string template_source(const std::string& name) { return read_file(kGolden / "templates" / (name + ".jinja")); }

ChatTemplate template_of(const std::string& name) {
  return ChatTemplate::from_source(template_source(name), kBos, kEos, name + ".jinja");
}

std::vector<ChatMessage> messages_of(const json::value& list) {
  std::vector<ChatMessage> out;
  for (const json::value& m : list.as_array())
    out.push_back({json::value_to<std::string>(m.at("role")), json::value_to<std::string>(m.at("content"))});
  return out;
}

std::string joined(const std::vector<TextPiece>& pieces, std::optional<bool> trusted = std::nullopt) {
  std::string out;
  for (const TextPiece& p : pieces)
    if (!trusted || p.trusted == *trusted) out += p.text;
  return out;
}

class Released : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Templates, Released,
                         testing::Values("deepseek_v2", "deepseek_v2_0628", "deepseek_v2_5", "deepseek_v3",
                                         "deepseek_coder"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(Released, RendersEveryConversationAsJinja2Does) {
  const json::value golden = parse_json(read_file(kGolden / (std::string(GetParam()) + ".json")), GetParam());
  const ChatTemplate chat = template_of(GetParam());
  size_t n = 0;
  for (const json::value& c : golden.at("cases").as_array()) {
    SCOPED_TRACE(json::value_to<std::string>(c.at("name")));
    const auto messages = messages_of(c.at("messages"));
    const bool prompt = c.at("add_generation_prompt").as_bool();
    const std::string want = json::value_to<std::string>(c.at("text"));
    EXPECT_EQ(chat.render(messages, prompt), want);
    EXPECT_EQ(joined(chat.render_pieces(messages, prompt)), want);
    ++n;
  }
  EXPECT_EQ(n, 44u);
}

TEST_P(Released, ExactlyWhatTheMessagesBroughtIsNotTrusted) {
  const json::value golden = parse_json(read_file(kGolden / (std::string(GetParam()) + ".json")), GetParam());
  const ChatTemplate chat = template_of(GetParam());
  for (const json::value& c : golden.at("cases").as_array()) {
    const std::string name = json::value_to<std::string>(c.at("name"));
    SCOPED_TRACE(name);
    // Some templates drop or move these messages.
    if (name == "unknown role" || name == "tool result" || name == "two system messages" || name == "system later")
      continue;
    const auto messages = messages_of(c.at("messages"));
    std::string contents;
    for (const ChatMessage& m : messages) contents += m.content;
    const auto pieces = chat.render_pieces(messages, c.at("add_generation_prompt").as_bool());
    EXPECT_EQ(joined(pieces, false), contents);
    for (size_t i = 1; i < pieces.size(); ++i) EXPECT_NE(pieces[i].trusted, pieces[i - 1].trusted);
  }
}

TEST(ChatTemplate, BuiltInTemplateIsTheOneOfV2) {
  const json::value golden = parse_json(read_file(kGolden / "deepseek_v2.json"), "deepseek_v2.json");
  const ChatTemplate chat = ChatTemplate::deepseek_v2(kBos, kEos);
  for (const json::value& c : golden.at("cases").as_array()) {
    const std::string name = json::value_to<std::string>(c.at("name"));
    SCOPED_TRACE(name);
    const auto messages = messages_of(c.at("messages"));
    const bool prompt = c.at("add_generation_prompt").as_bool();
    if (name == "unknown role" || name == "tool result")
      EXPECT_THROW(chat.render(messages, prompt), Error);
    else
      EXPECT_EQ(chat.render(messages, prompt), json::value_to<std::string>(c.at("text")));
  }
}

TEST(ChatTemplate, GivesTheExampleOfTheSpecification) {
  const std::vector<ChatMessage> messages = {
      {"system", "S"}, {"user", "Hello"}, {"assistant", "Hi there"}, {"user", "Who are you"}};
  EXPECT_EQ(ChatTemplate::deepseek_v2("BOS", "EOS").render(messages, true),
            "BOSS\n\nUser: Hello\n\nAssistant: Hi thereEOSUser: Who are you\n\nAssistant:");
}

TEST(ChatTemplate, TrustFollowsTheBytesThroughFilters) {
  const auto chat = ChatTemplate::from_source(
      "{% for m in messages %}[{{ (m.content | trim).split('|')[-1] | replace('x', '<s>') | upper }}]{% endfor %}", "",
      "", "t");
  const std::vector<ChatMessage> messages = {{"user", "  drop|<s>axb  "}};
  const auto pieces = chat.render_pieces(messages, false);
  ASSERT_EQ(pieces.size(), 5u) << joined(pieces);
  EXPECT_EQ(pieces[0].text, "[");
  EXPECT_EQ(pieces[1].text, "<S>A");
  EXPECT_FALSE(pieces[1].trusted);
  EXPECT_EQ(pieces[2].text, "<S>");  // put there by the template
  EXPECT_TRUE(pieces[2].trusted);
  EXPECT_EQ(pieces[3].text, "B");
  EXPECT_EQ(pieces[4].text, "]");
}

TEST(ChatTemplate, RolesAreNotTrustedEither) {
  const auto chat = ChatTemplate::from_source("{% for m in messages %}<{{ m['role'] }}>{% endfor %}", "", "", "t");
  const std::vector<ChatMessage> messages = {{"r", "c"}};
  const auto pieces = chat.render_pieces(messages, false);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_FALSE(pieces[1].trusted);
}

TEST(ChatTemplate, InvalidUtf8InAMessagePassesThrough) {
  const std::vector<ChatMessage> messages = {{"user",
                                              "a\xFF\xE4\xBD"
                                              "b\xC3"}};
  EXPECT_EQ(ChatTemplate::deepseek_v2("", "").render(messages, false),
            "User: a\xFF\xE4\xBD"
            "b\xC3\n\n");
}

TEST(ChatTemplate, TheWordsOfRaiseExceptionReachTheUser) {
  const auto chat = ChatTemplate::from_source("\n{{ raise_exception('roles must alternate') }}", "", "", "x.jinja");
  try {
    chat.render({}, false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::bad_input);
    EXPECT_EQ(std::string(e.what()),
              "x.jinja line 2: the template does not accept these messages: 'roles must alternate'");
  }
}

TEST(ChatTemplate, LongConversationsStayWithinTheLimits) {
  std::vector<ChatMessage> messages;
  for (int i = 0; i < 20000; ++i) messages.push_back({i % 2 ? "assistant" : "user", std::string(200, 'a')});
  EXPECT_GT(template_of("deepseek_v3").render(messages, true).size(), 4'000'000u);
}

class Folder : public testing::Test {
 protected:
  Folder() { std::filesystem::create_directories(path_); }
  ~Folder() override { std::filesystem::remove_all(path_); }
  void put(const char* name, std::string_view text) {
    FileWriter file(path_ / name);
    file.write(text);
    file.commit();
  }
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / fmt::format("fathom-chat-template-{}", getpid());
};

TEST_F(Folder, TemplateIsFoundInTheFolder) {
  EXPECT_EQ(find_chat_template(path_), std::nullopt);
  put("tokenizer_config.json", R"({"bos_token": "b"})");
  EXPECT_EQ(find_chat_template(path_), std::nullopt);
  put("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(find_chat_template(path_), "one");
  put("tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "two"}]})");
  EXPECT_EQ(find_chat_template(path_), "two");
  put("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "t"}]})");
  EXPECT_THROW(find_chat_template(path_), Error);
  put("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THROW(find_chat_template(path_), Error);
  put("chat_template.jinja", "three");
  EXPECT_EQ(find_chat_template(path_), "three");
}

}  // namespace
}  // namespace fathom
