// Texts that break tokenizers: long runs, broken UTF-8, spelled special tokens, ids from nowhere (groups B8 to B11).
#include <gtest/gtest.h>
#include <pthread.h>

#include "base/error.h"
#include "base/random.h"
#include "base/text/utf8.h"
#include "small_tokenizers.h"
#include "support/errors.h"

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;
constexpr size_t kMiB = size_t{1} << 20;

std::string repeated(std::string_view unit, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += unit;
  return out;
}

// Runs `work` on a thread with a stack of 256 KiB: recursion by the input would end the program.
void on_small_stack(void (*work)()) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* f) -> void* {
                  (*static_cast<void (**)()>(f))();
                  return nullptr;
                },
                &work),
            0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

void expect_round_trip(const char* name, std::initializer_list<const char*> units, size_t bytes) {
  const Tokenizer t = golden_tokenizer(name);
  for (const char* unit : units) {
    const std::string text = repeated(unit, bytes);
    EXPECT_EQ(t.decode(t.encode(text, {.add_special = false, .parse_special = true})), text) << name << " " << unit;
  }
}

// A time that grows with the square of these lengths would be hours: that the test ends shows that it does not.
TEST(HardText, LongRunsTakeLinearTimeAndConstantStack) {
  on_small_stack([] {
    expect_round_trip("v2", {"e", " ", "\u200d"}, kMiB);
    expect_round_trip("v3", {"\n"}, kMiB);
    for (const char* name : {"v2", "coder", "v3", "gpt2"})
      expect_round_trip(name, {"A",      "Z",      ".",      "=",      " ",      " \n",        "\r\n",   "7",
                               "\u4e00", "\u3042", "\uac00", "\u0301", "\u0e33", "\U0001f600", "\u200d", "aB",
                               "e ",     "'",      "'s",     "\t",     "\u3000", "<",          "<\uff5c"},
                        kMiB / 16);
  });
}

TEST(HardText, WhiteSpaceThatSpecialTokensTakeAlongIsLookedAtOnce) {
  const Tokenizer t = golden_tokenizer("v3");  // <b> takes space on both sides
  const std::string text = repeated("<b>  ", kMiB / 8) + std::string(kMiB, ' ') + "<b>" + std::string(kMiB, ' ');
  const Ids ids = t.encode(text, {.add_special = false, .parse_special = true});
  EXPECT_EQ(ids.size(), (kMiB / 8 + 4) / 5 + 1);
}

TEST(HardText, BrokenUtf8IsReadAsReplacementCharacters) {
  const Tokenizer t = golden_tokenizer("coder");
  for (const char* bytes :
       {"\xFF", "\xC0\x80", "a\xF1\x80\x80\xE1\x80\xC2z", "\xED\xA0\x80 \xF5", "\xE4\xB8", " \x80", "\x80 x"}) {
    const Ids ids = t.encode(bytes);
    EXPECT_EQ(ids, t.encode(replace_invalid_utf8(bytes)));
    EXPECT_EQ(t.decode(ids, {.skip_special = true}), replace_invalid_utf8(bytes));
  }
  std::string noise(kMiB, '\0');
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(philox(3, 0, i)[0]);
  EXPECT_EQ(t.decode(t.encode(noise, {.add_special = false})), replace_invalid_utf8(noise));
}

TEST(HardText, OddCharactersSurvive) {
  const Tokenizer t = golden_tokenizer("v2");
  const std::string zero(1, '\0');
  for (const std::string& text :
       {zero, zero + zero + "a" + zero, std::string("\ufffe\uffff\ufeff"), std::string("\u202e\u2066x\u2069"),
        repeated("\u0301", 20000), std::string("\U0010ffff")})
    EXPECT_EQ(t.decode(t.encode(text, {.add_special = false})), text);
}

TEST(SpecialTokensInText, AreTextUnlessAsked) {
  const Tokenizer t = golden_tokenizer("v2");
  const std::string eos = "<\uff5cend\u2581of\u2581sentence\uff5c>", text = "a" + eos + "b";
  const int32_t id = *t.eos();
  const Ids as_text = t.encode(text, {.add_special = false}),
            parsed = t.encode(text, {.add_special = false, .parse_special = true});
  EXPECT_EQ(std::count(as_text.begin(), as_text.end(), id), 0);
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), id), 1);
  EXPECT_EQ(parsed.size(), 3u);
  EXPECT_EQ(t.decode(as_text), text);
  EXPECT_EQ(t.decode(parsed), text);
  EXPECT_EQ(t.decode(parsed, {.skip_special = true}), "ab");
  const Ids with_fim = t.encode("<\uff5cfim\u2581hole\uff5c>", {.add_special = false});
  EXPECT_EQ(with_fim, Ids{*t.id_of("<\uff5cfim\u2581hole\uff5c>")})
      << "an added token that is not special is always found";
}

