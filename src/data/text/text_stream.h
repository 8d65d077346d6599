// Text in UTF-8, from a file, a FIFO or stdin, in whatever of these forms it comes: plain; packed by gzip or zstd;
// with a byte order mark, which is no part of the text; in UTF-16 or UTF-32 with such a mark. Anything that is no text
// is refused by name (content.h).
//
// Ill-formed UTF-8 is passed on as it stands, and ill-formed UTF-16 as the byte FF: what to do with it is the reader's
// policy.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "data/text/byte_source.h"
#include "data/text/content.h"

namespace fathom {

class TextStream {
 public:
  // "-" is stdin. NotText when the content is no text, bad_input when it cannot be read. Bytes of `separator` are
  // expected in the text, even NUL.
  TextStream(const std::filesystem::path& path, std::string_view separator);
  // The same for bytes in memory, which must stay; `name` is for messages.
  TextStream(std::string_view bytes, std::string name, std::string_view separator);

  // Appends the next part of the text, a megabyte or so; false when it was the last.
  bool read_some(std::string& out);

  const std::string& name() const noexcept { return name_; }
  const FileSource* file() const noexcept { return file_; }  // null for bytes in memory

 private:
  TextStream(std::unique_ptr<ByteSource> in, std::string name, std::string_view separator);
  void refuse_nul(std::string_view part);

  std::string name_;
  bool nul_expected_;
  const FileSource* file_ = nullptr;
  // Each reads the one before it.
  std::unique_ptr<ByteSource> source_;
  std::unique_ptr<PeekSource> packed_;
  std::unique_ptr<ByteSource> unpacked_;
  std::unique_ptr<PeekSource> bytes_;
  TextEncoding encoding_ = TextEncoding::utf8;
  std::string undecoded_;
  uint64_t n_read_ = 0;
};

// All of it, for a prompt or the like; nothing in it is taken for JSON. bad_input above max_bytes.
std::string read_text(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 30);

}  // namespace fathom
