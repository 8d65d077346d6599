// Documents from files: what counts as one document, and its text.
//
//   *.jsonl, *.ndjson   one JSON object a line with a string field (text_field); other fields are not used
//   any other file      text; one document, or several with a separator between them
//   a folder            its files, and those of the folders in it, in the order of their paths; names that begin with
//                       a dot are left out
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/threads.h"

namespace fathom {

// A file as it is, or the files of a folder. bad_input when there is nothing.
std::vector<std::filesystem::path> input_files(const std::filesystem::path& path);

struct DocumentFormat {
  std::string separator;  // of text files; empty: a file is one document
  std::string text_field = "text";
};

// A document as it stands in the file; valid while the DocumentFile lives.
struct RawDocument {
  std::string_view bytes;
  uint64_t number = 0;  // from 1: its line in a JSONL file, else its place among the file's documents
};

// One file, mapped. next() is for one thread, text() for any.
class DocumentFile {
 public:
  DocumentFile(const std::filesystem::path& path, DocumentFormat format);

  // The next document, in order; false at the end. Blank lines of JSONL are passed over.
  bool next(RawDocument& out);
  // Its text, decoded when it is JSON; `storage` keeps it where the file does not. bad_input, with file and line, when
  // a line is not an object with the text field.
  std::string_view text(const RawDocument& document, std::string& storage) const;

  std::span<const std::byte> bytes() const noexcept { return file_.bytes(); }
  uint64_t position() const noexcept { return position_; }

 private:
  MappedFile file_;
  DocumentFormat format_;
  std::string_view rest_;
  bool json_lines_, finished_ = false;
  uint64_t number_ = 0, position_ = 0;
};

// "\n", "\t", "\f", "\r", "\0", "\\" and "\xNN" in an option's text become those bytes. bad_input for others.
std::string unescape(std::string_view text);

// Calls body(i) for i = 0 .. count - 1 on all threads; body may throw. Of several Errors that of the smallest i is
// thrown on, so the message does not depend on the threads.
void for_each_index(ThreadPool& pool, size_t count, const std::function<void(size_t)>& body);

}  // namespace fathom
