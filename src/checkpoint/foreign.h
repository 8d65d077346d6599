// What a file is when it is not what it should be.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace fathom {

// A sentence part for a file of a well-known other kind, with what to do about it: "is a git-lfs pointer, not the file
// itself; ...". Reads the first bytes only. Kinds: empty, git-lfs pointer, HTML page, PyTorch pickle or zip, ONNX,
// GGUF, safetensors, JSON. Absent for anything else.
std::optional<std::string> recognise_file(std::span<const std::byte> bytes);

bool looks_like_gguf(std::span<const std::byte> bytes) noexcept;
// A plausible header length and then '{'. JSON that breaks later is still safetensors, and refused as such.
bool looks_like_safetensors(std::span<const std::byte> bytes) noexcept;

}  // namespace fathom
