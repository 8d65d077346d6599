#include "model/load.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/foreign.h"
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "model/config_gguf.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1 << 20;

fs::path folder_of(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Chat checkpoints name further ids that end an answer in generation_config.json; its other keys are sampling defaults.
void add_generation_eos(const fs::path& path, ModelConfig& config) {
  if (!is_there(path)) return;
  const json::value document = parse_json(read_file(path, kMaxConfigBytes), path.string());
  const json::value* eos = document.is_object() ? document.get_object().if_contains("eos_token_id") : nullptr;
  if (eos == nullptr || eos->is_null()) return;
  const json::array one{*eos};
  for (const json::value& id : eos->is_array() ? eos->get_array() : one) {
    if (!id.is_int64() || id.get_int64() < 0)
      throw_bad_input("{}: eos_token_id must be a token id or an array of them", path.string());
    auto& ids = config.eos_token_ids;
    if (std::find(ids.begin(), ids.end(), id.get_int64()) == ids.end()) ids.push_back(id.get_int64());
  }
}

ModelConfig folder_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!is_there(path))
    throw_bad_input("{}: there is no config.json beside the weights; fathom needs it to know the model",
                    folder.string());
  ModelConfig config = config_from_json(read_file(path, kMaxConfigBytes), path.string());
  add_generation_eos(folder / "generation_config.json", config);
  return config;
}

// A folder without safetensors: say what is there instead.
[[noreturn]] void explain_folder(const fs::path& folder) {
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (is_there(folder / pickle))
      throw_unsupported(
          "{}: holds {}, a Python pickle; fathom reads safetensors and GGUF: save it with save_pretrained(..., "
          "safe_serialization=True)",
          folder.string(), pickle);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".gguf")
      throw_bad_input("{}: is a folder of GGUF files; name the file, for example {}", folder.string(),
                      entry.path().string());
  throw_bad_input("{}: is no model: it holds neither {} nor {}", folder.string(), kSafetensorsFile, kSafetensorsIndex);
}

std::shared_ptr<TensorSource> open_file(const fs::path& path) {
  const MappedFile file(path);  // refuses what is not a regular file
  if (looks_like_gguf(path)) return GgufSource::open(path);
  if (looks_like_safetensors(file.bytes())) return std::make_shared<SafetensorsSource>(path);
  if (path.filename() == "config.json" || path.filename() == kSafetensorsIndex)
    throw_bad_input("{}: is one file of a model folder; name the folder", path.string());
  throw_bad_input("{}: {}", path.string(),
                  recognise_file(file.bytes()).value_or("is neither a GGUF nor a safetensors file"));
}

}  // namespace

std::shared_ptr<TensorSource> open_tensors(const fs::path& path) {
  std::error_code ignored;
  if (!is_there(path)) throw_bad_input("{}: there is no such file or folder", path.string());
  if (!fs::is_directory(path, ignored)) return open_file(path);
  if (!is_there(path / kSafetensorsFile) && !is_there(path / kSafetensorsIndex)) explain_folder(path);
  return std::make_shared<SafetensorsSource>(path);
}

Model load_model(const fs::path& path) {
  Model model{.config = {}, .weights = {}, .source = open_tensors(path), .path = path};
  const auto* gguf = dynamic_cast<const GgufSource*>(model.source.get());
  model.config = gguf != nullptr ? config_from_gguf(gguf->metadata(), *gguf) : folder_config(folder_of(path));
  model.weights = load_weights(model.config, *model.source);
  return model;
}

}  // namespace fathom
