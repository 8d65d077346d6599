#include "data/documents.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "tokenizer/json_fields.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().string().rfind('.', 0) == 0; }

bool is_json_lines(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".jsonl" || extension == ".ndjson";
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The next part of `rest` up to the separator, which is dropped; an empty separator takes all.
std::string_view take_part(std::string_view& rest, std::string_view separator, bool& finished) {
  const size_t end = separator.empty() ? std::string_view::npos : rest.find(separator);
  finished = end == std::string_view::npos;
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(finished ? rest.size() : end + separator.size());
  return part;
}

}  // namespace

std::vector<fs::path> input_files(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw_bad_input("{}: there is no such file or folder", path.string());
  if (!fs::is_directory(status)) return {path};
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    if (is_hidden(it->path())) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file(error)) {
      files.push_back(it->path());
    }
  }
  if (error) throw_bad_input("{}: cannot be listed: {}", path.string(), error.message());
  if (files.empty()) throw_bad_input("{}: there is no file in this folder", path.string());
  std::sort(files.begin(), files.end());
  return files;
}

DocumentFile::DocumentFile(const fs::path& path, DocumentFormat format)
    : file_(path), format_(std::move(format)), rest_(as_text(file_.bytes())), json_lines_(is_json_lines(path)) {}

bool DocumentFile::next(RawDocument& out) {
  while (!finished_) {
    out.bytes = take_part(rest_, json_lines_ ? "\n" : std::string_view(format_.separator), finished_);
    out.number = ++number_;
    position_ = file_.bytes().size() - rest_.size();
    if (!json_lines_ || out.bytes.find_first_not_of(" \t\r") != std::string_view::npos) return true;
  }
  return false;
}

std::string_view DocumentFile::text(const RawDocument& document, std::string& storage) const {
  if (!json_lines_) return document.bytes;
  const std::string where = fmt::format("{}:{}", file_.path().string(), document.number);
  const json::value line = parse_json(document.bytes, where);
  const json::object* object = line.if_object();
  const json::value* field = object == nullptr ? nullptr : object->if_contains(format_.text_field);
  if (field == nullptr || !field->is_string())
    throw_bad_input("{}: needed is an object with a string {}; this line is {}{}", where,
                    quoted_for_message(format_.text_field), json_kind_name(line),
                    object == nullptr  ? ""
                    : field == nullptr ? " without it"
                                       : " where it is something else");
  storage = view(field->get_string());
  return storage;
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
