#include "data/text/document_form.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/suggest.h"
#include "data/text/json_records.h"

namespace fathom {
namespace {

constexpr size_t npos = std::string_view::npos;
constexpr size_t kMaxFirstRecord = size_t{1} << 26;
constexpr const char* kAsText = "If this is meant as text, give --as-text";

// The text from its first character that is no white space, and what is known of it.
struct Beginning {
  std::string_view text;
  bool whole, named_json_lines;
  const DocumentFormat& format;
  const std::string& name;

  DocumentForm otherwise() const { return named_json_lines ? DocumentForm::json_lines : DocumentForm::text; }
  char at(size_t i) const { return i < text.size() ? text[i] : '\0'; }
};

// The end of the value at `begin`; nothing when more text is needed, npos when it does not end.
std::optional<size_t> end_of_value(const Beginning& b, size_t begin) {
  if (const auto length = JsonExtent().end_of(b.text.substr(begin))) return begin + *length;
  if (b.whole || b.named_json_lines) return npos;
  if (b.text.size() > kMaxFirstRecord)
    throw_bad_input("{}: begins like JSON, but its first record does not end within {} bytes. {}", b.name,
                    kMaxFirstRecord, kAsText);
  return {};
}

std::optional<JsonRecord> try_record(std::string_view record, const Beginning& b) {
  try {
    return read_json_record(record, b.format.text_field, b.name);
  } catch (const Error&) {
    return {};  // what is wrong with it is said when it is read
  }
}

bool has_text(const std::optional<JsonRecord>& record) {
  return record && (record->kind == JsonRecord::Kind::text || record->kind == JsonRecord::Kind::no_text);
}

// `form`, unless the first record says that nothing could be read of it.
DocumentForm with_text(DocumentForm form, const std::optional<JsonRecord>& first, const Beginning& b) {
  if (first && !has_text(first) && b.format.bad_lines == BadLines::refuse)
    throw_bad_input("{}{}: {}. {}", b.name, form == DocumentForm::json_lines ? ":1" : ": record 1",
                    describe(*first, b.format.text_field), kAsText);
  return form;
}

// An object that stands alone may wrap what would be records.
void refuse_wrapped_records(std::string_view object, const std::optional<JsonRecord>& record, const Beginning& b) {
  if (record && !record->field.empty())
    throw_bad_input(
        "{}: is one JSON object, whose {} is no string but {}; write its texts as JSON lines: jq -c '.[{}][] "
        "| {{text: .}}' FILE > FILE.jsonl. {}",
        b.name, quoted_for_message(b.format.text_field), quoted_for_message(record->field, 40),
        "\"" + b.format.text_field + "\"", kAsText);
  for (const auto& [key, array] : json_members(object)) {
    if (!array.starts_with('[')) continue;
    const size_t at = skip_json_space(array, 1);
    if (at == npos || !begins_like_json_object(array.substr(at))) continue;
    const auto end = JsonExtent().end_of(array.substr(at));
    if (end && has_text(try_record(array.substr(at, *end), b)))
      throw_bad_input(
          "{}: is one JSON object, whose {} holds the records; write them as JSON lines: jq -c '.[{}][]' FILE "
          "> FILE.jsonl. {}",
          b.name, key, key, kAsText);
  }
}

std::optional<DocumentForm> judge_objects(const Beginning& b) {
  const auto end = end_of_value(b, 0);
  if (!end) return {};
  if (*end == npos) {
    if (b.named_json_lines) return DocumentForm::json_lines;
    throw_bad_input("{}: begins like JSON, but its first object does not end; was the file cut off? {}", b.name,
                    kAsText);
  }
  const std::string_view first = b.text.substr(0, *end);
  const size_t next = skip_json_space(b.text, *end);
  if (next == npos && !b.whole) return {};
  const bool is_line =
      first.find('\n') == npos && b.text.substr(*end, std::min(next, b.text.size()) - *end).find('\n') != npos;
  const auto record = try_record(first, b);
  if (next == npos) {
    if (has_text(record) || b.named_json_lines)
      return with_text(is_line || b.named_json_lines ? DocumentForm::json_lines : DocumentForm::json_values, record, b);
    refuse_wrapped_records(first, record, b);
    return DocumentForm::text;
  }
  if (b.text[next] != '{' && !has_text(record)) return b.otherwise();
  return with_text(is_line ? DocumentForm::json_lines : DocumentForm::json_values, record, b);
}

std::optional<DocumentForm> judge_array(const Beginning& b) {
  const size_t first = skip_json_space(b.text, 1);
  if (first == npos) return b.otherwise();
  const bool of_objects = begins_like_json_object(b.text.substr(first));
  if (b.text[first] == ']')
    return skip_json_space(b.text, first + 1) == npos ? DocumentForm::json_array : b.otherwise();
  if (!of_objects && b.text[first] != '"') return b.otherwise();
  const auto end = end_of_value(b, first);
  if (!end) return {};
  if (*end == npos) return of_objects ? DocumentForm::json_array : b.otherwise();
  const size_t behind = skip_json_space(b.text, *end);
  if (behind == npos && !b.whole) return {};
  const auto record = try_record(b.text.substr(first, *end - first), b);
  const size_t next = behind == npos ? npos : skip_json_space(b.text, behind + 1);
  const bool ends = behind == npos || (b.at(behind) == ']' && next == npos);
  if (of_objects) {
    const bool is_array = ends || b.at(behind) == ',' || has_text(record);
    return is_array ? with_text(DocumentForm::json_array, record, b) : b.otherwise();
  }
  const bool goes_on = b.at(behind) == ',' && (next == npos || b.text[next] == '"');
  return goes_on || ends ? DocumentForm::json_array : b.otherwise();
}

}  // namespace

std::optional<DocumentForm> judge_form(std::string_view text, bool whole, bool named_json_lines,
                                       const DocumentFormat& format, const std::string& name) {
  if (format.as_text) return DocumentForm::text;
  const size_t begin = std::min(skip_json_space(text, 0), text.size());
  const Beginning b{text.substr(begin), whole, named_json_lines, format, name};
  if (b.at(0) == '[') return judge_array(b);
  if (begins_like_json_object(b.text)) return judge_objects(b);
  return b.otherwise();
}

bool names_json_lines(const std::filesystem::path& path) {
  const auto extension = [](const std::filesystem::path& p) { return lower_case(p.extension().string()); };
  const auto is_one_of = [](const std::string& e, std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), e) != names.end();
  };
  const bool packed = is_one_of(extension(path), {".gz", ".gzip", ".zst", ".zstd"});
  return is_one_of(extension(packed ? path.stem() : path), {".jsonl", ".ndjson", ".jsonlines"});
}

}  // namespace fathom
