// fathom cache: the files of packed weights that `--weights cached` has written, those of machine costs, and their end.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/write_progress.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct CacheCommand {
  bool verify = false, prune = false, clear = false, json = false, quiet = false;
  int threads = 0;
};

struct CachedFile {
  fs::path path;
  uint64_t bytes = 0;
  int64_t written = 0;   // seconds since 1970
  std::string model;     // empty: the file does not say, or belongs to no model
  bool usable = false;   // by the next run of that model, or on that machine
  bool refused = false;  // damaged, foreign or of another version
  std::string state;     // for people
};

bool is_partial(const fs::path& path) { return path.extension() == ".partial"; }

// Whether the model of a file is still the one whose weights it holds.
std::string model_state(const PackedHeader& header, bool& usable) {
  std::error_code ignored;
  if (!fs::exists(header.model, ignored)) return "its model is gone";
  try {
    Model model = load_model(header.model);
    const auto is_of = [&](const std::vector<NamedWeight>& weights) {
      return packed_fingerprint(model.source.get(), weights) == header.fingerprint;
    };
    const bool here = is_of(packable_weights(model.config, model.weights));
    usable = here || is_of(packable_weights(model.config, model.weights, !bf16_can_be_packed()));
    return here ? "ready" : usable ? "ready, for other CPUs" : "its model has changed";
  } catch (const Error&) {
    return "its model cannot be read";
  }
}

// The states name no path: the list does.
std::string without_path(const std::string& message, const fs::path& path) {
  const std::string prefix = path.string() + ": ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

// Of a file of machine costs.
void describe_machine(const fs::path& folder, CachedFile& f) {
  const MachineFile file = read_machine_file(f.path);
  f.usable = machine_path(folder, file.key) == f.path;
  if (!f.usable) throw_bad_input("{}: does not have the name of its machine", f.path.string());
  f.state = fmt::format("costs of {}, {} kernels{}", file.key.cpu.empty() ? "a CPU without a name" : file.key.cpu,
                        file.key.isa, file.key == this_machine() ? ": this machine" : "");
}

CachedFile describe(const fs::path& folder, const fs::path& path, const CacheCommand& o) {
  CachedFile f;
  f.path = path;
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0) {
    f.bytes = static_cast<uint64_t>(st.st_size);
    f.written = st.st_mtim.tv_sec;
  }
  if (is_partial(path)) {
    f.state = "left by a writer that was killed";
    return f;
  }
  try {
    if (path.extension() == kMachineFileExtension) {
      describe_machine(folder, f);
      return f;
    }
    const PackedFile file(path);
    f.model = file.header().model;
    f.state = model_state(file.header(), f.usable);
    if (!o.verify) return f;
    ThreadPool pool(o.threads);
    WriteProgress bar("verifying", "B", o.quiet);
    file.verify(pool, [&](int64_t done, int64_t total) {
      bar.fn()(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
    });
    f.state += ", every checksum holds";
  } catch (const Error& e) {
    f.usable = false;
    f.refused = true;
    f.state = without_path(e.what(), path);
  }
  return f;
}

// Files in `folder` of that extension, and what killed writers of such files have left.
void add_files(const fs::path& folder, std::string_view extension, std::vector<fs::path>& paths) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() == extension || (is_partial_of(extension, path) && is_abandoned(path))) paths.push_back(path);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw_bad_input("{}: cannot be listed: {}", folder.string(), error.message());
}

std::vector<CachedFile> list_files(const fs::path& folder, const CacheCommand& o) {
  std::vector<fs::path> paths;
  add_files(folder, kPackedFileExtension, paths);
  add_files(machine_folder(folder), kMachineFileExtension, paths);
  std::sort(paths.begin(), paths.end());
  std::vector<CachedFile> files;
  files.reserve(paths.size());
  for (const fs::path& p : paths) files.push_back(describe(folder, p, o));
  return files;
}

uint64_t remove_files(std::vector<CachedFile>& files, bool all) {
  uint64_t bytes = 0;
  std::erase_if(files, [&](const CachedFile& f) {
    if (!all && f.usable) return false;
    std::error_code error;
    if (is_partial(f.path))
      remove_abandoned(f.path);
    else
      fs::remove(f.path, error);
    if (error) throw_bad_input("{}: cannot be removed: {}", f.path.string(), error.message());
    bytes += f.bytes;
    return true;
  });
  return bytes;
}

json::array files_json(const std::vector<CachedFile>& files) {
  json::array out;
  for (const CachedFile& f : files)
    out.push_back(json::object{{"file", f.path.string()},
                               {"bytes", f.bytes},
                               {"written", f.written},
                               {"model", f.model},
                               {"usable", f.usable},
                               {"state", f.state}});
  return out;
}

void print_files(const std::vector<CachedFile>& files, const fs::path& folder, uint64_t removed,
                 const CacheCommand& o) {
  if (o.json) {
    write_json_line(
        json::object{{"folder", folder.string()}, {"removed_bytes", removed}, {"files", files_json(files)}});
    return;
  }
  for (const CachedFile& f : files)
    fmt::print("{}  {:>9}  {}  {}{}\n", f.path.filename().string(), human_bytes(static_cast<double>(f.bytes)),
               human_time(f.written), f.model.empty() ? "" : quoted_for_message(f.model, 4096) + ": ", f.state);
  if (o.clear || o.prune) fmt::print("removed {}\n", human_bytes(static_cast<double>(removed)));
  fmt::print("{} file{} in {}\n", files.size(), files.size() == 1 ? "" : "s", folder.string());
}

void run_cache(const CacheCommand& o) {
  const fs::path folder = cache_folder();
  if (folder.empty()) throw_bad_input("there is no cache folder; set FATHOM_CACHE_DIR, XDG_CACHE_HOME or HOME");
  std::vector<CachedFile> files = list_files(folder, o);
  const uint64_t removed = o.clear || o.prune ? remove_files(files, o.clear) : 0;
  print_files(files, folder, removed, o);
  const auto refused = std::find_if(files.begin(), files.end(), [](const CachedFile& f) { return f.refused; });
  if (o.verify && refused != files.end())
    throw_bad_input("{}: {}; `fathom cache --prune` removes it", refused->path.string(), refused->state);
}

}  // namespace

void add_cache(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "cache", "the files of packed weights that --weights cached has written, and of costs that were measured");
  const auto o = std::make_shared<CacheCommand>();
  command.add_flag("--verify", o->verify,
                   "read the files and compare every checksum, as each run does that uses one; ends with 2 when "
                   "one differs");
  auto* prune = command.add_flag("--prune", o->prune,
                                 "remove those that no run can use: damaged, of another version, left by a killed "
                                 "writer, or of a model that is gone or has changed");
  command.add_flag("--clear", o->clear, "remove all; runs that use one go on")->excludes(prune);
  command.add_option("-t,--threads", o->threads, "threads for --verify; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command.add_flag("--json", o->json, "as JSON");
  command.add_flag("-q,--quiet", o->quiet, "no progress on stderr");
  command.footer(
      "The folder is $FATHOM_CACHE_DIR, else fathom/ in $XDG_CACHE_HOME or ~/.cache. Its files may be deleted at any "
      "time.\n"
      "Examples:\n  fathom generate -m model.gguf --weights cached -p \"Once upon a time\"\n  fathom cache\n  fathom "
      "cache --verify --json\n  fathom cache --prune");
  command.callback([=] { run_cache(*o); });
}

}  // namespace fathom
