// Documents from files: what counts as one document, and its text. Files are read as text_stream.h reads them, and
// judged by what is in them (document_form.h).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/machine/threads.h"
#include "data/text/document_form.h"
#include "data/text/text_stream.h"

namespace fathom {

// A document as it stands in the file.
struct RawDocument {
  std::string bytes;
  uint64_t number = 0;  // from 1: its line in JSON lines, else its place among the file's documents
};

// One file, read as it goes. next() is for one thread, text() for any.
class DocumentFile {
 public:
  // Judges what the file is. bad_input, or NotText, when it cannot be read.
  DocumentFile(const std::filesystem::path& path, DocumentFormat format);
  // The same for bytes in memory, which must stay; `name` is for messages and tells JSON lines by its end.
  DocumentFile(std::string_view bytes, const std::string& name, DocumentFormat format);

  // The next document, in order; false at the end. Blank lines of JSON lines are passed over.
  bool next(RawDocument& out);
  // Its text, decoded when it is JSON; `storage` keeps it where the document does not. bad_input, with its place, when
  // a record is no object with the text field. Half a surrogate pair in JSON becomes the byte FF: ill-formed UTF-8.
  std::string_view text(const RawDocument& document, std::string& storage) const;
  // Where it stands: "a.jsonl:3", "a.txt: document 1", "a.json: record 2".
  std::string place(const RawDocument& document) const;

  DocumentForm form() const noexcept { return form_; }
  // The file itself: null for bytes in memory.
  const FileSource* file() const noexcept { return stream_.file(); }

 private:
  DocumentFile(TextStream stream, bool named_json_lines, DocumentFormat format);
  struct Part {
    size_t size, skip;  // of the document, and of the separator behind it
  };
  void next_part(RawDocument& out);
  std::optional<Part> find_part();
  bool next_value(RawDocument& out);
  char next_char();
  void take(Part part, RawDocument& out);
  bool grow();
  bool may_cut() const { return format_.cut_after > 0 && form_ == DocumentForm::text; }
  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }

  TextStream stream_;
  DocumentFormat format_;
  DocumentForm form_ = DocumentForm::text;
  std::string buffer_;               // text that was read; from begin_ on it is not taken yet
  size_t begin_ = 0, searched_ = 0;  // so much behind begin_ holds no separator
  bool at_end_ = false, finished_ = false;
  uint64_t number_ = 0;
};

// The texts of all documents of a file, with an empty line between them: what a model is run over to measure it.
std::string read_joined_documents(const std::filesystem::path& path);

// "\n", "\t", "\f", "\r", "\0", "\\" and "\xNN" in an option's text become those bytes. bad_input for others.
std::string unescape(std::string_view text);

// Calls body(i) for i = 0 .. count - 1 on all threads; body may throw. Of several Errors that of the smallest i is
// thrown on, so the message does not depend on the threads.
void for_each_index(ThreadPool& pool, size_t count, const std::function<void(size_t)>& body);

}  // namespace fathom
