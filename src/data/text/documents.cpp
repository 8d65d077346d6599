#include "data/text/documents.h"

#include <atomic>
#include <charconv>
#include <exception>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "data/text/json_records.h"

namespace fathom {

DocumentFile::DocumentFile(TextStream stream, bool named_json_lines, DocumentFormat format)
    : stream_(std::move(stream)), format_(std::move(format)) {
  grow();
  for (std::optional<DocumentForm> form; !form; form_ = form.value_or(form_)) {
    form = judge_form(buffer_, at_end_, named_json_lines, format_, stream_.name());
    if (!form) grow();
  }
  if (form_ == DocumentForm::json_array) begin_ = buffer_.find('[') + 1;
}

DocumentFile::DocumentFile(const std::filesystem::path& path, DocumentFormat format)
    : DocumentFile(TextStream(path, format.separator), names_json_lines(path), format) {}

DocumentFile::DocumentFile(std::string_view bytes, const std::string& name, DocumentFormat format)
    : DocumentFile(TextStream(bytes, name, format.separator), names_json_lines(name), format) {}

bool DocumentFile::grow() {
  if (at_end_) return false;
  if (begin_ > 0) buffer_.erase(0, std::exchange(begin_, 0));
  if (!may_cut() && buffer_.size() > format_.max_document_bytes)
    throw_bad_input(
        "{}: document {} has more than {} bytes, the most that one can have. Cut the text into documents with "
        "--document-separator",
        stream_.name(), number_ + 1, format_.max_document_bytes);
  at_end_ = !stream_.read_some(buffer_);
  return true;
}

void DocumentFile::take(Part part, RawDocument& out) {
  if (begin_ == 0 && part.size == buffer_.size()) {
    out.bytes = std::exchange(buffer_, {});
  } else {
    out.bytes.assign(buffer_, begin_, part.size);
    begin_ += part.size + part.skip;
  }
  out.number = ++number_;
  searched_ = 0;
}

// The part that begins at begin_, when its end has been read.
std::optional<DocumentFile::Part> DocumentFile::find_part() {
  const std::string_view separator = form_ == DocumentForm::json_lines ? "\n" : std::string_view(format_.separator);
  if (!separator.empty()) {
    const size_t end = rest().find(separator, searched_);
    if (end != std::string_view::npos) return Part{end, separator.size()};
    searched_ = rest().size() - std::min(rest().size(), separator.size() - 1);
  }
  if (!may_cut() || rest().size() <= format_.cut_after) return {};
  const std::string_view longest = rest().substr(0, format_.cut_after);
  const size_t line_end = longest.rfind('\n');
  return Part{line_end == std::string_view::npos ? longest.size() - unfinished_utf8_tail(longest) : line_end + 1, 0};
}

void DocumentFile::next_part(RawDocument& out) {
  std::optional<Part> part = find_part();
  while (!part && grow()) part = find_part();
  finished_ = !part;
  take(part.value_or(Part{rest().size(), 0}), out);
}

// The next character that is no white space, where begin_ then stands; NUL at the end.
char DocumentFile::next_char() {
  for (;;) {
    const size_t at = skip_json_space(rest(), 0);
    begin_ = at == std::string_view::npos ? buffer_.size() : begin_ + at;
    if (begin_ < buffer_.size()) return buffer_[begin_];
    if (!grow()) return '\0';
  }
}

bool DocumentFile::next_value(RawDocument& out) {
  const bool in_array = form_ == DocumentForm::json_array;
  char c = next_char();
  if (in_array && number_ > 0 && c == ',') {
    ++begin_;
    c = next_char();
  } else if (in_array && number_ > 0 && c != ']' && c != '\0') {
    throw_bad_input("{}: between its records {} and {} there is no comma", stream_.name(), number_, number_ + 1);
  }
  finished_ = c == '\0' || (in_array && c == ']');
  if (finished_ && in_array && c == ']') {
    ++begin_;
    if (next_char() != '\0')
      throw_bad_input("{}: something follows the JSON array of {} records. If this is meant as text, give --as-text",
                      stream_.name(), number_);
  }
  if (finished_ && (c == ']' || !in_array)) return false;
  JsonExtent extent;
  std::optional<size_t> size = extent.end_of(rest());
  while (!size && grow()) size = extent.end_of(rest());
  if (size == 0u)
    throw_bad_input("{}: record {} begins with {}; needed is an object", stream_.name(), number_ + 1,
                    quoted_for_message(rest().substr(0, 1)));
  finished_ = !size;  // an array that was cut off ends with a record that is no JSON
  take({size.value_or(rest().size()), 0}, out);
  return true;
}

bool DocumentFile::next(RawDocument& out) {
  while (!finished_) {
    if (form_ == DocumentForm::json_values || form_ == DocumentForm::json_array) {
      if (next_value(out)) return true;
      continue;
    }
    next_part(out);
    if (form_ == DocumentForm::text || skip_json_space(out.bytes, 0) != std::string::npos) return true;
  }
  return false;
}

std::string DocumentFile::place(const RawDocument& document) const {
  if (form_ == DocumentForm::json_lines) return fmt::format("{}:{}", stream_.name(), document.number);
  return fmt::format("{}: {} {}", stream_.name(), form_ == DocumentForm::text ? "document" : "record", document.number);
}

std::string_view DocumentFile::text(const RawDocument& document, std::string& storage) const {
  if (form_ == DocumentForm::text) return document.bytes;
  JsonRecord record = read_json_record(document.bytes, format_.text_field, place(document));
  if (record.kind != JsonRecord::Kind::text && record.kind != JsonRecord::Kind::no_text)
    throw_bad_input("{}: {}", place(document), describe(record, format_.text_field));
  storage = std::move(record.text);
  return storage;
}

std::string read_joined_documents(const std::filesystem::path& path) {
  DocumentFile file(path, {});
  std::string out, storage;
  for (RawDocument document; file.next(document);) {
    if (document.number > 1) out += "\n\n";
    out += file.text(document, storage);
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    static constexpr std::string_view kNames = "ntfr0\\", kBytes("\n\t\f\r\0\\", 6);
    const char name = ++i < text.size() ? text[i] : ' ';
    if (const size_t at = kNames.find(name); at != std::string_view::npos) {
      out += kBytes[at];
      continue;
    }
    uint8_t byte = 0;
    const char* digits = text.data() + i + 1;
    if (name != 'x' || i + 2 >= text.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
      throw_bad_input("{} holds an escape that is not \\n \\t \\f \\r \\0 \\\\ or \\xNN", quoted_for_message(text));
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

void for_each_index(ThreadPool& pool, size_t count, const std::function<void(size_t)>& body) {
  std::atomic<size_t> next{0};
  std::mutex failing;
  size_t failed_at = count;
  std::exception_ptr failure;
  pool.run([&](int) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(failing);
        if (i < failed_at) failure = std::current_exception();
        failed_at = std::min(failed_at, i);
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fathom
