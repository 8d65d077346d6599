// The files that inputs stand for.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/text/document_form.h"

namespace fathom {

enum class NotTextFiles : uint8_t {
  refuse,  // bad_input that names the first and counts the others
  skip,    // those in folders are left out
};

struct InputFile {
  std::filesystem::path path;
  bool is_regular = true;
  uint64_t size = 0;  // of a regular file
};
struct FoundInputs {
  std::vector<std::vector<InputFile>> files;       // of each input
  std::vector<std::vector<std::string>> not_text;  // of each input: what was left out, as "cover.png: is a PNG image"
  // Of all files; 0 when one of them is a FIFO or stdin, whose size is not known before its end.
  uint64_t bytes = 0;
};

struct InputRules {
  DocumentFormat format;
  NotTextFiles not_text = NotTextFiles::refuse;
  std::filesystem::path replaced;               // a folder that is about to be replaced: no input lies in it
  std::vector<std::filesystem::path> left_out;  // files and folders that are not read where they lie in a folder
};

// An input is a file, "-" for stdin, a FIFO, or a folder: its files and those of the folders in it (also behind links)
// in the order of their paths, without names that begin with a dot. Every regular file is opened and judged
// (documents.h), so that what cannot be read is said before work begins. bad_input: nothing is there, an input is empty
// or named twice.
FoundInputs find_inputs(const std::vector<std::filesystem::path>& inputs, const InputRules& rules);

}  // namespace fathom
