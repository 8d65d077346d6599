// From the path that somebody named to the one that holds a model.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace fathom {

inline constexpr uint64_t kMaxConfigBytes = 1 << 20;  // of a config.json and its kind

struct FoundModel {
  std::filesystem::path path;  // a folder of safetensors, or a file
  std::string notice;          // what was taken in place of what was named; empty when it is the same
};

// What is named may be a model (a folder with weights, a file), or a folder that holds one in its way:
//   models--OWNER--NAME of the Hugging Face cache    the snapshot that refs/main names, or the only one
//   a run of `fathom train`                          its newest checkpoint, step-NNNNNNNN
// bad_input or unsupported, with what is there and what to do, for a folder of anything else: a LoRA adapter, a
// tokenizer, GGUF files, files of PyTorch and other frameworks, downloads that did not finish, models one level deeper.
FoundModel find_model(const std::filesystem::path& named);

// The model inside a folder of the first two kinds; nothing for any other folder.
std::optional<FoundModel> find_model_inside(const std::filesystem::path& folder);

}  // namespace fathom
