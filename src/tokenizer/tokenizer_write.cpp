// Tokenizer -> GGUF vocabulary, tokenizer.json, tokenizer_config.json.
#include <algorithm>

#include "base/error.h"
#include "base/json/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

std::string merge_text(const TokenizerParts& p, const BpeMerge& merge) {
  return p.spellings[static_cast<size_t>(merge.left)] + " " + p.spellings[static_cast<size_t>(merge.right)];
}

// Tokens that are meant to be special although tokenizer.json does not say so (DeepSeek's FIM and role tokens).
// Source: does_token_look_special of llama.cpp's converter, as far as it concerns this family.
bool looks_special(std::string_view text) {
  const auto enclosed = [&](std::string_view open, std::string_view close) {
    return text.size() >= open.size() + close.size() && text.starts_with(open) && text.ends_with(close);
  };
  return text == "<pad>" || enclosed("<|", "|>") || enclosed("<\uff5c", "\uff5c>");
}

std::vector<int32_t> make_token_types(const TokenizerParts& p) {
  std::vector<int32_t> types(p.spellings.size(), static_cast<int32_t>(TokenType::normal));
  for (const AddedToken& token : p.added) {
    const bool control = token.special || looks_special(token.content);
    types[static_cast<size_t>(token.id)] = static_cast<int32_t>(control ? TokenType::control : TokenType::user_defined);
  }
  return types;
}

json::value added_token_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", false},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

// The added tokens that a reader of `types` alone would take for others (VocabularyData::added_tokens).
std::string added_token_flags(const TokenizerParts& p, const std::vector<int32_t>& types) {
  json::array out;
  for (const AddedToken& token : p.added) {
    const auto type = static_cast<TokenType>(types[static_cast<size_t>(token.id)]);
    if (token.normalized || token.special != is_special_in_gguf(type, token.content))
      out.push_back(added_token_json(token));
  }
  return out.empty() ? std::string() : json::serialize(out);
}

// bos and eos as a TemplateProcessing; without either, the ByteLevel that DeepSeek's files have.
json::value post_processor_json(const TokenizerParts& p) {
  if (p.prefix.empty() && p.suffix.empty())
    return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  json::object table;
  const auto pieces = [&](const char* sequence, int type_id) {
    json::array out;
    const auto add = [&](const std::vector<int32_t>& ids) {
      for (const int32_t id : ids) {
        const std::string& text = p.spellings[static_cast<size_t>(id)];
        table[text] = {{"id", text}, {"ids", json::array{id}}, {"tokens", json::array{text}}};
        out.emplace_back(json::object{{"SpecialToken", {{"id", text}, {"type_id", type_id}}}});
      }
    };
    add(p.prefix);
    out.emplace_back(json::object{{"Sequence", {{"id", sequence}, {"type_id", type_id}}}});
    add(p.suffix);
    return out;
  };
  const json::array single = pieces("A", 0);
  json::array pair = single;
  for (json::value& piece : pieces("B", 1)) pair.push_back(piece);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(table)}};
}

json::value model_json(const TokenizerParts& p) {
  json::object vocab;
  const auto n_vocab = static_cast<size_t>(p.n_model);
  vocab.reserve(n_vocab);
  for (size_t id = 0; id < n_vocab; ++id) vocab.emplace(p.spellings[id], static_cast<int64_t>(id));
  json::array merges;
  merges.reserve(p.merges.size());
  for (const BpeMerge& merge : p.merges) {
    const std::string &left = p.spellings[static_cast<size_t>(merge.left)],
                      &right = p.spellings[static_cast<size_t>(merge.right)];
    merges.push_back(json::array{left, right});
  }
  const bool plain = std::none_of(p.merges.begin(), p.merges.end(), [&](const BpeMerge& m) {
    return p.spellings[static_cast<size_t>(m.result)].find(' ') != std::string::npos;
  });
  if (plain)  // the older form, which every version reads
    for (size_t i = 0; i < merges.size(); ++i) merges[i] = merge_text(p, p.merges[i]);
  json::value unk = nullptr;
  if (p.model_unk) unk = p.spellings[static_cast<size_t>(*p.model_unk)];
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unk},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", p.fuse_unk},
          {"byte_fallback", false},
          {"ignore_merges", p.ignore_merges},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

// Added tokens by id; ids past the BPE vocabulary that are neither (UNUSED between added tokens) become added tokens
// too, since Hugging Face numbers added tokens without holes.
json::array added_tokens_json(const TokenizerParts& p) {
  json::array out;
  auto next = p.added.begin();
  for (size_t id = 0; id < p.spellings.size(); ++id) {
    if (next != p.added.end() && static_cast<size_t>(next->id) == id) {
      out.push_back(added_token_json(*next++));
    } else if (id >= static_cast<size_t>(p.n_model)) {
      out.push_back(added_token_json({.id = static_cast<int32_t>(id), .content = p.spellings[id], .special = true}));
    }
  }
  return out;
}

}  // namespace

