#include "hub/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json_fields.h"
#include "base/progress.h"
#include "hub/repository.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestRecord = 64 << 20;

fs::path record_path(const fs::path& model_folder) { return state_folder(model_folder) / "pulled.json"; }

PulledFile read_pulled_file(JsonFields fields) {
  PulledFile out;
  out.file.name = fields.text("name");
  out.file.size = static_cast<uint64_t>(fields.integer("size"));
  out.commit = fields.maybe_text("commit").value_or("");
  for (const DigestKind kind : {DigestKind::sha256, DigestKind::git_blob})
    if (const auto text = fields.maybe_text(kind == DigestKind::sha256 ? "sha256" : "git_blob"))
      out.file.digest = {kind, hex_digest(*text, kind)};
  if (!unsafe_file_name(out.file.name).empty() || out.file.digest.hex.empty())
    throw_bad_input("{}: cannot be one", fields.where());
  return out;
}

int open_lock(const fs::path& model_folder, int flags) {
  return ::open((state_folder(model_folder) / "lock").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0666);
}

}  // namespace

const PulledFile* PulledRecord::find(std::string_view name) const noexcept {
  const auto found = std::find_if(files.begin(), files.end(), [&](const PulledFile& f) { return f.file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

void PulledRecord::put(PulledFile file) {
  std::erase_if(files, [&](const PulledFile& f) { return f.file.name == file.file.name; });
  files.push_back(std::move(file));
}

fs::path state_folder(const fs::path& model_folder) { return model_folder / ".fathom"; }

PulledRecord read_record(const fs::path& model_folder) noexcept {
  const fs::path path = record_path(model_folder);
  if (!is_there(path)) return {};
  try {
    const json::value document = parse_json(read_file(path, kLargestRecord), path.string());
    JsonFields fields(document, path.string());
    PulledRecord record;
    record.repository = fields.maybe_text("repository").value_or("");
    record.endpoint = fields.maybe_text("endpoint").value_or("");
    record.revision = fields.maybe_text("revision").value_or("");
    for (size_t i = 0; i < fields.array("files").size(); ++i)
      record.files.push_back(read_pulled_file(fields.entry("files", i)));
    return record;
  } catch (const std::exception&) {  // files are then compared by their digests
    return {};
  }
}

void write_record(const fs::path& model_folder, const PulledRecord& record) {
  json::array files;
  for (const PulledFile& f : record.files)
    files.push_back(json::object{{"name", f.file.name},
                                 {"size", static_cast<int64_t>(f.file.size)},
                                 {f.file.digest.kind == DigestKind::sha256 ? "sha256" : "git_blob", f.file.digest.hex},
                                 {"commit", f.commit}});
  const json::object out = {{"repository", record.repository},
                            {"endpoint", record.endpoint},
                            {"revision", record.revision},
                            {"files", std::move(files)}};
  FileWriter writer(record_path(model_folder));
  writer.write(to_pretty_json(out));
  writer.commit();
}

FolderLock::FolderLock(const fs::path& model_folder, Busy busy, const std::function<void()>& waiting) {
  for (;;) {
    std::error_code error;
    fs::create_directories(state_folder(model_folder), error);
    fd_ = error ? -1 : open_lock(model_folder, O_CREAT);
    if (fd_ < 0)
      throw_bad_input("{}: cannot be written: {}", model_folder.string(),
                      error ? error.message() : std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      if (busy == Busy::refuse) {
        ::close(fd_);
        throw_bad_input("{}: a `fathom pull` goes on there; wait for it to end", model_folder.string());
      }
      if (waiting) waiting();
      while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
      }
    }
    // While it was waited for, the folder may have been removed.
    if (is_file_of(fd_, state_folder(model_folder) / "lock")) return;
    ::close(fd_);
  }
}

FolderLock::~FolderLock() { ::close(fd_); }

bool is_being_pulled(const fs::path& model_folder) noexcept {
  const int fd = open_lock(model_folder, 0);
  if (fd < 0) return false;
  const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return taken;
}

fs::path make_place(const fs::path& model_folder, const std::string& name) {
  check(unsafe_file_name(name).empty(), "the name of a file was looked at");
  fs::path at = model_folder;
  const fs::path relative(name);
  for (const fs::path& part : relative.parent_path()) {
    at /= part;
    std::error_code error;
    fs::create_directory(at, error);
    if (fs::symlink_status(at, error).type() != fs::file_type::directory)
      throw_bad_input("{}: is no folder of its own, so {} is not written into it", at.string(), name);
  }
  return at / relative.filename();
}

void check_free_space(const fs::path& folder, uint64_t needed) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return;  // then writing says so
  const uint64_t free = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (needed > free)
    throw_resource("{}: {} are needed and {} are free on that disk; free some, or name another folder with --to",
                   folder.string(), human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(free)));
}

uint64_t allocated_bytes(const fs::path& path) noexcept {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return 0;
  return std::min(static_cast<uint64_t>(st.st_size), static_cast<uint64_t>(st.st_blocks) * 512);
}

}  // namespace fathom::hub
