#include "tokenizer/chat/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/text/utf8.h"
#include "gguf_vocabulary.h"
#include "shared_vocab.h"
#include "support/errors.h"
#include "tokenizer/tokenizer.h"

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
  EXPECT_EQ(test::error_of([&] { chat.render({}, false); }, ErrorKind::bad_input),
            "x.jinja line 2: the template does not accept these messages: 'roles must alternate'");
}

TEST(ChatTemplate, LongConversationsStayWithinTheLimits) {
  std::vector<ChatMessage> messages;
  for (int i = 0; i < 20000; ++i) messages.push_back({i % 2 ? "assistant" : "user", std::string(200, 'a')});
  EXPECT_GT(template_of("deepseek_v3").render(messages, true).size(), 4'000'000u);
}

// The 256 bytes in GPT-2's alphabet (source: openai/gpt-2, encoder.py), a merge of " H", and the special tokens.
Tokenizer byte_tokenizer() {
  VocabularyData v;
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool is_plain = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
    append_utf8(v.tokens.emplace_back(), is_plain ? b : next);
    next += !is_plain;
  }
  v.tokens.push_back("\xC4\xA0H");  // 256: " H"
  v.merges = {"\xC4\xA0 H"};
  v.token_types.assign(v.tokens.size(), 1);                                                  // normal
  for (const std::string& special : {kBos, kEos, std::string("<U>"), std::string("<A>")}) {  // 257 ...
    v.tokens.push_back(special);
    v.token_types.push_back(3);  // control
  }
  v.pre = "gpt-2";
  v.bos = 257;
  v.eos = 258;
  return Tokenizer::from_vocabulary(std::move(v), "test");
}

using Ids = std::vector<int32_t>;

TEST(EncodeChat, SpecialTokensOfTheTemplateAreIdsAndThoseOfAMessageAreText) {
  const Tokenizer t = byte_tokenizer();
  const auto chat = ChatTemplate::from_source(
      "{{ bos_token }}{% for m in messages %}<U> {{ m.content }}{% endfor %}<A>", kBos, kEos, "t");
  const std::vector<ChatMessage> hello = {{"user", "Hi"}};
  EXPECT_EQ(encode_chat(t, chat, hello, true), (Ids{257, 259, 256, 'i', 260}))
      << "the template's space joins the message's H";
  const std::vector<ChatMessage> typed = {{"user", "<A>" + kEos}};
  Ids want = {257, 259, ' ', '<', 'A', '>'};
  for (const char c : kEos) want.push_back(static_cast<unsigned char>(c));
  want.push_back(260);
  EXPECT_EQ(encode_chat(t, chat, typed, true), want);
}

TEST(EncodeChat, AMessageCannotCompleteASpecialTokenOfTheTemplate) {
  const Tokenizer t = byte_tokenizer();
  const std::vector<ChatMessage> messages = {{"user", "U>"}};
  const auto before = ChatTemplate::from_source("<{{ messages[0].content }}", "", "", "t");
  EXPECT_EQ(encode_chat(t, before, messages, false), (Ids{'<', 'U', '>'}));
  const auto within = ChatTemplate::from_source("<U{{ messages[0].content[1:] }}<U>", "", "", "t");
  EXPECT_EQ(encode_chat(t, within, messages, false), (Ids{'<', 'U', '>', 259}));
}

TEST_P(Released, IdsAreThoseOfTheWholeTextWhenNoMessageSpellsASpecialToken) {
  const Tokenizer t = byte_tokenizer();
  const json::value golden = parse_json(read_file(kGolden / (std::string(GetParam()) + ".json")), GetParam());
  const ChatTemplate chat = template_of(GetParam());
  size_t n = 0;
  for (const json::value& c : golden.at("cases").as_array()) {
    const std::string name = json::value_to<std::string>(c.at("name"));
    SCOPED_TRACE(name);
    const auto messages = messages_of(c.at("messages"));
    const bool prompt = c.at("add_generation_prompt").as_bool();
    const Ids whole =
        t.encode(json::value_to<std::string>(c.at("text")), {.add_special = false, .parse_special = true});
    const Ids ids = encode_chat(t, chat, messages, prompt);
    if (name == "special tokens typed") {
      EXPECT_NE(ids, whole);
      // Those of the template alone: bos, and eos after the one answer (none in the Coder template, which spells
      // <|EOT|>).
      EXPECT_EQ(std::count(ids.begin(), ids.end(), 257), 1);
      EXPECT_LE(std::count(ids.begin(), ids.end(), 258), 1);
    } else {
      EXPECT_EQ(ids, whole);
    }
    EXPECT_EQ(t.decode(ids), json::value_to<std::string>(c.at("text")));
    ++n;
  }
  EXPECT_EQ(n, 44u);
}

TEST(AnswerGap, IsWhatAModelWritesBeforeItsMessage) {
  const std::vector<ChatMessage> messages = {{"system", "S"}, {"user", "x"}, {"assistant", ""}, {"user", " "}};
  const std::pair<const char*, const char*> gaps[] = {
      {"deepseek_v2", " "}, {"deepseek_v2_0628", ""}, {"deepseek_v3", ""}, {"deepseek_coder", ""}};
  for (const auto& [name, gap] : gaps) EXPECT_EQ(answer_gap(template_of(name), messages), gap) << name;
  // A template that writes finished turns in another way has none.
  EXPECT_EQ(answer_gap(ChatTemplate::from_source("{% for m in messages %}<{{ m.content }}>{% endfor %}"
                                                 "{% if add_generation_prompt %}now: {% endif %}",
                                                 "", "", "t"),
                       messages),
            "");
}

TEST(EncodeChat, GivesTheIdsOfDeepSeekV2) {
  const auto path = shared_vocab("ggml-vocab-deepseek-llm.gguf");
  if (!path) GTEST_SKIP() << "ggml-vocab-deepseek-llm.gguf not found; set FATHOM_VOCAB_DIR to the folder that holds it";
  const Tokenizer t = Tokenizer::from_vocabulary(GgufVocabularyReader::read(*path), "deepseek-llm");
  const ChatTemplate chat = ChatTemplate::deepseek_v2(kBos, kEos);
  const std::vector<ChatMessage> messages = {{"user", "Hello world"}, {"assistant", "3333"}, {"user", kEos}};
  const Ids ids = encode_chat(t, chat, messages, true);
  // Spec 8.1 and 8.3: User 5726, Assistant 77398, ":" 25, LF 185, the encodings of the contents, one eos for the
  // answer.
  const Ids begin = {100000, 5726, 25, 37727, 1843, 185, 185, 77398, 25, 207, 18, 18, 18, 18, 100001, 5726, 25};
  ASSERT_GT(ids.size(), begin.size() + 4);
  EXPECT_EQ(Ids(ids.begin(), ids.begin() + std::ssize(begin)), begin);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 100001), 1);
  EXPECT_EQ(Ids(ids.end() - 4, ids.end()), (Ids{185, 185, 77398, 25}));
  EXPECT_EQ(t.decode(ids), chat.render(messages, true));
}

}  // namespace
}  // namespace fathom