VocabularyData to_vocabulary(const Tokenizer& tokenizer, int32_t n_rows) {
  const TokenizerParts& p = tokenizer.parts();
  VocabularyData v;
  v.pre = name_of_pre_tokenizer(p.pre);
  if (v.pre.empty())
    throw_unsupported(
        "{}: no GGUF name (tokenizer.ggml.pre) stands for this pre-tokenizer; the known are deepseek-llm, "
        "deepseek-coder, "
        "deepseek-v3 and gpt-2.",
        p.where);
  if (p.ignore_merges) throw_unsupported("{}: ignore_merges cannot be said in a GGUF vocabulary.", p.where);
  if (std::any_of(p.added.begin(), p.added.end(), [](const AddedToken& t) { return t.lstrip || t.rstrip; }))
    throw_unsupported("{}: lstrip and rstrip of added tokens cannot be said in a GGUF vocabulary.", p.where);
  for (const AddedToken& token : p.added)
    if (const auto bytes = bytes_of_spelling(token.content);
        token.id < p.n_model && p.token_types.empty() && bytes && bytes->size() == 1)
      throw_unsupported(
          "{}: {} is a byte of the vocabulary and an added token; in a GGUF vocabulary it can be only one of them.",
          p.where, quoted_for_message(token.content));
  const bool own = p.prefix.size() <= 1 && p.suffix.size() <= 1 && (p.prefix.empty() || tokenizer.adds_bos()) &&
                   (p.suffix.empty() || tokenizer.adds_eos());
  if (!own)
    throw_unsupported("{}: the post_processor adds more than bos and eos, which a GGUF vocabulary cannot say.",
                      p.where);

  v.tokens = p.spellings;
  v.token_types = p.token_types.empty() ? make_token_types(p) : p.token_types;
  for (const BpeMerge& merge : p.merges) {
    v.merges.push_back(merge_text(p, merge));
    split_merge(v.merges.back(), v.merges.size() - 1, p.where);
  }
  v.added_tokens = added_token_flags(p, v.token_types);
  if (n_rows > 0 && static_cast<size_t>(n_rows) < v.tokens.size())
    throw_bad_input("{}: the vocabulary has {} tokens, but the model has only {} rows of embeddings.", p.where,
                    v.tokens.size(), n_rows);
  for (int32_t id = tokenizer.n_tokens(); id < n_rows; ++id) {
    v.tokens.push_back(fmt::format("[PAD{}]", id));
    v.token_types.push_back(static_cast<int32_t>(TokenType::unused));
  }
  v.bos = p.bos;
  v.eos = p.eos;
  v.pad = p.pad;
  v.unk = p.unk;
  v.add_bos = !p.prefix.empty();
  v.add_eos = !p.suffix.empty();
  return v;
}

std::string to_tokenizer_json(const Tokenizer& tokenizer) {
  const TokenizerParts& p = tokenizer.parts();
  const json::value document = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens_json(p)},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", json::array{}}}},
      {"pre_tokenizer", write_pre_tokenizer(p)},
      {"post_processor", post_processor_json(p)},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model", model_json(p)}};
  return to_pretty_json(document);
}

std::string to_tokenizer_config_json(const Tokenizer& tokenizer, std::string_view chat_template) {
  json::object config;
  // The class that takes tokenizer.json as it is; LlamaTokenizerFast, which DeepSeek's files name, rebuilds parts of
  // it.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  // Said only where it says all: the template of tokenizer.json holds whatever else is added.
  const TokenizerParts& p = tokenizer.parts();
  if (p.prefix.size() <= 1 && p.prefix.empty() != tokenizer.adds_bos()) config["add_bos_token"] = tokenizer.adds_bos();
  if (p.suffix.size() <= 1 && p.suffix.empty() != tokenizer.adds_eos()) config["add_eos_token"] = tokenizer.adds_eos();
  config["clean_up_tokenization_spaces"] = false;
  const std::pair<const char*, std::optional<int32_t>> tokens[] = {{"bos_token", tokenizer.bos()},
                                                                   {"eos_token", tokenizer.eos()},
                                                                   {"pad_token", tokenizer.pad()},
                                                                   {"unk_token", tokenizer.unk()}};
  for (const auto& [key, id] : tokens)
    if (id) config[key] = tokenizer.token_spelling(*id);
  if (!chat_template.empty()) config["chat_template"] = json::string(chat_template);
  return to_pretty_json(config);
}

}  // namespace fathom
