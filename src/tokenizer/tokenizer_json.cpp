// tokenizer.json and tokenizer_config.json -> TokenizerParts.
#include <algorithm>
#include <charconv>

#include "base/text/utf8.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {

int32_t id_of_json(const json::value& value, const std::string& where) {
  const int64_t id = value.is_int64() ? value.get_int64() : -1;
  if (id < 0 || id >= static_cast<int64_t>(kMaxTokens))
    throw_bad_input("{}: a token id must be a whole number from 0 to {}; found {}.", where, kMaxTokens - 1,
                    quoted_for_message(json::serialize(value)));
  return static_cast<int32_t>(id);
}

namespace {

// ---- model ----

void read_vocab(const json::object& vocab, const std::string& where, TokenizerParts& parts) {
  if (vocab.size() > kMaxTokens)
    throw_bad_input("{} has {} tokens; fathom reads up to {}.", where, vocab.size(), kMaxTokens);
  parts.spellings.resize(vocab.size());
  std::vector<bool> seen(vocab.size(), false);
  for (const auto& item : vocab) {
    const std::string_view spelling(item.key().data(), item.key().size());
    const auto id = static_cast<size_t>(id_of_json(item.value(), where));
    if (spelling.empty()) throw_bad_input("{}: token {} is empty.", where, id);
    if (id >= vocab.size())
      throw_bad_input("{}: {} has id {}, but there are {} tokens; the ids must be 0 to {} without holes.", where,
                      quoted_for_message(spelling), id, vocab.size(), vocab.size() - 1);
    if (seen[id])
      throw_bad_input("{}: {} and {} both have id {}.", where, quoted_for_message(parts.spellings[id]),
                      quoted_for_message(spelling), id);
    seen[id] = true;
    parts.spellings[id] = spelling;
  }
  parts.n_model = static_cast<int32_t>(vocab.size());
}

// ["left right", ...] or [["left", "right"], ...]
void read_merges(const json::array& merges, const std::string& where, TokenizerParts& parts) {
  if (merges.size() > kMaxTokens)
    throw_bad_input("{} has {} entries; fathom reads up to {}.", where, merges.size(), kMaxTokens);
  const SpellingIndex index(parts.spellings, where);
  parts.merges.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    std::string_view left, right;
    if (const json::string* text = merges[rank].if_string()) {
      std::tie(left, right) = split_merge(std::string_view(*text), rank, where);
    } else {
      const json::array* pair = merges[rank].if_array();
      if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string())
        throw_bad_input("{}: merge {} must be \"left right\" or [\"left\", \"right\"].", where, rank);
      left = (*pair)[0].get_string();
      right = (*pair)[1].get_string();
    }
    parts.merges.push_back(resolve_merge(index, left, right, rank, where));
  }
  check_merges(parts);
}

void refuse_affix(JsonFields& model, std::string_view key) {
  if (!model.maybe_text(key).value_or("").empty()) throw_unsupported("{} is not supported.", model.place(key));
}

void read_model(JsonFields model, TokenizerParts& parts) {
  if (const auto type = model.maybe_text("type").value_or("BPE"); type != "BPE")
    throw_unsupported("{}: the model type is {}; fathom reads BPE.", model.where(), quoted_for_message(type));
  if (const json::value* dropout = model.maybe_value("dropout");
      dropout != nullptr && !(dropout->is_number() && dropout->to_number<double>() == 0))
    throw_unsupported("{} is {}; encoding must not depend on chance.", model.place("dropout"),
                      quoted_for_message(json::serialize(*dropout)));
  refuse_affix(model, "continuing_subword_prefix");
  refuse_affix(model, "end_of_word_suffix");
  model.expect_boolean("byte_fallback", false, false);
  parts.fuse_unk = model.maybe_boolean("fuse_unk").value_or(false);
  parts.ignore_merges = model.maybe_boolean("ignore_merges").value_or(false);
  const auto unk = model.maybe_text("unk_token");
  const JsonFields vocab = model.fields("vocab");
  const json::array& merges = model.array("merges");
  model.refuse_unread();

  read_vocab(vocab.object(), vocab.where(), parts);
  read_merges(merges, model.place("merges"), parts);
  if (unk) {
    const auto it = std::find(parts.spellings.begin(), parts.spellings.end(), *unk);
    if (it == parts.spellings.end())
      throw_bad_input("{}: unk_token {} is not in the vocabulary.", model.where(), quoted_for_message(*unk));
    parts.model_unk = static_cast<int32_t>(it - parts.spellings.begin());
  }
}

