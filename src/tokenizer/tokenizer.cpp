#include "tokenizer/tokenizer.h"

#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

// Words up to this many bytes are remembered within one call of encode: real text repeats itself.
constexpr size_t kCachedWordBytes = 48;
constexpr size_t kCachedWords = 1 << 16;

std::vector<AddedToken> added_with(const std::vector<AddedToken>& all, bool normalized) {
  std::vector<AddedToken> out;
  for (const AddedToken& token : all)
    if (token.normalized == normalized) out.push_back(token);
  return out;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts p);

  // Per call of encode.
  struct Encoding {
    std::vector<int32_t> ids;
    PreTokenizer::Scratch pieces;
    BpeModel::Scratch bpe;
    std::vector<int32_t> start;
    std::unordered_map<std::string_view, std::pair<size_t, size_t>>
        words;  // where in ids the tokens of a word stand, and how many
  };
  void encode_text(std::string_view text, Encoding& e) const;
  void encode_word(std::string_view word, Encoding& e) const;
  size_t index_of(int32_t id) const;

  TokenizerParts parts;
  std::vector<std::string> bytes;  // by id
  std::vector<bool> special;       // by id
  std::unordered_map<std::string_view, int32_t> id_by_spelling;
  std::unordered_map<std::string_view, int32_t>
      id_by_word;  // only with ignore_merges: bytes -> token of the BPE vocabulary
  AddedTokenFinder raw_tokens, normalized_tokens;
  PreTokenizer pre_tokenizer;
  BpeModel bpe;
};

namespace {

// In tokenizer.json an added token may be a token of the BPE vocabulary as well; in a GGUF vocabulary it is one or the
// other.
bool in_bpe_vocabulary(const TokenizerParts& parts, int32_t id) {
  if (id >= parts.n_model) return false;
  if (parts.token_types.empty()) return true;
  const auto type = static_cast<TokenType>(parts.token_types[static_cast<size_t>(id)]);
  return type == TokenType::normal || type == TokenType::unused;
}

std::array<int32_t, 256> byte_ids_of(const TokenizerParts& parts) {
  std::array<int32_t, 256> out;
  out.fill(-1);
  for (int32_t id = 0; id < parts.n_model; ++id) {
    const std::string& spelling = parts.spellings[static_cast<size_t>(id)];
    if (spelling.size() > 2 || !in_bpe_vocabulary(parts, id)) continue;
    if (const auto bytes = bytes_of_spelling(spelling); bytes && bytes->size() == 1)
      out[static_cast<uint8_t>((*bytes)[0])] = id;
  }
  return out;
}

}  // namespace

Tokenizer::Impl::Impl(TokenizerParts p)
    : parts(std::move(p)),
      raw_tokens(added_with(parts.added, false)),
      normalized_tokens(added_with(parts.added, true)),
      pre_tokenizer(parts.pre, parts.where),
      bpe(byte_ids_of(parts), parts.merges) {
  special.resize(parts.spellings.size());
  bytes.resize(parts.spellings.size());
  for (const AddedToken& token : parts.added) {
    special[static_cast<size_t>(token.id)] = token.special;
    if (!in_bpe_vocabulary(parts, token.id)) bytes[static_cast<size_t>(token.id)] = token.content;
  }
  id_by_spelling.reserve(parts.spellings.size());
  for (size_t id = 0; id < parts.spellings.size(); ++id) {
    const std::string& spelling = parts.spellings[id];
    id_by_spelling.emplace(spelling, static_cast<int32_t>(id));
    if (bytes[id].empty()) bytes[id] = bytes_of_spelling(spelling).value_or(spelling);
  }
  if (parts.ignore_merges)
    for (int32_t id = 0; id < parts.n_model; ++id) {
      const std::string& spelling = parts.spellings[static_cast<size_t>(id)];
      if (bytes_of_spelling(spelling)) id_by_word.emplace(bytes[static_cast<size_t>(id)], id);
    }
}

size_t Tokenizer::Impl::index_of(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= bytes.size())
    throw_bad_input("token id {} is outside the vocabulary of {}, which has ids 0 to {}.", id, parts.where,
                    bytes.size() - 1);
  return static_cast<size_t>(id);
}

