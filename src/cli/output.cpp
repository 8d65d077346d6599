#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <vector>

#include "base/error.h"
#include "base/file/file.h"
#include "base/text/utf8.h"
#include "plot/figure.h"

namespace fathom {
namespace {

constexpr const char* kStdout = "/dev/stdout";

[[noreturn]] void throw_stdout_failed(int reason) {
  throw_resource("stdout: cannot be written{}; what came before is not whole",
                 reason == 0 ? "" : fmt::format(" ({})", std::strerror(reason)));
}

void make_valid(json::value& value) {
  if (double* number = value.if_double()) {
    if (!std::isfinite(*number)) value = nullptr;
  } else if (json::string* text = value.if_string()) {
    if (find_invalid_utf8(*text) != std::string_view::npos) *text = replace_invalid_utf8(*text);
  } else if (json::array* array = value.if_array()) {
    for (json::value& item : *array) make_valid(item);
  } else if (json::object* object = value.if_object()) {
    for (auto& [key, item] : *object) make_valid(item);
  }
}

}  // namespace

void write_stdout(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) throw_stdout_failed(errno);
  flush_stdout();
}

void flush_stdout() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout.good()) throw_stdout_failed(errno);
}

std::string to_json_line(json::value value) {
  make_valid(value);
  return json::serialize(value) + '\n';
}

void write_json_line(json::value value) { write_stdout(to_json_line(std::move(value))); }

std::filesystem::path file_output(const std::string& name) { return name == "-" ? kStdout : name; }

std::filesystem::path model_output(const std::string& name) {
  const std::filesystem::path output = file_output(name);
  if (is_stdout(output) && isatty(STDOUT_FILENO))
    throw_bad_input("{}: a model is bytes that no terminal shows; name a file, or send stdout to one", name);
  return output;
}

std::filesystem::path folder_output(const std::string& name) {
  if (name == "-") throw_bad_input("-: this is a folder, which cannot go to stdout; name it (./- is one called so)");
  return name;
}

bool is_stdout(const std::filesystem::path& output) { return output == kStdout || output == "/dev/fd/1"; }

void check_output(const std::filesystem::path& output, std::initializer_list<std::filesystem::path> inputs,
                  std::initializer_list<std::filesystem::path> others) {
  if (output.empty() || is_stream(output)) return;
  std::vector<std::filesystem::path> files = inputs;
  std::error_code unreadable;  // is said by who reads it
  for (const std::filesystem::path& folder : inputs) {
    std::filesystem::recursive_directory_iterator entry(folder, unreadable), end;
    for (; !unreadable && entry != end; entry.increment(unreadable)) files.push_back(entry->path());
  }
  check_writable(output, files);
  for (const std::filesystem::path& other : others)
    if (!other.empty() && is_same_file(output, other))
      throw_bad_input("{}: other output of this run goes there; name another file", output.string());
}

void check_plot(const std::string& name, std::span<const std::filesystem::path> inputs) {
  if (name.empty()) return;
  check_writable(file_output(name), inputs);
  if (is_stdout(file_output(name)))
    throw_bad_input("--plot {}: figures and the drawing both go to stdout; name a file", name);
}

void write_plot(const std::string& name, const Figure& figure) {
  const std::filesystem::path output = file_output(name);
  FileWriter writer(output);
  writer.write(draw_figure(figure, output.extension() == ".png" ? ImageFormat::png : ImageFormat::svg, {}));
  writer.commit();
}

}  // namespace fathom