// ---- added tokens ----

AddedToken read_added_token(JsonFields entry) {
  entry.expect_boolean("single_word", false, false);
  AddedToken token;
  token.id = id_of_json(entry.value("id"), entry.where());
  token.content = entry.text("content");
  token.lstrip = entry.maybe_boolean("lstrip").value_or(false);
  token.rstrip = entry.maybe_boolean("rstrip").value_or(false);
  token.special = entry.maybe_boolean("special").value_or(false);
  token.normalized = entry.maybe_boolean("normalized").value_or(!token.special);
  entry.refuse_unread();
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
    throw_bad_input("{}: the content of added token {} has {} bytes; needed are 1 to {}.", entry.where(), token.id,
                    token.content.size(), kMaxAddedTokenBytes);
  return token;
}

// Their ids must be those that Hugging Face gives: that of the same text in the vocabulary, or the next free one, in
// the file's order.
void read_added_tokens(JsonFields& root, TokenizerParts& parts) {
  const json::array* found = root.maybe_array("added_tokens");
  if (found == nullptr) return;
  const json::array& list = *found;
  const std::string where = root.place("added_tokens");
  if (list.size() > kMaxTokens)
    throw_bad_input("{} has {} entries; fathom reads up to {}.", where, list.size(), kMaxTokens);
  const std::vector<std::string> model_spellings = parts.spellings;
  const SpellingIndex index(model_spellings, where);
  for (size_t i = 0; i < list.size(); ++i) {
    AddedToken token = read_added_token(root.entry("added_tokens", i));
    const auto known = index.find(token.content);
    const auto expected = known ? *known : static_cast<int32_t>(parts.spellings.size());
    if (token.id != expected)
      throw_bad_input("{}[{}]: {} has id {}; {} {}. Ids must be unique and without holes.", where, i,
                      quoted_for_message(token.content), token.id,
                      known ? "in model.vocab it has id" : "the next free id is", expected);
    if (!known) parts.spellings.push_back(token.content);
    parts.added.push_back(std::move(token));
  }
  SpellingIndex(parts.spellings, where);  // refuses two added tokens with one text
  std::sort(parts.added.begin(), parts.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  const auto twice = std::adjacent_find(parts.added.begin(), parts.added.end(),
                                        [](const auto& a, const auto& b) { return a.id == b.id; });
  if (twice != parts.added.end()) throw_bad_input("{}: {} is listed twice.", where, quoted_for_message(twice->content));
}

// ByteLevel, alone or as the one stage of a Sequence.
void check_decoder(JsonFields decoder) {
  const std::string_view type = decoder.text("type");
  if (type == "Sequence" && decoder.array("decoders").size() == 1) return check_decoder(decoder.entry("decoders", 0));
  if (type != "ByteLevel")
    throw_unsupported("{} of type {} is not supported; known is ByteLevel.", decoder.where(), quoted_for_message(type));
}

}  // namespace

// Flags of tokens that the vocabulary has already, in the form of tokenizer.json's list.
void read_added_token_flags(std::string_view text, const std::string& where, TokenizerParts& parts) {
  const json::value document = parse_json(text, where);
  if (!document.is_array()) throw_bad_input("{} is {}; needed is an array.", where, json_kind_name(document));
  for (const json::value& entry : document.get_array()) {
    const AddedToken token = read_added_token(JsonFields(entry, where));
    for (AddedToken& known : parts.added)
      if (known.id == token.id && known.content == token.content) known = token;
  }
}

