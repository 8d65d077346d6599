#include "load/find_model.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/file_name.h"
#include "base/json/json.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr const char* kAdapterWeights = "adapter_model.safetensors";

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// Names of what lies in a folder, in order; nothing when it cannot be listed. Hidden files are none of a model's: macOS
// leaves ._model.safetensors on other disks.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (!is_hidden(entry.path())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// The first few: "a, b, c and 4 more".
std::string list_text(const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  std::string text = fmt::format("{}", fmt::join(std::span(names).first(std::min(names.size(), kShown)), ", "));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

template <class Fits>
std::vector<std::string> names_that(const fs::path& folder, Fits&& fits) {
  std::vector<std::string> found = names_in(folder);
  std::erase_if(found, [&](const std::string& name) { return !fits(name); });
  return found;
}

std::vector<std::string> gguf_files(const fs::path& folder) {
  return names_that(folder, [](const std::string& name) { return has_extension(name, ".gguf"); });
}

// ---- folders that hold a model in their way ----

std::optional<FoundModel> in_hub_cache(const fs::path& folder) {
  const std::vector<std::string> snapshots = names_in(folder / "snapshots");
  if (snapshots.empty() || !(is_folder(folder / "refs") || is_folder(folder / "blobs"))) return std::nullopt;
  std::string chosen = snapshots.size() == 1 ? snapshots.front() : std::string();
  if (is_there(folder / "refs" / "main")) {
    std::string revision = read_file(folder / "refs" / "main", 1024);
    while (!revision.empty() && revision.back() <= ' ') revision.pop_back();
    if (std::find(snapshots.begin(), snapshots.end(), revision) != snapshots.end()) chosen = revision;
  }
  if (chosen.empty())
    throw_bad_input("{}: is a folder of the Hugging Face cache with {} snapshots; name one: {}", folder.string(),
                    snapshots.size(), list_text(snapshots));
  return FoundModel{
      folder / "snapshots" / chosen,
      fmt::format("{} is a folder of the Hugging Face cache; using its snapshots/{}", folder.string(), chosen)};
}

bool is_checkpoint_name(const std::string& name) {
  return name.size() == 13 && name.starts_with("step-") &&
         std::all_of(name.begin() + 5, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<FoundModel> in_training_run(const fs::path& folder) {
  std::vector<std::string> checkpoints = names_that(folder, [&](const std::string& name) {
    return is_checkpoint_name(name) && is_there(folder / name / "config.json");
  });
  if (checkpoints.empty()) {
    if (is_there(folder / "metrics.jsonl") && is_there(folder / "lock"))
      throw_bad_input("{}: is a training run without a checkpoint yet", folder.string());
    return std::nullopt;
  }
  return FoundModel{folder / checkpoints.back(), fmt::format("{} is a training run; using its newest checkpoint {}",
                                                             folder.string(), checkpoints.back())};
}

// ---- folders that hold none ----

[[noreturn]] void refuse_adapter(const fs::path& folder) {
  const std::string where = (folder / kAdapterConfig).string();
  std::string kind = "an adapter", base = "its base model";
  if (is_there(folder / kAdapterConfig)) {
    const json::value document = parse_json(read_file(folder / kAdapterConfig, kMaxConfigBytes), where);
    const auto text = [&](const char* key) {
      const json::value* found = document.is_object() ? document.get_object().if_contains(key) : nullptr;
      return found != nullptr && found->is_string() ? std::string(std::string_view(found->get_string()))
                                                    : std::string();
    };
    if (!text("peft_type").empty()) kind = fmt::format("a {} adapter", quoted_for_message(text("peft_type"), 20));
    if (text("peft_type") == "LORA") kind = "a LoRA adapter";
    if (!text("base_model_name_or_path").empty()) base = quoted_for_message(text("base_model_name_or_path"), 200);
  }
  throw_unsupported(
      "{}: is {} for {}, not a whole model; merge the two first (peft: PeftModel.from_pretrained(base, "
      "adapter).merge_and_unload().save_pretrained(folder)) and name that folder",
      folder.string(), kind, base);
}

struct OtherFormat {
  std::string_view prefix, suffix, what;
};
constexpr std::string_view kSaveAsSafetensors =
    "load it with the program that made it, and save it with save_pretrained(..., safe_serialization=True)";
constexpr std::array kOtherFormats = std::to_array<OtherFormat>({
    {"pytorch_model", ".bin", "a Python pickle"},
    {"pytorch_model", ".bin.index.json", "the index of Python pickles"},
    {"", ".pt", "a Python pickle"},
    {"", ".pth", "a Python pickle"},
    {"", ".ckpt", "a Python pickle"},
    {"", ".distcp", "a part of PyTorch's distributed checkpoint"},
    {"zero_to_fp32", ".py", "of a DeepSpeed checkpoint: run it to collect the weights"},
    {"latest_checkpointed_iteration", ".txt", "of a Megatron checkpoint"},
    {"mp_rank_", "", "of a Megatron checkpoint"},
    {"tf_model", ".h5", "a TensorFlow checkpoint"},
    {"flax_model", ".msgpack", "a Flax checkpoint"},
    {"", ".onnx", "an ONNX model"},
    {"weights", ".npz", "an MLX checkpoint"},
    {"ggml-model", ".bin", "a GGML file from before GGUF"},
});

void refuse_other_formats(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    for (const OtherFormat& f : kOtherFormats)
      if (name.size() >= f.prefix.size() + f.suffix.size() && name.starts_with(f.prefix) && name.ends_with(f.suffix))
        throw_unsupported("{}: holds {}, {}; fathom reads safetensors and GGUF: {}", folder.string(), name, f.what,
                          kSaveAsSafetensors);
}

// Files that a program was still writing. huggingface_hub keeps its own in blobs/, or in .cache/ of a --local-dir.
std::vector<std::string> unfinished_downloads(const fs::path& folder) {
  constexpr std::string_view kEndings[] = {".incomplete", ".part",  ".partial", ".crdownload",
                                           ".download",   ".aria2", ".!qB"};
  std::vector<std::string> found;
  for (const char* place : {"", "blobs", ".cache/huggingface/download", "../../blobs"})
    for (const std::string& name : names_in(folder / place))
      if (std::any_of(std::begin(kEndings), std::end(kEndings), [&](std::string_view e) { return name.ends_with(e); }))
        found.push_back((fs::path(place) / name).string());
  return found;
}

// Folders in this one that may be meant.
std::vector<std::string> models_below(const fs::path& folder) {
  return names_that(folder, [&](const std::string& name) {
    const fs::path inside = folder / name;
    return is_folder(inside) && (is_there(inside / "config.json") || is_there(inside / "metrics.jsonl") ||
                                 name.starts_with("models--") || !gguf_files(inside).empty());
  });
}

[[noreturn]] void explain_folder(const fs::path& folder) {
  if (::access(folder.c_str(), R_OK | X_OK) != 0)
    throw_bad_input("{}: cannot be listed: {}", folder.string(), std::strerror(errno));
  const std::vector<std::string> names = names_in(folder);
  if (is_there(folder / kAdapterConfig) || is_there(folder / kAdapterWeights)) refuse_adapter(folder);
  if (const auto files = gguf_files(folder); !files.empty())
    throw_bad_input("{}: is a folder of GGUF files; name the file, for example {} ({} there: {})", folder.string(),
                    (folder / files.front()).string(), files.size(), list_text(files));
  if (const auto files = unfinished_downloads(folder); !files.empty())
    throw_bad_input("{}: holds {}, a download that has not finished; start it again", folder.string(),
                    list_text(files));
  refuse_other_formats(folder, names);
  if (const auto inside = models_below(folder); !inside.empty())
    throw_bad_input("{}: is no model, but holds {}; name one of these folders", folder.string(), list_text(inside));
  if (is_there(folder / "tokenizer.json"))
    throw_bad_input("{}: holds a tokenizer, but no weights ({} or {})", folder.string(), kSafetensorsFile,
                    kSafetensorsIndex);
  if (is_there(folder / "config.json"))
    throw_bad_input("{}: holds a config.json, but no weights ({} or {}); is the download complete?", folder.string(),
                    kSafetensorsFile, kSafetensorsIndex);
  throw_bad_input("{}: is no model: it holds neither {} nor {}", folder.string(), kSafetensorsFile, kSafetensorsIndex);
}

// "deepseek-ai/DeepSeek-V2-Lite": a name on the hub, where a path was needed.
bool looks_like_hub_name(const fs::path& named) {
  const std::string text = named.string();
  return std::count(text.begin(), text.end(), '/') == 1 && text.find('/') != 0 && text.back() != '/' &&
         !text.starts_with('.') && !has_extension(named, ".gguf") && !has_extension(named, ".safetensors");
}

[[noreturn]] void refuse_missing(const fs::path& named) {
  std::error_code error;
  if (fs::status(named, error).type() != fs::file_type::not_found && error)  // a folder above it may not be searched
    throw_bad_input("{}: cannot be opened: {}", named.string(), error.message());
  if (looks_like_hub_name(named))
    throw_bad_input(
        "{}: there is no such file or folder; if it is a name on the Hugging Face hub, `fathom pull {}` downloads it",
        named.string(), named.string());
  throw_bad_input("{}: there is no such file or folder", named.string());
}

}  // namespace

FoundModel find_model(const fs::path& named) {
  if (!is_there(named)) refuse_missing(named);
  if (!is_folder(named)) {
    if (named.filename() == kAdapterWeights) refuse_adapter(named.has_parent_path() ? named.parent_path() : ".");
    return {named, ""};
  }
  if (holds_safetensors(named)) return {named, ""};
  if (auto found = find_model_inside(named)) return *found;
  explain_folder(named);
}

std::optional<FoundModel> find_model_inside(const fs::path& folder) {
  if (auto found = in_hub_cache(folder)) return found;
  return in_training_run(folder);
}

}  // namespace fathom