void expect_refused(const std::function<void()>& call, const std::string& because) {
  EXPECT_TRUE(test::contains(test::error_of(call, ErrorKind::bad_input), because));
}

TEST(Ids, OutsideTheVocabularyAreRefused) {
  const Tokenizer t = golden_tokenizer("v2");
  for (const int32_t id : {-1, t.n_tokens(), INT32_MAX, INT32_MIN}) {
    expect_refused([&] { t.decode(Ids{0, id}); }, std::to_string(id));
    expect_refused([&] { t.token_bytes(id); }, "outside the vocabulary");
    expect_refused([&] { t.token_text(id); }, "outside the vocabulary");
    expect_refused([&] { t.is_special(id); }, "outside the vocabulary");
    expect_refused([&] { StreamDecoder(t).push(id); }, "outside the vocabulary");
  }
  EXPECT_EQ(t.decode(Ids(1000000, *t.id_of("e"))), std::string(1000000, 'e'));
}

TEST(Ids, OfBytesThatAreNoUtf8DecodeToThoseBytes) {
  const Tokenizer t = golden_tokenizer("coder");
  std::vector<int32_t> by_byte(256);
  for (int32_t id = 0; id < 256; ++id) by_byte[static_cast<uint8_t>(t.token_bytes(id)[0])] = id;
  const Ids ids = {by_byte[0x61], by_byte[0xF1], by_byte[0x80], by_byte[0x62], by_byte[0xFF]};
  EXPECT_EQ(t.decode(ids),
            "a\xF1\x80"
            "b\xFF");
  EXPECT_EQ(t.decode(ids, {.replace_invalid = true}),
            "a\ufffd"
            "b\ufffd");
  EXPECT_EQ(t.token_text(by_byte[0xFF]), "\\xFF");
  EXPECT_EQ(t.token_text(by_byte[0x0A]), "\\x0A");
}

TEST(Stream, GivesWholeCharactersAndInTheEndTheTextOfDecode) {
  const Tokenizer t = golden_tokenizer("coder");
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Ids ids;
    for (uint64_t i = 0; i < 300; ++i) {
      const auto random = philox(seed, 1, i);
      if (seed % 2 == 0) {  // any tokens: mostly ill-formed
        ids.push_back(static_cast<int32_t>(random[0] % static_cast<uint32_t>(t.n_tokens())));
      } else {  // characters cut into tokens, some of them cut off
        std::string c;
        append_utf8(c, random[0] >> (random[1] % 3 * 6 + 11));
        for (const int32_t id : t.encode(c, {.add_special = false})) ids.push_back(id);
        if (random[2] % 16 == 0) ids.pop_back();
      }
    }
    StreamDecoder stream(t);
    std::string got, bytes;
    for (const int32_t id : ids) {
      const std::string piece = stream.push(id);
      EXPECT_EQ(find_invalid_utf8(piece), std::string::npos);
      got += piece;
      bytes += t.token_bytes(id);
      EXPECT_EQ(got,
                replace_invalid_utf8(std::string_view(bytes).substr(0, bytes.size() - unfinished_utf8_tail(bytes))));
    }
    got += stream.flush();
    EXPECT_EQ(got, t.decode(ids, {.replace_invalid = true}));
    EXPECT_EQ(stream.flush(), "");
  }
}

TEST(Bytes, WithoutATokenAreRefusedWhereTheFileHasNoUnk) {
  std::string without = golden_file("unk.tokenizer.json");
  const std::string unk = "\"unk_token\":\"<unk>\"";
  ASSERT_NE(without.find(unk), std::string::npos);
  without.replace(without.find(unk), unk.size(), "\"unk_token\":null");
  const Tokenizer t = Tokenizer::from_json(without, "", "unk");
  EXPECT_EQ(t.decode(t.encode("the weights")), "the weights");
  expect_refused([&] { t.encode("the \x01"); }, "no token for byte 0x01");
}

}  // namespace
}  // namespace fathom
