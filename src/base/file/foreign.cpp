#include "base/file/foreign.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace fathom {
namespace {

std::string_view head(std::span<const std::byte> bytes, size_t n) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(n, bytes.size())};
}

std::string_view skip_space(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  return text;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && std::equal(lower.begin(), lower.end(), text.begin(), [](char want, char c) {
           return want == static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
         });
}

// Pickle protocol 2 to 5 begins with PROTO n; a PyTorch file of the old format begins so as well.
bool looks_like_pickle(std::string_view text) {
  return text.size() >= 2 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5;
}

// ModelProto: field 1 (ir_version, a varint), then field 2 (producer_name, a string) or field 8 (opset_import).
bool looks_like_onnx(std::string_view text) {
  return text.size() >= 4 && text[0] == 0x08 && text[1] > 0 && text[1] < 32 && (text[2] == 0x12 || text[2] == 0x42);
}

// "Entry not found", "Invalid username or password.": how servers answer in plain text.
bool is_a_line_of_words(std::string_view text, size_t file_size) {
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
  return printable && file_size == text.size() && text.front() != '{' && text.find(' ') != std::string_view::npos;
}

}  // namespace

bool looks_like_gguf(std::span<const std::byte> bytes) noexcept { return head(bytes, 4) == "GGUF"; }

bool looks_like_safetensors(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() < 9 || bytes[8] != std::byte{'{'}) return false;
  return bytes[5] == std::byte{0} && bytes[6] == std::byte{0} && bytes[7] == std::byte{0};
}

std::optional<std::string> recognise_mishap(std::span<const std::byte> bytes) {
  const std::string_view text = head(bytes, 1024), first = skip_space(text);
  if (text.starts_with("version https://git-lfs"))
    return "is a git-lfs pointer, not the file itself; run `git lfs pull` in its folder";
  if (starts_with_ignoring_case(first, "<!doctype") || starts_with_ignoring_case(first, "<html"))
    return "is an HTML page; the download was probably answered with an error or a login page";
  if (starts_with_ignoring_case(first, "<?xml") || starts_with_ignoring_case(first, "<error>"))
    return "is XML, as a server's error message is; download the file again";
  if (text.starts_with("\x1f\x8b")) return "is a gzip file; unpack it first (gunzip)";
  if (text.starts_with("\x28\xb5\x2f\xfd")) return "is a zstd file; unpack it first (unzstd)";
  if (text.starts_with("\xfd"
                       "7zXZ"))
    return "is an xz file; unpack it first (unxz)";
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    return "is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)";
  return std::nullopt;
}

std::optional<std::string> recognise_file(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "is empty; was the download interrupted?";
  if (auto mishap = recognise_mishap(bytes)) return mishap;
  const std::string_view text = head(bytes, 1024), first = skip_space(text);
  if (text.starts_with("PK\x03\x04"))
    return "is a zip archive, as PyTorch .bin and .pt files are; fathom reads safetensors and GGUF: save it with "
           "save_pretrained(..., safe_serialization=True)";
  if (looks_like_pickle(text))
    return "is a Python pickle, which can run code when read; fathom reads safetensors and GGUF: save it with "
           "save_pretrained(..., safe_serialization=True)";
  if (text.starts_with("\x89HDF\r\n\x1a\n"))
    return "is an HDF5 file, as Keras writes; fathom reads safetensors and GGUF";
  if (looks_like_gguf(bytes)) return "is a GGUF file";
  if (looks_like_safetensors(bytes)) return "is a safetensors file";
  if (looks_like_onnx(text)) return "is an ONNX model; fathom reads safetensors and GGUF";
  if (first.starts_with("{\"error\"") || is_a_line_of_words(text, bytes.size()))
    return fmt::format("is a message ({}), not a file of tensors; was the download answered with an error?",
                       quoted_for_message(first, 60));
  if (first.starts_with('{')) return "is JSON text, not a file of tensors";
  return std::nullopt;
}

}  // namespace fathom
