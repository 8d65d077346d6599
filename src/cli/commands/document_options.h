// Options of the commands that read documents, each listed once.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "data/text/inputs.h"

namespace fathom {

struct DocumentOptions {
  std::string separator, text_field = "text", bad_lines = "refuse", not_text = "refuse";
  bool has_separator = false, as_text = false;
};

// --document-separator --text-field --as-text --bad-lines --not-text
void add_document_options(CLI::App& command, DocumentOptions& options);
// What they say. bad_input for an empty separator or field.
DocumentFormat document_format(const DocumentOptions& options);
NotTextFiles not_text_files(const DocumentOptions& options);

}  // namespace fathom