// One word: its bytes' tokens, merged.
void Tokenizer::Impl::encode_word(std::string_view word, Encoding& e) const {
  if (parts.ignore_merges)
    if (const auto whole = id_by_word.find(word); whole != id_by_word.end()) {
      e.ids.push_back(whole->second);
      return;
    }
  if (const auto known = e.words.find(word); known != e.words.end()) {
    for (size_t i = 0; i < known->second.second; ++i) e.ids.push_back(e.ids[known->second.first + i]);
    return;
  }
  e.start.clear();
  bool after_unk = false;
  for (const char c : word) {
    const int32_t id = bpe.byte_id(static_cast<uint8_t>(c));
    if (id < 0 && !parts.model_unk)
      throw_bad_input(
          "{}: the vocabulary has no token for byte 0x{:02X} of the text, and no unk_token. Train it with the whole "
          "byte alphabet.",
          parts.where, static_cast<unsigned>(static_cast<uint8_t>(c)));
    if (!(id < 0 && after_unk && parts.fuse_unk)) e.start.push_back(id < 0 ? *parts.model_unk : id);
    after_unk = id < 0;
  }
  const size_t first = e.ids.size();
  bpe.merge(e.start, e.bpe, e.ids);
  if (word.size() <= kCachedWordBytes && e.words.size() < kCachedWords)
    e.words.emplace(word, std::pair(first, e.ids.size() - first));
}

void Tokenizer::Impl::encode_text(std::string_view text, Encoding& e) const {
  size_t begin = 0;
  for (const uint32_t end : pre_tokenizer.split(text, e.pieces)) {
    encode_word(text.substr(begin, end - begin), e);
    begin = end;
  }
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json,
                               const std::string& where) {
  return Tokenizer(std::make_unique<const Impl>(parts_from_json(tokenizer_json, tokenizer_config_json, where)));
}

Tokenizer Tokenizer::from_vocabulary(VocabularyData vocabulary, const std::string& where) {
  return Tokenizer(std::make_unique<const Impl>(parts_from_vocabulary(std::move(vocabulary), where)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() >= (size_t{1} << 31))
    throw_resource("a text of {} bytes is too long to tokenize at once; the limit is 2 GiB. Cut it into documents.",
                   text.size());
  std::string replaced;
  if (find_invalid_utf8(text) != text.npos) text = replaced = replace_invalid_utf8(text);

  Impl::Encoding e;
  if (options.add_special) e.ids = impl_->parts.prefix;
  impl_->raw_tokens.split(text, options.parse_special, [&](std::string_view piece, int32_t id) {
    if (id >= 0) {
      e.ids.push_back(id);
      return;
    }
    impl_->normalized_tokens.split(piece, options.parse_special, [&](std::string_view part, int32_t part_id) {
      part_id >= 0 ? e.ids.push_back(part_id) : impl_->encode_text(part, e);
    });
  });
  if (options.add_special) e.ids.insert(e.ids.end(), impl_->parts.suffix.begin(), impl_->parts.suffix.end());
  return std::move(e.ids);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string out;
  for (const int32_t id : ids) {
    const size_t i = impl_->index_of(id);
    if (!(options.skip_special && impl_->special[i])) out += impl_->bytes[i];
  }
  return options.replace_invalid ? replace_invalid_utf8(out) : out;
}

std::string_view Tokenizer::token_bytes(int32_t id) const { return impl_->bytes[impl_->index_of(id)]; }
const std::string& Tokenizer::token_spelling(int32_t id) const { return impl_->parts.spellings[impl_->index_of(id)]; }
bool Tokenizer::is_special(int32_t id) const { return impl_->special[impl_->index_of(id)]; }

std::string Tokenizer::token_text(int32_t id) const {
  const std::string quoted = quoted_for_message(token_bytes(id), SIZE_MAX);
  return quoted.substr(1, quoted.size() - 2);
}

int32_t Tokenizer::n_tokens() const noexcept { return static_cast<int32_t>(impl_->bytes.size()); }
std::optional<int32_t> Tokenizer::bos() const noexcept { return impl_->parts.bos; }
std::optional<int32_t> Tokenizer::eos() const noexcept { return impl_->parts.eos; }
std::optional<int32_t> Tokenizer::pad() const noexcept { return impl_->parts.pad; }
std::optional<int32_t> Tokenizer::unk() const noexcept { return impl_->parts.unk; }
bool Tokenizer::adds_bos() const noexcept {
  return !impl_->parts.prefix.empty() && impl_->parts.bos == impl_->parts.prefix.front();
}
bool Tokenizer::adds_eos() const noexcept {
  return !impl_->parts.suffix.empty() && impl_->parts.eos == impl_->parts.suffix.back();
}

std::optional<int32_t> Tokenizer::id_of(std::string_view spelling) const {
  const auto it = impl_->id_by_spelling.find(spelling);
  return it == impl_->id_by_spelling.end() ? std::nullopt : std::optional(it->second);
}

const TokenizerParts& Tokenizer::parts() const noexcept { return impl_->parts; }

std::string StreamDecoder::push(int32_t id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  held_ += bytes;
  const size_t complete = held_.size() - unfinished_utf8_tail(held_);
  std::string out = replace_invalid_utf8(std::string_view(held_).substr(0, complete));
  held_.erase(0, complete);
  return out;
}

std::string StreamDecoder::flush() { return replace_invalid_utf8(std::exchange(held_, {})); }

}  // namespace fathom