namespace {

// ---- tokenizer_config.json ----

// bos_token and the like: null, a string, or an object with the string under "content".
std::optional<int32_t> read_special_token(JsonFields& config, std::string_view key, const SpellingIndex& index) {
  const json::value* value = config.maybe_value(key);
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value->is_object() ? config.fields(key).text("content") : config.text(key);
  if (const auto id = index.find(text)) return id;
  throw_bad_input("{} is {}, which tokenizer.json does not have.", config.place(key), quoted_for_message(text));
}

// transformers lets the config's table of added tokens override the flags of tokenizer.json's.
void read_added_tokens_decoder(JsonFields table, TokenizerParts& parts) {
  for (const auto& item : table.object()) {
    const std::string_view key(item.key());
    JsonFields entry = table.fields(key);
    const std::string_view content = entry.text("content");
    int32_t id = -1;
    std::from_chars(key.data(), key.data() + key.size(), id);
    const auto it = std::lower_bound(parts.added.begin(), parts.added.end(), id,
                                     [](const AddedToken& t, int32_t wanted) { return t.id < wanted; });
    if (it == parts.added.end() || it->id != id || it->content != content)
      throw_bad_input("{} is {}, but tokenizer.json has no such added token with that id.", entry.where(),
                      quoted_for_message(content));
    entry.expect_boolean("single_word", false, false);
    it->lstrip = entry.maybe_boolean("lstrip").value_or(it->lstrip);
    it->rstrip = entry.maybe_boolean("rstrip").value_or(it->rstrip);
    it->normalized = entry.maybe_boolean("normalized").value_or(it->normalized);
    it->special = entry.maybe_boolean("special").value_or(false) || it->special;
  }
}

void read_config(std::string_view text, const std::string& where, TokenizerParts& parts) {
  const json::value document = parse_json(text, where);
  JsonFields config(document, where);
  for (const char* key : {"do_lower_case", "add_prefix_space", "split_special_tokens"})
    config.expect_boolean(key, false, false);
  if (auto table = config.maybe_fields("added_tokens_decoder")) read_added_tokens_decoder(*std::move(table), parts);
  const SpellingIndex index(parts.spellings, where);
  parts.bos = read_special_token(config, "bos_token", index);
  parts.eos = read_special_token(config, "eos_token", index);
  parts.pad = read_special_token(config, "pad_token", index);
  parts.unk = read_special_token(config, "unk_token", index);

  const auto add = [&](const char* flag, const char* name, std::optional<int32_t> id, std::vector<int32_t>& list) {
    const auto wanted = config.maybe_boolean(flag);
    if (!wanted) return;
    list.clear();
    if (!*wanted) return;
    if (!id) throw_bad_input("{}: {} is true but there is no {}.", where, flag, name);
    list = {*id};
  };
  add("add_bos_token", "bos_token", parts.bos, parts.prefix);
  add("add_eos_token", "eos_token", parts.eos, parts.suffix);
}

void read_tokenizer(const json::value& document, const std::string& where, TokenizerParts& parts) {
  JsonFields root(document, where);
  if (const auto version = root.maybe_text("version").value_or("1.0"); version != "1.0")
    throw_unsupported("{}: version {} is not supported; known is 1.0.", where, quoted_for_message(version));
  // Left behind by whoever saved the file from a training loop. transformers switches both off for each call that does
  // not ask for them, and so whole texts are encoded here as there.
  for (const char* key : {"truncation", "padding"})
    if (root.maybe_value(key) != nullptr)
      parts.notes.push_back(fmt::format("{}: {} is set, but texts are neither cut nor padded", where, key));
  if (auto n = root.maybe_fields("normalizer");
      n && (n->text("type") != "Sequence" || !n->array("normalizers").empty()))
    throw_unsupported("{} of type {} is not supported; the DeepSeek tokenizers have none, or an empty Sequence.",
                      n->where(), quoted_for_message(n->text("type")));
  check_decoder(root.fields("decoder"));
  read_pre_tokenizer(root.fields("pre_tokenizer"), parts);
  read_model(root.fields("model"), parts);
  read_added_tokens(root, parts);
  if (auto processor = root.maybe_fields("post_processor")) read_post_processor(*std::move(processor), parts);
  root.refuse_unread();
  for (const auto* ids : {&parts.prefix, &parts.suffix})
    for (const int32_t id : *ids)
      if (static_cast<size_t>(id) >= parts.spellings.size())
        throw_bad_input("{}: the post_processor adds id {}, but there are {} tokens.", where, id,
                        parts.spellings.size());
}

}  // namespace

TokenizerParts parts_from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json,
                               const std::string& where) {
  if (tokenizer_json.size() > kMaxJsonBytes)
    throw_bad_input("{}/tokenizer.json has {} bytes; fathom reads up to {}.", where, tokenizer_json.size(),
                    kMaxJsonBytes);
  TokenizerParts parts;
  parts.where = where;
  read_tokenizer(parse_json(tokenizer_json, where + "/tokenizer.json"), where + "/tokenizer.json", parts);
  if (parts.spellings.empty()) throw_bad_input("{}/tokenizer.json has no tokens.", where);
  if (!tokenizer_config_json.empty()) read_config(tokenizer_config_json, where + "/tokenizer_config.json", parts);
  // Where no config names them, bos and eos are what the template puts around a text.
  if (!parts.bos && parts.prefix.size() == 1) parts.bos = parts.prefix.front();
  if (!parts.eos && parts.suffix.size() == 1) parts.eos = parts.suffix.front();
  return parts;
}

}  // namespace fathom
