// What a file is when it is not what it should be.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace fathom {

// What went wrong on a file's way here, as a part of a sentence with what to do about it: "is a git-lfs pointer, not
// the file itself; ...". Reads the first bytes only. Kinds: git-lfs pointer, HTML page, XML answer of a server, gzip,
// zstd and xz archives, UTF-16 text. Absent for anything else.
std::optional<std::string> recognise_mishap(std::span<const std::byte> bytes);

// The same, and what else a file is that should hold tensors: empty, PyTorch pickle or zip, ONNX, HDF5, GGUF,
// safetensors, JSON, one line of text.
std::optional<std::string> recognise_file(std::span<const std::byte> bytes);

bool looks_like_gguf(std::span<const std::byte> bytes) noexcept;
// A plausible header length and then '{'. JSON that breaks later is still safetensors, and refused as such.
bool looks_like_safetensors(std::span<const std::byte> bytes) noexcept;

}  // namespace fathom
