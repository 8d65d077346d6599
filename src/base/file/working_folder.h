// A folder that is being filled, by one process at a time, and that is whole or not at all.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/interrupt.h"

namespace fathom {

// Makes the folder, and those above it, where it is missing, and locks it. Destroyed without keep(), or ended by a
// signal (interrupt.h), what is in it is removed, and the folder itself unless it was there before. bad_input Error
// when another process fills it or it cannot be made.
class WorkingFolder {
 public:
  enum class Leftovers : uint8_t {
    refused,  // bad_input Error when the folder is not empty
    removed   // all of it was left by a run that was killed; so was the folder
  };
  WorkingFolder(const std::filesystem::path& path, Leftovers leftovers);
  ~WorkingFolder();
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

  void keep() noexcept;  // as it is; the lock is held on

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  HalfWritten::Kind removed_;
  std::optional<HalfWritten> half_written_;
};

// Whether a WorkingFolder of any process is this one now.
bool is_being_filled(const std::filesystem::path& folder) noexcept;

}  // namespace fathom
