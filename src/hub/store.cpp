#include "hub/store.h"

#include <algorithm>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/file_name.h"
#include "base/progress.h"
#include "checkpoint/safetensors.h"
#include "hub/choice.h"
#include "hub/folder.h"
#include "hub/partial_file.h"
#include "hub/repository.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

using State = StoredModel::State;

bool is_real_folder(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::directory;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (!is_hidden(entry->path()) && is_real_folder(entry->path())) out.push_back(entry->path());
  std::sort(out.begin(), out.end());
  return out;
}

// Regular files in a folder and below it, as paths from it; hidden ones are none of a model's.
std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_hidden(entry->path()))
      entry.disable_recursion_pending();
    else if (entry->is_regular_file(error))
      out.push_back(entry->path().lexically_relative(folder).string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

uint64_t size_of_file(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

// What the record says of these files, and the disk does not.
void compare_with_record(StoredModel& m, const fs::path& folder, const PulledRecord& record) {
  for (const PulledFile& f : record.files) {
    const fs::path path = folder / f.file.name;
    const bool is_mine = std::find(m.files.begin(), m.files.end(), path) != m.files.end();
    const bool is_gguf = has_extension(path, ".gguf");
    if (m.gguf ? !is_mine : is_gguf) continue;
    m.commit = f.commit;
    if (is_mine && size_of_file(path) == f.file.size) continue;
    m.state = State::damaged;
    m.detail = fmt::format("{} {}", f.file.name, is_mine ? "has another size" : "is missing");
  }
}

StoredModel model_of(const fs::path& folder, const std::string& name, const std::vector<std::string>& files) {
  StoredModel m{.name = name, .path = folder};
  for (const std::string& f : files) {
    m.files.push_back(folder / f);
    m.bytes += size_of_file(m.files.back());
  }
  return m;
}

// Whether a name with this tag means one model of the folder.
bool is_unique(const std::vector<GgufModel>& models, const std::string& tag) {
  return !tag.empty() &&
         std::count_if(models.begin(), models.end(), [&](const GgufModel& m) { return has_tag(m.stem, tag); }) == 1;
}

void add_gguf_models(const fs::path& folder, const std::string& id, const std::vector<std::string>& files,
                     const PulledRecord& record, std::vector<StoredModel>& out) {
  std::vector<std::string> names;
  std::copy_if(files.begin(), files.end(), std::back_inserter(names),
               [](const std::string& f) { return has_extension(f, ".gguf"); });
  const std::vector<GgufModel> models = gguf_models(names);
  for (const GgufModel& g : models) {
    const std::string tag = tag_of(g.stem);
    StoredModel m = model_of(folder, models.size() > 1 && is_unique(models, tag) ? id + ':' + tag : id, g.files);
    m.path = m.files.front();
    m.gguf = true;
    m.quantisation = tag;
    if (!g.whole) {
      m.state = State::damaged;
      m.detail = "not all of its parts are there";
    }
    compare_with_record(m, folder, record);
    out.push_back(std::move(m));
  }
}

std::string leftover_text(const fs::path& folder, const Leftover& left) {
  if (left.files == 0) return "a pull that did not end";
  return fmt::format("{} of {} of {} file{} are there{}", human_bytes(static_cast<double>(left.done)),
                     human_bytes(static_cast<double>(left.size)), left.files, left.files == 1 ? "" : "s",
                     is_being_pulled(folder) ? "; a pull goes on" : "");
}

std::vector<StoredModel> models_in(const fs::path& folder, const std::string& id) {
  std::vector<StoredModel> out;
  const std::vector<std::string> files = files_in(folder);
  const PulledRecord record = read_record(folder);
  if (holds_safetensors(folder)) {
    std::vector<std::string> own;
    std::copy_if(files.begin(), files.end(), std::back_inserter(own),
                 [](const std::string& f) { return !has_extension(f, ".gguf"); });
    StoredModel m = model_of(folder, id, own);
    compare_with_record(m, folder, record);
    out.push_back(std::move(m));
  }
  add_gguf_models(folder, id, files, record, out);
  const Leftover left = leftover_in(state_folder(folder));
  if (left.files > 0 || (out.empty() && is_there(state_folder(folder)))) {
    StoredModel m{.name = id, .path = folder};
    m.bytes = left.done;
    m.state = State::partial;
    m.detail = leftover_text(folder, left);
    out.push_back(std::move(m));
  }
  return out;
}

// The folder of OWNER/NAME, whose name was looked at.
fs::path folder_of(const fs::path& store, const RepositoryName& name) { return store / name.owner / name.name; }

std::string names_text(const std::vector<StoredModel>& models) {
  std::vector<std::string> out;
  for (const StoredModel& m : models)
    if (m.state != State::partial) out.push_back(m.name.find(':') != std::string::npos ? m.name : m.path.string());
  return fmt::format("{}", fmt::join(out, ", "));
}

// Those of a folder that are there, and have the tag where one is named.
std::vector<StoredModel> fitting_models(const fs::path& folder, const std::vector<StoredModel>& models,
                                        const std::string& tag) {
  std::vector<StoredModel> out;
  std::copy_if(models.begin(), models.end(), std::back_inserter(out), [&](const StoredModel& m) {
    if (m.state == State::partial || tag.empty()) return m.state != State::partial;
    return m.gguf && has_tag(gguf_models({m.path.lexically_relative(folder).string()}).front().stem, tag);
  });
  return out;
}

}  // namespace

std::vector<StoredModel> list_store(const fs::path& store) {
  std::vector<StoredModel> out;
  for (const fs::path& owner : folders_in(store))
    for (const fs::path& folder : folders_in(owner)) {
      const std::string id = owner.filename().string() + '/' + folder.filename().string();
      if (!is_repository_name(id)) continue;
      std::vector<StoredModel> models = models_in(folder, id);
      std::move(models.begin(), models.end(), std::back_inserter(out));
    }
  return out;
}

std::optional<fs::path> find_stored(const fs::path& store, std::string_view text) {
  if (store.empty() || !is_repository_name(text)) return std::nullopt;
  const RepositoryName name = parse_repository(text);
  const fs::path folder = folder_of(store, name);
  std::error_code error;
  if (!fs::is_directory(folder, error)) return std::nullopt;
  const std::vector<StoredModel> models = models_in(folder, name.id());
  const std::vector<StoredModel> fitting = fitting_models(folder, models, name.tag);
  if (fitting.size() > 1)
    throw_bad_input("{}: is in the store with {} models; name one: {}", text, fitting.size(), names_text(fitting));
  if (fitting.size() == 1 && fitting.front().state == State::complete) return fitting.front().path;
  const std::string why = fitting.size() == 1          ? fitting.front().detail
                          : models.empty()             ? "its folder in the store holds no model"
                          : names_text(models).empty() ? models.front().detail
                                                       : "the store has " + names_text(models);
  throw_bad_input("{}: {}; `fathom pull {}` brings {}", text, why, text,
                  fitting.empty() && !names_text(models).empty() ? "it" : "what is missing");
}

uint64_t remove_stored(const fs::path& store, std::string_view text) {
  if (!is_repository_name(text))
    throw_bad_input("{}: is no name of a model in the store; `fathom models` lists them", quoted_for_message(text));
  const RepositoryName name = parse_repository(text);
  const fs::path folder = folder_of(store, name);
  std::error_code error;
  if (!fs::exists(fs::symlink_status(folder, error)))
    throw_bad_input("{}: is not in the store {}; `fathom models` lists what is", text, store.string());
  if (!is_real_folder(store / name.owner) || !is_real_folder(folder))
    throw_bad_input("{}: is no folder of the store {} itself, so it is not removed", text, store.string());
  const FolderLock lock(folder, FolderLock::Busy::refuse);
  uint64_t bytes = 0;
  const std::vector<StoredModel> models = models_in(folder, name.id());
  if (name.tag.empty()) {
    for (const StoredModel& m : models) bytes += m.bytes;
    fs::remove_all(folder, error);
    std::error_code not_empty;
    fs::remove(store / name.owner, not_empty);
  } else {
    const std::vector<StoredModel> fitting = fitting_models(folder, models, name.tag);
    if (fitting.size() != 1)
      throw_bad_input("{}: {} models of the store fit; `fathom models` lists what is there", text, fitting.size());
    bytes = fitting.front().bytes;
    PulledRecord record = read_record(folder);
    for (const fs::path& file : fitting.front().files) {
      if (!error) fs::remove(file, error);
      std::erase_if(record.files, [&](const PulledFile& f) { return folder / f.file.name == file; });
    }
    write_record(folder, record);
  }
  if (error) throw_bad_input("{}: cannot be removed: {}", folder.string(), error.message());
  return bytes;
}

}  // namespace fathom::hub
