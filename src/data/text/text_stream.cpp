#include "data/text/text_stream.h"

namespace fathom {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

}  // namespace

TextStream::TextStream(std::unique_ptr<ByteSource> in, std::string name, std::string_view separator)
    : name_(std::move(name)),
      nul_expected_(separator.find('\0') != std::string_view::npos),
      source_(std::move(in)),
      packed_(std::make_unique<PeekSource>(*source_)) {
  const Packing packing = packing_of(packed_->peek(4));
  if (packing != Packing::none) {
    unpacked_ = unpack(packing, *packed_, name_);
    bytes_ = std::make_unique<PeekSource>(*unpacked_);
  } else {
    bytes_ = std::move(packed_);
  }
  const std::string_view head = bytes_->peek(kJudgedBytes);
  if (const auto what = what_is_not_text(head, separator))
    throw NotText(ErrorKind::bad_input,
                  fmt::format("{}: {}{}", name_, packing == Packing::none ? "" : "what is packed in it ", *what));
  const EncodingMark mark = encoding_mark(head);
  encoding_ = mark.encoding;
  std::string skipped(mark.bytes, '\0');
  bytes_->read(skipped);
}

TextStream::TextStream(const std::filesystem::path& path, std::string_view separator)
    : TextStream(std::make_unique<FileSource>(path), input_name(path), separator) {
  file_ = static_cast<const FileSource*>(source_.get());
}

TextStream::TextStream(std::string_view bytes, std::string name, std::string_view separator)
    : TextStream(std::make_unique<MemorySource>(bytes), std::move(name), separator) {}

bool TextStream::read_some(std::string& out) {
  const size_t before = out.size();
  bool at_end = false;
  if (encoding_ == TextEncoding::utf8) {
    out.resize(before + kReadBytes);
    const size_t n = bytes_->read(std::span(out).subspan(before));
    out.resize(before + n);
    at_end = n < kReadBytes;
  } else {
    const size_t waiting = undecoded_.size();
    undecoded_.resize(waiting + kReadBytes);
    const size_t n = bytes_->read(std::span(undecoded_).subspan(waiting));
    undecoded_.resize(waiting + n);
    at_end = n < kReadBytes;
    std::string_view rest = undecoded_;
    append_as_utf8(encoding_, rest, at_end, out);
    undecoded_.erase(0, undecoded_.size() - rest.size());
  }
  refuse_nul(std::string_view(out).substr(before));
  n_read_ += out.size() - before;
  return !at_end;
}

void TextStream::refuse_nul(std::string_view part) {
  const size_t at = nul_expected_ ? std::string_view::npos : part.find('\0');
  if (at != std::string_view::npos)
    throw NotText(ErrorKind::bad_input,
                  fmt::format("{}: is binary, not text (byte {} of its text is NUL); give the text that it holds",
                              name_, n_read_ + at));
}

std::string read_text(const std::filesystem::path& path, uint64_t max_bytes) {
  TextStream stream(path, "");
  std::string text;
  for (bool more = true; more;) {
    more = stream.read_some(text);
    if (text.size() > max_bytes)
      throw_bad_input("{}: holds more than {} bytes of text, the most that can be read here", stream.name(), max_bytes);
  }
  return text;
}

}  // namespace fathom
