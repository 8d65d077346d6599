#include "engine/tuning/machine_costs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json_fields.h"
#include "base/machine/cpu.h"
#include "base/progress.h"
#include "base/xxh64.h"
#include "engine/tuning/measure_costs.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

#ifdef __OPTIMIZE__
constexpr const char* kBuild = __VERSION__;
#else
constexpr const char* kBuild = __VERSION__ ", not optimised";
#endif
constexpr const char* kWhat = "fathom machine costs";
constexpr auto kPatience = std::chrono::seconds(5);  // for another process, which needs less than one

// A lock of the folder, so that one process measures while the others wait for its file. Made where there is none.
// Without locks on that file system, or when the other takes too long, this one goes on.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw_bad_input("{}: cannot be made: {}", folder.string(), error.message());
    fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK &&
           std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

std::string key_text(const MachineKey& key) {
  return fmt::format("{}\n{}\n{}\n{}", kMachineVersion, key.cpu, key.isa, key.build);
}

// What was kept, if it is whole and of this machine.
std::optional<MachineCosts> read_costs(const fs::path& path, const MachineKey& key, const NoticeFn& notice,
                                       const char* then) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    const MachineFile file = read_machine_file(path);
    if (file.key != key) throw_bad_input("{}: holds the costs of another machine; it may be deleted", path.string());
    return MachineCosts{.mla = file.mla, .source = MachineCosts::Source::file, .measured = file.measured, .path = path};
  } catch (const Error& e) {
    if (notice) notice(fmt::format("{}; {}", e.what(), then));
    return std::nullopt;
  }
}

MachineCosts measure_now(const std::function<MlaCosts()>& measure) {
  const double start = clock_seconds();
  MachineCosts costs{
      .mla = measure(), .source = MachineCosts::Source::measured, .measured = static_cast<int64_t>(std::time(nullptr))};
  costs.seconds = clock_seconds() - start;
  return costs;
}

void keep(MachineCosts& costs, const fs::path& path, const MachineKey& key) {
  remove_abandoned_in(path.parent_path(), kMachineFileExtension);
  FileWriter writer(path, Partial::own);
  writer.write(machine_text({.key = key, .measured = costs.measured, .mla = costs.mla}));
  writer.commit();
  costs.path = path;
}

}  // namespace

MachineKey this_machine() { return {.cpu = cpu_identity(), .isa = std::string(name(kernels().isa)), .build = kBuild}; }

fs::path machine_folder(const fs::path& cache_folder) { return cache_folder / "machine"; }

fs::path machine_path(const fs::path& cache_folder, const MachineKey& key) {
  return machine_folder(cache_folder) / (hash_text(xxh64(key_text(key))) + kMachineFileExtension);
}

std::string machine_text(const MachineFile& file) {
  json::object mla;
  for (const MlaCostName& c : kMlaCosts) mla[c.name] = file.mla.*c.cost;
  json::object out{{"what", kWhat},        {"version", kMachineVersion}, {"cpu", file.key.cpu},
                   {"isa", file.key.isa},  {"build", file.key.build},    {"measured", file.measured},
                   {"mla", std::move(mla)}};
  const std::string checksum = hash_text(xxh64(to_pretty_json(out)));
  out["checksum"] = checksum;
  return to_pretty_json(out);
}

MachineFile parse_machine_file(const std::string& text, const std::string& where) {
  const json::value document = parse_json(text, where);
  const json::object* object = document.if_object();
  const json::value* what = object != nullptr ? object->if_contains("what") : nullptr;
  if (what == nullptr || *what != kWhat) throw_bad_input("{}: is no file of machine costs; it may be deleted", where);
  JsonFields fields(document, where);
  fields.ignore("what");
  if (const int64_t version = fields.integer("version"); version != kMachineVersion)
    throw_unsupported("{}: is a file of machine costs of version {}; this fathom uses version {}; it may be deleted",
                      where, version, kMachineVersion);
  MachineFile file;
  file.key = {.cpu = std::string(fields.text("cpu")),
              .isa = std::string(fields.text("isa")),
              .build = std::string(fields.text("build"))};
  file.measured = fields.integer("measured");
  if (auto mla = fields.maybe_fields("mla"))
    for (const MlaCostName& c : kMlaCosts) file.mla.*c.cost = mla->number(c.name);
  // Whatever else differs, a key too many or a digit, differs in the text or in its checksum.
  if (machine_text(file) != text)
    throw_bad_input("{}: is a damaged file of machine costs (its checksum differs); it may be deleted", where);
  return file;
}

MachineFile read_machine_file(const fs::path& path) {
  constexpr uint64_t kMaxBytes = 1 << 16;
  return parse_machine_file(read_file(path, kMaxBytes), path.string());
}

MachineCosts machine_costs(const fs::path& cache_folder, const NoticeFn& notice, Measure when,
                           const std::function<MlaCosts()>& measure) {
  if (kernels().isa == Isa::ref) return {};
  const MachineKey key = this_machine();
  if (cache_folder.empty()) {
    MachineCosts costs = measure_now(measure);
    costs.not_kept = "there is no folder for them (FATHOM_CACHE_DIR, XDG_CACHE_HOME, HOME)";
    return costs;
  }
  const fs::path path = machine_path(cache_folder, key);
  if (when == Measure::when_needed)
    if (auto kept = read_costs(path, key, notice, "this machine is measured again")) return *kept;
  std::optional<MachineCosts> costs;
  try {
    const FolderLock lock(machine_folder(cache_folder));
    if (when == Measure::when_needed)  // another process may have been first
      if (auto kept = read_costs(path, key, {}, "")) return *kept;
    costs = measure_now(measure);
    keep(*costs, path, key);
  } catch (const Error& e) {
    if (!costs) costs = measure_now(measure);
    costs->not_kept = e.what();
  }
  return *costs;
}

MachineCosts kept_costs(const fs::path& cache_folder, const NoticeFn& notice) {
  const MachineKey key = this_machine();
  if (cache_folder.empty() || kernels().isa == Isa::ref) return {};
  return read_costs(machine_path(cache_folder, key), key, notice, "it is not used").value_or(MachineCosts{});
}

std::string describe_source(const MachineCosts& c) {
  switch (c.source) {
    case MachineCosts::Source::built_in:
      return "built in";
    case MachineCosts::Source::measured:
      return fmt::format("measured now in {:.2f} s, {}", c.seconds,
                         c.path.empty() ? "not kept: " + c.not_kept : "kept in " + c.path.string());
    case MachineCosts::Source::file:
      return fmt::format("measured {}, kept in {}", human_time(c.measured), c.path.string());
  }
  return "";
}

}  // namespace fathom
