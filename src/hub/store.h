// The models that `fathom pull` has brought: STORE/OWNER/NAME, a folder of safetensors or of GGUF files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::hub {

struct StoredModel {
  std::string name =
      {};  // what -m takes: OWNER/NAME, with :TAG where the folder has several GGUF models that differ by it
  std::filesystem::path path = {};  // the folder, or the (first) GGUF file
  bool gguf = false;
  std::string quantisation = {};  // of a GGUF's file name; else empty
  uint64_t bytes = 0;             // of its weights and texts
  enum class State : uint8_t {
    complete,
    partial,  // a pull that has not ended: there may be no model yet
    damaged   // a file of the record is missing or has another size
  } state = State::complete;
  std::string detail = {};  // of the other two
  std::string commit = {};  // empty where no record says so
  std::vector<std::filesystem::path> files = {};
};

// In the order of their names. What is no folder OWNER/NAME is passed over, and so are links.
std::vector<StoredModel> list_store(const std::filesystem::path& store);

// The path of a model by its name. Nothing when the text is no such name or the store has no such folder; bad_input,
// saying what is there, when none or several of it fit, or the pull has not ended.
std::optional<std::filesystem::path> find_stored(const std::filesystem::path& store, std::string_view name);

// Removes OWNER/NAME, or the GGUF model of OWNER/NAME:TAG alone, with all that pulls left; nothing outside the store is
// touched. The bytes that it had. bad_input when there is none, it is a link, or a pull goes on in it.
uint64_t remove_stored(const std::filesystem::path& store, std::string_view name);

}  // namespace fathom::hub
