#include "cli/commands/document_options.h"

#include "base/error.h"
#include "cli/values.h"
#include "data/text/documents.h"

namespace fathom {

void add_document_options(CLI::App& command, DocumentOptions& o) {
  command
      .add_option_function<std::string>(
          "--document-separator",
          [&o](const std::string& text) {
            o.separator = text;
            o.has_separator = true;
          },
          "what stands between documents of a text file; \\n, \\f, \\xNN ...; default: a file is one document")
      ->type_name("TEXT");
  command.add_option("--text-field", o.text_field, "key of the text in JSON records")
      ->type_name("KEY")
      ->capture_default_str();
  command.add_flag("--as-text", o.as_text, "files that hold JSON are text as they stand");
  command
      .add_option("--bad-lines", o.bad_lines,
                  "JSON records that cannot be read; refuse: stop, skip: leave them out, and say where")
      ->transform(one_of({"refuse", "skip"}))
      ->capture_default_str();
  command
      .add_option("--not-text", o.not_text, "files in folders that are not text; refuse: stop, skip: leave them out")
      ->transform(one_of({"refuse", "skip"}))
      ->capture_default_str();
}

DocumentFormat document_format(const DocumentOptions& o) {
  if (o.has_separator && o.separator.empty())
    throw_bad_input("--document-separator is empty; without it a text file is one document");
  if (o.text_field.empty()) throw_bad_input("--text-field is empty; it names the key that holds the text");
  return {.separator = unescape(o.separator),
          .text_field = o.text_field,
          .as_text = o.as_text,
          .bad_lines = o.bad_lines == "skip" ? BadLines::skip : BadLines::refuse};
}

NotTextFiles not_text_files(const DocumentOptions& o) {
  return o.not_text == "skip" ? NotTextFiles::skip : NotTextFiles::refuse;
}

}  // namespace fathom
