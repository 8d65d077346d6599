#include "model/load.h"

#include "base/error.h"
#include "checkpoint/foreign.h"
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "model/config_gguf.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1 << 20;

Model load_gguf(const fs::path& path) {
  Model model;
  std::shared_ptr<GgufSource> source = GgufSource::open(path);
  model.config = config_from_gguf(source->metadata(), *source);
  model.weights = load_weights(model.config, *source);
  model.source = std::move(source);
  return model;
}

Model load_safetensors(const fs::path& path, const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  std::error_code ignored;
  if (!fs::exists(config_path, ignored))
    throw_bad_input("{}: there is no config.json beside the weights; fathom needs it to know the model",
                    folder.string());
  Model model;
  model.config = config_from_json(read_file(config_path, kMaxConfigBytes), config_path.string());
  model.source = std::make_shared<SafetensorsSource>(path);
  model.weights = load_weights(model.config, *model.source);
  return model;
}

// A folder without safetensors: say what is there instead.
[[noreturn]] void explain_folder(const fs::path& folder) {
  std::error_code ignored;
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (fs::exists(folder / pickle, ignored))
      throw_unsupported(
          "{}: holds {}, a Python pickle; fathom reads safetensors and GGUF: save it with save_pretrained(..., "
          "safe_serialization=True)",
          folder.string(), pickle);
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".gguf")
      throw_bad_input("{}: is a folder of GGUF files; name the file, for example {}", folder.string(),
                      entry.path().string());
  throw_bad_input("{}: is no model: it holds neither {} nor {}", folder.string(), kSafetensorsFile, kSafetensorsIndex);
}

Model load_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kSafetensorsFile, ignored) && !fs::exists(folder / kSafetensorsIndex, ignored))
    explain_folder(folder);
  return load_safetensors(folder, folder);
}

Model load_file(const fs::path& path) {
  const MappedFile file(path);  // refuses what is not a regular file
  if (looks_like_gguf(path)) return load_gguf(path);
  if (looks_like_safetensors(file.bytes()))
    return load_safetensors(path, path.has_parent_path() ? path.parent_path() : ".");
  const auto what = recognise_file(file.bytes());
  if (path.filename() == "config.json" || path.filename() == kSafetensorsIndex)
    throw_bad_input("{}: is one file of a model folder; name the folder", path.string());
  throw_bad_input("{}: {}", path.string(), what.value_or("is neither a GGUF nor a safetensors file"));
}

}  // namespace

Model load_model(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw_bad_input("{}: there is no such file or folder", path.string());
  Model model = fs::is_directory(path, ignored) ? load_folder(path) : load_file(path);
  model.path = path;
  return model;
}

}  // namespace fathom
