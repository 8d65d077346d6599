#include "load/load.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/foreign.h"
#include "base/json/json.h"
#include "base/json/json_fields.h"
#include "base/trace.h"
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "config/config_gguf.h"
#include "load/find_model.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Chat checkpoints name further ids that end an answer in generation_config.json; its other keys are sampling defaults.
void add_generation_eos(const fs::path& path, ModelConfig& config) {
  if (!is_there(path)) return;
  const json::value document = parse_json(read_file(path, kMaxConfigBytes), path.string());
  const json::value* eos = document.is_object() ? document.get_object().if_contains("eos_token_id") : nullptr;
  if (eos == nullptr || eos->is_null()) return;
  auto& ids = config.eos_token_ids;
  for (const int64_t id : token_ids_of_json(*eos, path.string() + ": eos_token_id"))
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

ModelConfig folder_config(const fs::path& folder, std::vector<std::string>* ignored) {
  const fs::path path = folder / "config.json";
  if (!is_there(path))
    throw_bad_input("{}: there is no config.json beside the weights; fathom needs it to know the model",
                    folder.string());
  ModelConfig config = config_from_json(read_file(path, kMaxConfigBytes), path.string(), ignored);
  add_generation_eos(folder / "generation_config.json", config);
  return config;
}

constexpr std::array<std::string_view, 7> kFilesOfAFolder = {
    "config.json",         "generation_config.json",  "tokenizer.json", "tokenizer_config.json",
    "adapter_config.json", "special_tokens_map.json", kSafetensorsIndex};

std::shared_ptr<TensorSource> open_file(const fs::path& path) {
  const MappedFile file(path);  // refuses what is not a regular file
  if (looks_like_gguf(path)) return GgufSource::open(path);
  if (looks_like_safetensors(file.bytes())) return std::make_shared<SafetensorsSource>(path);
  if (std::find(kFilesOfAFolder.begin(), kFilesOfAFolder.end(), path.filename().string()) != kFilesOfAFolder.end())
    throw_bad_input("{}: is one file of a model folder; name the folder", path.string());
  throw_bad_input("{}: {}", path.string(),
                  recognise_file(file.bytes()).value_or("is neither a GGUF nor a safetensors file"));
}

std::shared_ptr<TensorSource> open_found(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return std::make_shared<SafetensorsSource>(path);
  return open_file(path);
}

// Such an id changes no result, but an answer that should end there goes on.
void tell_of_foreign_stop_ids(Model& model) {
  for (const int64_t id : model.config.eos_token_ids)
    if (id >= model.config.vocab_size)
      model.notices.push_back(
          fmt::format("{}: eos_token_id {} is no id of the model, which has 0 to {}; nothing ends there",
                      model.path.string(), id, model.config.vocab_size - 1));
}

}  // namespace

std::shared_ptr<TensorSource> open_tensors(const fs::path& path) {
  std::error_code ignored;
  return open_found(fs::is_regular_file(path, ignored) ? path : find_model(path).path);  // also an adapter's
}

Model load_model(const fs::path& named) {
  const Zone zone("load model");
  const FoundModel found = find_model(named);
  std::vector<std::string> ignored;
  // A folder's config comes before its weights: one that another program quantised is refused by the method's name, not
  // by the element type of some tensor.
  std::optional<ModelConfig> config;
  if (is_there(found.path / "config.json")) config = folder_config(found.path, &ignored);
  Model model{.config = {}, .weights = {}, .source = open_found(found.path), .path = found.path};
  if (!found.notice.empty()) model.notices.push_back(found.notice);
  const auto* gguf = dynamic_cast<const GgufSource*>(model.source.get());
  std::error_code not_a_folder;
  if (const size_t n = model.source->files().size();
      gguf == nullptr && n > 1 && !fs::is_directory(found.path, not_a_folder))
    model.notices.push_back(
        fmt::format("{} is one of {} files of a sharded model; using all of them", found.path.string(), n));
  if (!config)
    config = gguf != nullptr ? config_from_gguf(gguf->metadata(), *gguf, &ignored)
                             : folder_config(folder_of(found.path), &ignored);
  model.config = *std::move(config);
  if (gguf != nullptr)
    if (const auto notice = missing_groups_notice(gguf->metadata(), model.config))
      model.notices.push_back(fmt::format("{}: {}", found.path.string(), *notice));
  if (!ignored.empty())
    model.notes.push_back(fmt::format("keys that cannot change a result: {}", fmt::join(ignored, ", ")));
  tell_of_foreign_stop_ids(model);
  model.weights = load_weights(model.config, *model.source, &model.notes);
  return model;
}

}  // namespace fathom
