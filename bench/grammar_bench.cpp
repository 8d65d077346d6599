// What a mask of the allowed tokens costs (src/grammar/), with the vocabulary of a model.
//
//     build/release/grammar_bench VOCABULARY      a GGUF file or a folder with tokenizer.json
//
// For each grammar, a text is written under it token by token, as the vocabulary cuts it. Columns: compiling the
// grammar; then, in microseconds of the thread's CPU time, the mask of a position that no text has been at (mean and
// worst over the text), the same once it is known, and going on by a token. The text is written through anew, with a
// grammar compiled anew, kRounds times; of each place of the text the fastest counts.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "base/error.h"
#include "grammar/matcher.h"
#include "load/text.h"

namespace fathom::bench {
namespace {

constexpr int kRounds = 5;

struct Case {
  const char* what;
  std::shared_ptr<const Grammar> (*compile)();
  std::string text;
};

const char* const kSchema = R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},
  "address":{"type":"object","properties":{"street":{"type":"string","maxLength":200},"zip":{"type":"string","pattern":"^[0-9]{5}$"}},
  "required":["street","zip"]},"tags":{"type":"array","items":{"enum":["red","green","blue"]}},"notes":{}},
  "required":["name","age","address","tags","notes"],"additionalProperties":false})";

std::vector<Case> cases() {
  return {
      {"JSON object", [] { return Grammar::json_object(); },
       R"({"name": "Ada Lovelace, Gräfin", "born": 1815, "fields": ["mathematics", {"of": "engines", "x": null}]})"},
      {"schema", [] { return Grammar::from_json_schema(kSchema); },
       R"({"name": "Ada Lovelace", "age": 36, "address": {"street": "12 St James's Square", "zip": "12345"}, )"
       R"("tags": ["red", "blue"], "notes": {"a": ["free text 数学", 1.5e3]}})"},
      {"arithmetic (GBNF)",
       [] {
         return Grammar::from_gbnf(
             "root ::= sum\nsum ::= term ([-+] term)*\nterm ::= atom ([*/] atom)*\natom ::= [0-9]+ | \"(\" sum \")\"");
       },
       "(12+345)*6789/(1-(2+3))"},
      {"any text (regex)", [] { return Grammar::from_regex("[^a](.|\\n)*"); }, "Some text, about 100 bytes.\nMore.\n"},
      {"ambiguous (GBNF)",
       [] { return Grammar::from_gbnf("root ::= w*\nw ::= [a-z]+ \" \"? | [a-z ]+ | \"(\" w w? \")\""); },
       "many ways to read (this) one"}};
}

double cpu_microseconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
}
template <class Fn>
double cost_of(Fn&& fn) {
  const double begin = cpu_microseconds();
  fn();
  return cpu_microseconds() - begin;
}

void run(const Case& c, const Tokenizer& tokenizer, const std::shared_ptr<const TokenTrie>& trie) {
  const std::vector<int32_t> ids = tokenizer.encode(c.text, {.add_special = false});
  double compiling = 1e9, known = 1e9, accepting = 1e9;
  std::vector<double> unseen(ids.size(), 1e9);
  for (int round = 0; round < kRounds; ++round) {
    std::shared_ptr<const Grammar> grammar;
    compiling = std::min(compiling, cost_of([&] { grammar = c.compile(); }));
    Matcher first(grammar, trie), second(grammar, trie);
    double accepts = 0, again = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      unseen[i] = std::min(unseen[i], cost_of([&] { first.allowed(); }));
      again += cost_of([&] { second.allowed(); });
      if (!first.accept(ids[i])) throw_bad_input("{}: token {} of the text is not allowed", c.what, i);
      accepts += cost_of([&] { second.accept(ids[i]); });
    }
    known = std::min(known, again / static_cast<double>(ids.size()));
    accepting = std::min(accepting, accepts / static_cast<double>(ids.size()));
  }
  double sum = 0;
  for (const double u : unseen) sum += u;
  fmt::print("{:<20} {:>8.0f} {:>10.0f} {:>10.0f} {:>8.2f} {:>8.2f}\n", c.what, compiling,
             sum / static_cast<double>(ids.size()), *std::max_element(unseen.begin(), unseen.end()), known, accepting);
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) {
  using namespace fathom;
  if (argc != 2) {
    fmt::print(stderr, "usage: grammar_bench VOCABULARY (a GGUF file or a folder with tokenizer.json)\n");
    return 2;
  }
  try {
    const Tokenizer tokenizer = load_tokenizer(std::filesystem::path(argv[1]));
    std::vector<std::string> bytes;
    for (int32_t id = 0; id < tokenizer.n_tokens(); ++id)
      bytes.emplace_back(tokenizer.is_special(id) ? std::string_view() : tokenizer.token_bytes(id));
    std::vector<int32_t> ends;
    if (tokenizer.eos()) ends.push_back(*tokenizer.eos());
    const auto trie = std::make_shared<const TokenTrie>(bytes, ends);
    fmt::print("{} tokens, {} prefixes\n", trie->n_ids(), trie->nodes().size());
    fmt::print("{:<20} {:>8} {:>10} {:>10} {:>8} {:>8}   us\n", "", "compile", "unseen", "worst", "known", "accept");
    for (const bench::Case& c : bench::cases()) bench::run(c, tokenizer, trie);
  } catch (const Error& e) {
    fmt::print(stderr, "grammar_bench: {}\n", e.what());
    return 2;
  }
}
