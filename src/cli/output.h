// What commands write to stdout. A write that fails (a full disk, a reader that has gone) is a resource Error and never
// exit code 0; main() flushes once more at the end, so what goes there by other means is held to the same.
#pragma once
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/json/json.h"

namespace fathom {

struct Figure;

// Written and flushed: for text that somebody watches as it comes.
void write_stdout(std::string_view text);

// Everything written so far by whatever means. resource Error when any of it could not be written.
void flush_stdout();

// The value on one line, with its line end. Always valid JSON: numbers that are not finite become null, ill-formed
// UTF-8 (the name of a file may hold any byte) U+FFFD.
std::string to_json_line(json::value value);
void write_json_line(json::value value);  // of stdout

// Where an output of that name goes: "-" is stdout.
std::filesystem::path file_output(const std::string& name);
// The same for a model, which goes there as GGUF; bad_input when stdout is a terminal.
std::filesystem::path model_output(const std::string& name);
// bad_input for "-": a folder cannot go to stdout.
std::filesystem::path folder_output(const std::string& name);
bool is_stdout(const std::filesystem::path& output);

// check_writable (base/file/file.h) of an output, before work begins: it may be none of the inputs, no file in one that
// is a folder, and nowhere that other output of the run goes. Empty names are none.
void check_output(const std::filesystem::path& output, std::initializer_list<std::filesystem::path> inputs,
                  std::initializer_list<std::filesystem::path> others = {});

// --plot of a measurement: before work begins, that it can be written and is not stdout, where figures go; then the
// figure, PNG where the name says so, else SVG. An empty name is none.
void check_plot(const std::string& name, std::span<const std::filesystem::path> inputs);
void write_plot(const std::string& name, const Figure& figure);

}  // namespace fathom
