#include "checkpoint/foreign.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string_view>

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

}  // namespace

bool looks_like_gguf(std::span<const std::byte> bytes) noexcept { return head(bytes, 4) == "GGUF"; }

bool looks_like_safetensors(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() < 9 || bytes[8] != std::byte{'{'}) return false;
  return bytes[5] == std::byte{0} && bytes[6] == std::byte{0} && bytes[7] == std::byte{0};
}

std::optional<std::string> recognise_file(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "is empty; was the download interrupted?";
  const std::string_view text = head(bytes, 1024), first = skip_space(text);
  if (text.starts_with("version https://git-lfs"))
    return "is a git-lfs pointer, not the file itself; run `git lfs pull` in its folder";
  if (starts_with_ignoring_case(first, "<!doctype") || starts_with_ignoring_case(first, "<html"))
    return "is an HTML page; the download was probably answered with an error or a login page";
  if (text.starts_with("PK\x03\x04"))
    return "is a zip archive, as PyTorch .bin and .pt files are; fathom reads safetensors and GGUF: save it with "
           "save_pretrained(..., safe_serialization=True)";
  if (looks_like_pickle(text))
    return "is a Python pickle, which can run code when read; fathom reads safetensors and GGUF: save it with "
           "save_pretrained(..., safe_serialization=True)";
  if (looks_like_gguf(bytes)) return "is a GGUF file";
  if (looks_like_safetensors(bytes)) return "is a safetensors file";
  if (looks_like_onnx(text)) return "is an ONNX model; fathom reads safetensors and GGUF";
  if (first.starts_with('{')) return "is JSON text, not a file of tensors";
  return std::nullopt;
}

}  // namespace fathom
