// Element types of GGUF files that fathom does not read: of llama.cpp, of its past, and of ik_llama.cpp.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace fathom {

// Sentence parts for messages about a type that dtype_from_ggml (tensor/dtype.h) does not know.
struct ForeignType {
  std::string_view name;  // "iq2_xxs"
  std::string_view kind;  // "a type of llama.cpp's below 4 bits"
  std::string_view advice;
};

// Absent for a number that neither program ever used.
std::optional<ForeignType> foreign_type(int64_t ggml_type) noexcept;
// In any case.
std::optional<ForeignType> foreign_type(std::string_view name) noexcept;

}  // namespace fathom
