#include "data/manifest.h"

#include <cmath>

#include "base/json/json_fields.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

constexpr const char* kFormat = "fathom-token-data";
constexpr uint64_t kVersion = 1;
constexpr uint64_t kMaxCount = uint64_t{1} << 53;  // exact in every JSON reader; sums of two stay far from overflow

json::value side_json(const ManifestSide& side) {
  json::array shards;
  for (const ManifestShard& s : side.shards)
    shards.push_back({{"file", s.file},
                      {"documents", s.documents},
                      {"tokens", s.tokens},
                      {"bytes", s.bytes},
                      {"file_size", s.file_size},
                      {"checksum", hash_text(s.checksum)}});
  return {{"documents", side.documents()},
          {"tokens", side.tokens()},
          {"bytes", side.bytes()},
          {"shards", std::move(shards)}};
}

json::value source_json(const ManifestSource& s) {
  json::array files;
  for (const ManifestFile& f : s.files)
    files.push_back({{"path", f.path}, {"size", f.size}, {"xxh64", hash_text(f.hash)}});
  return {{"name", s.name},
          {"path", s.path},
          {"weight", s.weight},
          {"files", std::move(files)},
          {"duplicates", s.duplicates},
          {"empty", s.empty},
          {"skipped_invalid_utf8", s.skipped_invalid},
          {"repaired_utf8", s.repaired},
          {"bad_records", s.bad_records},
          {"not_text", s.not_text},
          {"held_out_by_pieces", s.held_out_by_pieces},
          {"train", side_json(s.train)},
          {"held_out", side_json(s.held_out)}};
}

uint64_t count_of(JsonFields& o, std::string_view key, uint64_t limit = kMaxCount) {
  const json::value& value = o.value(key);
  const bool whole = value.is_uint64() || (value.is_int64() && value.get_int64() >= 0);
  const uint64_t n = !whole ? 0 : value.is_uint64() ? value.get_uint64() : static_cast<uint64_t>(value.get_int64());
  if (!whole || n > limit) o.refuse_type(key, fmt::format("a whole number from 0 to {}", limit), value);
  return n;
}

// Of a key that came later: older folders do not have it.
uint64_t later_count_of(JsonFields& o, std::string_view key) {
  return o.maybe_value(key) == nullptr ? 0 : count_of(o, key);
}

uint64_t hash_of(JsonFields& o, std::string_view key) {
  uint64_t hash = 0;
  if (!parse_hash(o.text(key), hash)) throw_bad_input("{} is not a hash of 16 hexadecimal digits", o.place(key));
  return hash;
}

// A name inside the folder: nothing that leads out of it.
std::string file_name_of(JsonFields& o, std::string_view key) {
  std::string name(o.text(key));
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    throw_bad_input("{} is {}; needed is the name of a file in the same folder", o.place(key),
                    quoted_for_message(name));
  return name;
}

ManifestSide read_side(JsonFields o) {
  ManifestSide side;
  const size_t n = o.array("shards").size();
  for (size_t i = 0; i < n; ++i) {
    JsonFields s = o.entry("shards", i);
    side.shards.push_back({.file = file_name_of(s, "file"),
                           .documents = count_of(s, "documents"),
                           .tokens = count_of(s, "tokens"),
                           .bytes = count_of(s, "bytes"),
                           .file_size = count_of(s, "file_size"),
                           .checksum = hash_of(s, "checksum")});
    s.refuse_unread();
  }
  if (count_of(o, "documents") != side.documents() || count_of(o, "tokens") != side.tokens() ||
      count_of(o, "bytes") != side.bytes())
    throw_bad_input("{}: the counts are not the sums of those of the shards; was the file edited?", o.where());
  o.refuse_unread();
  return side;
}

ManifestSource read_source(JsonFields o) {
  ManifestSource s;
  s.name = o.text("name");
  s.path = o.text("path");
  s.weight = o.number("weight");
  if (!(s.weight > 0) || !std::isfinite(s.weight)) throw_bad_input("{} is not above 0", o.place("weight"));
  const size_t n = o.array("files").size();
  for (size_t i = 0; i < n; ++i) {
    JsonFields f = o.entry("files", i);
    s.files.push_back({.path = std::string(f.text("path")), .size = count_of(f, "size"), .hash = hash_of(f, "xxh64")});
    f.refuse_unread();
  }
  s.duplicates = count_of(o, "duplicates");
  s.empty = count_of(o, "empty");
  s.skipped_invalid = count_of(o, "skipped_invalid_utf8");
  s.repaired = count_of(o, "repaired_utf8");
  s.bad_records = later_count_of(o, "bad_records");
  s.not_text = later_count_of(o, "not_text");
  s.held_out_by_pieces = later_count_of(o, "held_out_by_pieces");
  s.train = read_side(o.fields("train"));
  s.held_out = read_side(o.fields("held_out"));
  o.refuse_unread();
  return s;
}

template <class Field>
uint64_t sum(const std::vector<ManifestShard>& shards, Field field) noexcept {
  uint64_t total = 0;
  for (const ManifestShard& s : shards) total += s.*field;
  return total;
}

}  // namespace

uint64_t ManifestSide::documents() const noexcept { return sum(shards, &ManifestShard::documents); }
uint64_t ManifestSide::tokens() const noexcept { return sum(shards, &ManifestShard::tokens); }
uint64_t ManifestSide::bytes() const noexcept { return sum(shards, &ManifestShard::bytes); }

std::string write_manifest(const Manifest& m) {
  json::array sources;
  for (const ManifestSource& s : m.sources) sources.push_back(source_json(s));
  return to_pretty_json({{"format", kFormat},
                         {"version", kVersion},
                         {"tokenizer", {{"xxh64", hash_text(m.tokenizer_hash)}, {"vocab_size", m.vocab_size}}},
                         {"seed", m.seed},
                         {"held_out_fraction", m.held_out_fraction},
                         {"document_separator", m.document_separator},
                         {"text_field", m.text_field},
                         {"invalid_utf8", m.invalid_utf8},
                         {"as_text", m.as_text},
                         {"sources", std::move(sources)}});
}

Manifest read_manifest(std::string_view text, const std::string& where) {
  const json::value document = parse_json(text, where);
  JsonFields o(document, where);
  if (o.text("format") != kFormat) throw_bad_input("{} is not {}", o.place("format"), kFormat);
  if (const uint64_t version = count_of(o, "version"); version != kVersion)
    throw_unsupported("{}: version {}; this fathom reads version {}. Build the data again", where, version, kVersion);
  Manifest m;
  JsonFields tokenizer = o.fields("tokenizer");
  m.tokenizer_hash = hash_of(tokenizer, "xxh64");
  m.vocab_size = static_cast<int32_t>(count_of(tokenizer, "vocab_size", INT32_MAX));
  tokenizer.refuse_unread();
  m.seed = count_of(o, "seed", UINT64_MAX);
  m.held_out_fraction = o.number("held_out_fraction");
  m.document_separator = o.text("document_separator");
  m.text_field = o.text("text_field");
  m.invalid_utf8 = o.text("invalid_utf8");
  m.as_text = o.maybe_boolean("as_text").value_or(false);
  const size_t n = o.array("sources").size();
  for (size_t i = 0; i < n; ++i) m.sources.push_back(read_source(o.entry("sources", i)));
  o.refuse_unread();
  return m;
}

}  // namespace fathom
