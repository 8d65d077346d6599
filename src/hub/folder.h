// The folder of a pulled model. Beside the model's own files it has a hidden one of ours:
//
//     .fathom/lock           locked by the pull that fills the folder; its content is nothing
//     .fathom/DIGEST.part    a file that has not come whole yet, and DIGEST.json beside it (partial_file.h)
//     .fathom/DIGEST.whole   one that is whole and right, and waits for the others: all get their names at once
//     .fathom/pulled.json    where each file is from: repository, commit, size, digest
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/listing.h"

namespace fathom::hub {

struct PulledFile {
  HubFile file = {};
  std::string commit = {};
};

struct PulledRecord {
  std::string repository = {}, endpoint = {}, revision = {};
  std::vector<PulledFile> files = {};

  const PulledFile* find(std::string_view name) const noexcept;
  void put(PulledFile file);  // in place of one of that name
};

std::filesystem::path state_folder(const std::filesystem::path& model_folder);

// Nothing where there is no record, or none that can be read.
PulledRecord read_record(const std::filesystem::path& model_folder) noexcept;
void write_record(const std::filesystem::path& model_folder, const PulledRecord& record);

// One pull at a time fills a folder: the lock is held while this lives, and ends with the process.
class FolderLock {
 public:
  enum class Busy : uint8_t { wait, refuse };
  // Makes the folder where it is missing. `waiting` is called once, before a wait. bad_input when it cannot be made or,
  // with Busy::refuse, a pull goes on in it.
  FolderLock(const std::filesystem::path& model_folder, Busy busy, const std::function<void()>& waiting = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

// Whether a pull fills the folder now.
bool is_being_pulled(const std::filesystem::path& model_folder) noexcept;

// Where a file of that (safe) name lies; the folders above it are made. bad_input when one of them is a link, which may
// lead elsewhere, or no folder.
std::filesystem::path make_place(const std::filesystem::path& model_folder, const std::string& name);

// resource Error when the disk of the folder has fewer bytes free.
void check_free_space(const std::filesystem::path& folder, uint64_t needed);

// Bytes of the disk that a file takes now, at most its length; 0 when there is none.
uint64_t allocated_bytes(const std::filesystem::path& path) noexcept;

}  // namespace fathom::hub
