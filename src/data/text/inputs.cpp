#include "data/text/inputs.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file/file_name.h"
#include "data/text/documents.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Where a path leads, without links and dots; what is not there yet is taken as it is spelled.
fs::path real_path(const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  return error ? fs::absolute(path, error) : real;
}

bool lies_in(const fs::path& inner, const fs::path& outer) {
  const auto [at, end] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return at == outer.end();
}

// The files below a folder. A folder that is reached twice, through links, is read once: links may go in circles.
class FolderWalk {
 public:
  FolderWalk(const fs::path& folder, const std::vector<fs::path>& left_out) {
    for (const fs::path& path : left_out) left_out_.insert(real_path(path));
    enter(folder);
    if (files_.empty()) throw_bad_input("{}: there is no file in this folder", folder.string());
    std::sort(files_.begin(), files_.end());
  }
  std::vector<fs::path> files() && { return std::move(files_); }

 private:
  void enter(const fs::path& folder) {
    const fs::path real = real_path(folder);
    if (left_out_.count(real) > 0 || !entered_.insert(real).second) return;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (is_hidden(it->path())) continue;
      if (it->is_directory(ignored))
        enter(it->path());
      else if (it->is_regular_file(ignored) && left_out_.count(real_path(it->path())) == 0)
        files_.push_back(it->path());
    }
    if (error) throw_bad_input("{}: cannot be listed: {}", folder.string(), error.message());
  }

  std::set<fs::path> left_out_, entered_;
  std::vector<fs::path> files_;
};

InputFile input_file(const fs::path& path) {
  std::error_code error;
  const bool is_regular = !names_stdin(path) && fs::is_regular_file(path, error);
  return {.path = path, .is_regular = is_regular, .size = is_regular ? fs::file_size(path, error) : 0};
}

std::vector<InputFile> files_of(const fs::path& input, const InputRules& rules) {
  if (input.empty()) throw_bad_input("an input is empty; give a file, a folder, or - for stdin");
  if (names_stdin(input)) return {input_file(input)};
  std::error_code error;
  const fs::file_status status = fs::status(input, error);
  if (!fs::exists(status)) throw_bad_input("{}: there is no such file or folder", input.string());
  if (!rules.replaced.empty() && lies_in(real_path(input), real_path(rules.replaced)))
    throw_bad_input("{}: lies in the folder that is to be written, {}; choose another place for -o", input.string(),
                    rules.replaced.string());
  if (!fs::is_directory(status)) return {input_file(input)};
  std::vector<InputFile> files;
  for (const fs::path& path : FolderWalk(input, rules.left_out).files()) files.push_back(input_file(path));
  return files;
}

// An input that is read twice would only be found equal to itself.
void refuse_repeated(const FoundInputs& found, const std::vector<fs::path>& inputs) {
  std::map<fs::path, size_t> first;
  for (size_t i = 0; i < inputs.size(); ++i)
    for (const InputFile& file : found.files[i]) {
      const fs::path key = names_stdin(file.path) ? file.path : real_path(file.path);
      const auto [at, is_new] = first.emplace(key, i);
      if (!is_new && at->second != i)
        throw_bad_input("{}: is given twice, by {} and {}; give it once (a weight, {}=2, says how often it is seen)",
                        input_name(file.path), input_name(inputs[at->second]), input_name(inputs[i]),
                        input_name(inputs[i]));
    }
}

// Opens the file, which judges it: whether it is text, and what else is wrong with it.
std::optional<std::string> why_not_text(const InputFile& file, const DocumentFormat& format) {
  try {
    const DocumentFile judged(file.path, format);
    return {};
  } catch (const NotText& e) {
    return e.what();
  }
}

void judge_files(const fs::path& input, const InputRules& rules, std::vector<InputFile>& files,
                 std::vector<std::string>& not_text) {
  std::error_code error;
  const bool in_folder = fs::is_directory(input, error);
  std::erase_if(files, [&](const InputFile& file) {
    const auto why = file.is_regular ? why_not_text(file, rules.format) : std::nullopt;
    if (why && !in_folder) throw NotText(ErrorKind::bad_input, *why);
    if (why) not_text.push_back(*why);
    return why.has_value();
  });
  if (not_text.empty() || (rules.not_text == NotTextFiles::skip && !files.empty())) return;
  const size_t others = not_text.size() - 1;
  throw NotText(ErrorKind::bad_input,
                fmt::format("{}{}. Move it away, or leave such files out with --not-text skip", not_text.front(),
                            others > 0 ? fmt::format(" ({} more file(s) of the folder are not text)", others) : ""));
}

}  // namespace

FoundInputs find_inputs(const std::vector<fs::path>& inputs, const InputRules& rules) {
  FoundInputs found;
  found.not_text.resize(inputs.size());
  for (const fs::path& input : inputs) found.files.push_back(files_of(input, rules));
  refuse_repeated(found, inputs);
  bool known = true;
  for (size_t i = 0; i < inputs.size(); ++i) {
    judge_files(inputs[i], rules, found.files[i], found.not_text[i]);
    for (const InputFile& file : found.files[i]) {
      known = known && file.is_regular;
      found.bytes += file.size;
    }
  }
  if (!known) found.bytes = 0;
  return found;
}

}  // namespace fathom
