// In what form a text holds documents, judged by its beginning.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

enum class BadLines : uint8_t {
  refuse,  // bad_input with file and line
  skip,    // the record is left out
};

struct DocumentFormat {
  std::string separator = {};       // of texts; empty: a file is one document
  std::string text_field = "text";  // of records in JSON
  bool as_text = false;             // JSON is text like any other
  BadLines bad_lines = BadLines::refuse;
  uint64_t max_document_bytes = uint64_t{1} << 30;  // the pre-tokenizer needs nine times as much memory
  uint64_t cut_after = 0;                           // texts are cut at the line end before so many bytes; 0: never
};

enum class DocumentForm : uint8_t {
  text,         // one document, or several with separators between them
  json_lines,   // a record in every line
  json_values,  // records one after another, each over as many lines as it likes
  json_array,   // one array of records
};

// What `text`, the beginning of a file or all of it (`whole`), is a form of; nothing when more of it is needed.
//
//   { "key": ... } and the same in the next line       json_lines
//   { "key": ... over several lines } { ...            json_values
//   one object alone: with the text field              json_values
//                     without it                       text, unless records lie inside it: bad_input says how to get
//                                                      them out
//   [ { "key": ... }, ...   or   [ "...", "...         json_array
//   anything else                                      text; json_lines when its name says so (`named_json_lines`),
//                                                      which then says in which line it is none
//
// A first record without the text field is bad_input that names the fields which it has, unless bad lines are skipped.
std::optional<DocumentForm> judge_form(std::string_view text, bool whole, bool named_json_lines,
                                       const DocumentFormat& format, const std::string& name);

// By its name: .jsonl, .ndjson or .jsonlines in any case, also with .gz, .zst and the like behind it.
bool names_json_lines(const std::filesystem::path& path);

}  // namespace fathom
