#include "tokenizer/pretokenize.h"

#include <utility>

#include "base/error.h"

namespace fathom {
namespace {

PreTokenizerStage split(std::string_view pattern) {
  return {.kind = PreTokenizerStage::Kind::split, .pattern = std::string(pattern)};
}
PreTokenizerStage each_digit() {
  return {.kind = PreTokenizerStage::Kind::digits, .pattern = {}, .individual_digits = true};
}

// Source: the tokenizer.json files of the models (docs of the family: DeepSeek-V2's is that of deepseek-llm). llama.cpp
// has \p{N}+ for the digits of deepseek-llm; no token joins two of them, so the ids are the same.
PreTokenizerSpec deepseek_llm() {
  return {{split(kNewlinePattern), split(kCasedLettersPattern), split(kPunctuationPattern),
           split(kTrailingSpacePattern), split(kCjkPattern), each_digit()}};
}
PreTokenizerSpec deepseek_coder() {
  return {{split(kNewlinePattern), split(kCoderLettersPattern), split(kCoderPunctuationPattern), split(kCjkPattern),
           each_digit()}};
}
PreTokenizerSpec deepseek_v3() { return {{split(kThreeNumbersPattern), split(kV3CjkPattern), split(kV3Pattern)}}; }
PreTokenizerSpec gpt2() { return {.stages = {}, .byte_level_regex = true}; }

// The first name of each row is the one we write. Source of the aliases: llama.cpp, src/llama-vocab.cpp, where
// tokenizer.ggml.pre is read.
struct NamedPreTokenizer {
  PreTokenizerSpec (*make)();
  std::vector<std::string_view> names;
};
const std::vector<NamedPreTokenizer>& named_pre_tokenizers() {
  static const std::vector<NamedPreTokenizer> table = {
      {deepseek_llm, {"deepseek-llm"}},
      {deepseek_coder, {"deepseek-coder"}},
      {deepseek_v3, {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"}},
      {gpt2,
       {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
        "modern-bert"}},
  };
  return table;
}

// GPT-2's pattern as a Split stage says the same as the flag of ByteLevel.
PreTokenizerSpec normal_form(PreTokenizerSpec spec) {
  if (!spec.stages.empty() && spec.stages.back() == split(kGpt2Pattern)) {
    spec.stages.pop_back();
    spec.byte_level_regex = true;
  }
  return spec;
}

}  // namespace

PreTokenizerSpec pre_tokenizer_of_name(std::string_view pre, const std::string& where) {
  for (const NamedPreTokenizer& row : named_pre_tokenizers())
    for (const std::string_view name : row.names)
      if (name == pre) return row.make();
  throw_unsupported(
      "{}: tokenizer.ggml.pre is {}; fathom knows deepseek-llm (DeepSeek LLM, MoE, V2, Coder-V2), deepseek-coder, "
      "deepseek-v3 and gpt-2. "
      "Guessing would change the tokens; convert the model again with a current converter if the name is missing.",
      where, quoted_for_message(pre));
}

std::string name_of_pre_tokenizer(const PreTokenizerSpec& spec) {
  const PreTokenizerSpec plain = normal_form(spec);
  for (const NamedPreTokenizer& row : named_pre_tokenizers())
    if (row.make() == plain) return std::string(row.names.front());
  return {};
}

PreTokenizer::PreTokenizer(const PreTokenizerSpec& spec, const std::string& where) {
  for (const PreTokenizerStage& stage : spec.stages) {
    if (stage.kind == PreTokenizerStage::Kind::digits) {
      scanners_.push_back({stage.individual_digits ? Scanner::Kind::each_digit : Scanner::Kind::digits, {}});
    } else {
      scanners_.push_back(compile_split_pattern(stage.pattern, where));
    }
  }
  if (spec.byte_level_regex) scanners_.push_back({Scanner::Kind::gpt2, {}});
}

namespace {

// Cuts [begin, end) into matches and what is between them; appends where the pieces end.
template <class S>
void cut(const S& scanner, const CharText& text, size_t begin, size_t end, std::vector<uint32_t>& ends) {
  size_t start = begin;  // of the piece that is open
  for (size_t at = begin; at < end;) {
    const ScanResult found = scanner.scan(text, at, end);
    if (found.length == 0) {
      at += found.skip;
      continue;
    }
    if (start < at) ends.push_back(static_cast<uint32_t>(at));
    at += found.length;
    ends.push_back(static_cast<uint32_t>(at));
    start = at;
  }
  if (start < end) ends.push_back(static_cast<uint32_t>(end));
}

// One stage: every piece cut again.
template <class S>
void cut_all(const S& scanner, const CharText& text, const std::vector<uint32_t>& ends, std::vector<uint32_t>& out) {
  size_t begin = 0;
  for (const uint32_t end : ends) {
    cut(scanner, text, begin, end, out);
    begin = end;
  }
}

}  // namespace

const std::vector<uint32_t>& PreTokenizer::split(std::string_view text, Scratch& scratch) const {
  scratch.text.assign(text);
  scratch.ends.clear();
  if (!text.empty()) scratch.ends.push_back(static_cast<uint32_t>(scratch.text.size()));
  for (const Scanner& scanner : scanners_) {
    scratch.next.clear();
    const auto with = [&](const auto& s) { cut_all(s, scratch.text, scratch.ends, scratch.next); };
    using enum Scanner::Kind;
    switch (scanner.kind) {
      case run:
        with(scanner.run);
        break;
      case trailing_space:
        with(TrailingSpaceScanner{});
        break;
      case gpt2:
        with(Gpt2Scanner{});
        break;
      case deepseek_v3:
        with(DeepSeekV3Scanner{});
        break;
      case digits:
        with(DigitsScanner{.individual = false});
        break;
      case each_digit:
        with(DigitsScanner{.individual = true});
        break;
    }
    std::swap(scratch.ends, scratch.next);
  }
  for (uint32_t& end : scratch.ends) end = scratch.text.offsets[end];
  return scratch.ends;
}

}  // namespace fathom
