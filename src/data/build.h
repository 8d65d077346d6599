// Text -> token files. The same input and options give the same bytes, on any number of threads.
//
// For every document, in order of the inputs: its text is made valid UTF-8 (or left out, or refused: InvalidUtf8), left
// out when it is empty, only white space, or equal to one before it in any input (128 bits of XXH64), put aside as
// held-out when its hash falls below the fraction, and encoded: bos, text, eos, as far as the tokenizer has them.
// Special tokens that are spelled in the text stay text. Where no document is held out although the fraction is above
// 0, as with one long text, pieces of the longest document of every source are (hold_out.h).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/text/documents.h"
#include "data/text/inputs.h"

namespace fathom {

struct DataInput {
  std::filesystem::path path;  // a file, "-" for stdin, or a folder: one source
  double weight = 1;
  std::string name;  // empty: the last part of the path; made different by -2, -3, ... when it is taken
};

enum class InvalidUtf8 : uint8_t {
  replace,  // each ill-formed sequence becomes U+FFFD
  skip,     // the document is left out
  refuse,   // bad_input with the file and the document
};

struct DataBuildOptions {
  std::vector<DataInput> inputs;
  std::string tokenizer_json, tokenizer_config_json;  // texts; copied into the folder
  std::filesystem::path output;
  double held_out = 0.005;  // fraction of the documents, 0 <= f < 1
  DocumentFormat format;
  NotTextFiles not_text = NotTextFiles::refuse;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::replace;
  uint64_t seed =
      0;            // of the choice of held-out documents: with the same seed a document always falls on the same side
  int threads = 0;  // 0: the CPUs of this process
  uint64_t shard_tokens = uint64_t{1} << 24;            // a shard is closed when it has this many
  bool force = false;                                   // replaces a folder of token data
  bool quiet = false;                                   // no progress on stderr
  std::function<void(const std::string&)> notice = {};  // what was left out, with file and line: a sentence each
};

// Writes into output + ".partial" and renames at the end, so `output` is there whole or not at all; a killed build
// leaves the .partial folder, which the next one replaces. bad_input: another build is writing `output`; an input is
// missing, changed while it was read, or is not what its format says; output exists (without force), or is not a folder
// of token data; no document is left; weights that are not above 0.
Manifest build_data(const DataBuildOptions& options);

// The files that are no longer what the manifest recorded, each with what is wrong ("missing", "changed: ...").
struct ChangedFile {
  std::string path, what;
};
std::vector<ChangedFile> changed_sources(const Manifest& manifest);

}  // namespace fathom
