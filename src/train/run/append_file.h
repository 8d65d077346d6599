// A log file that only ever holds whole entries.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace fathom {

// One thread appends. The file is made when missing; bad_input Error when it cannot be opened for writing.
class AppendFile {
 public:
  // alone: refused while another AppendFile, of any process, has it open so.
  enum class Open : uint8_t { keep, must_be_new, alone };

  explicit AppendFile(const std::filesystem::path& path, Open open = Open::keep);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // All of `entry` or nothing: when the disk is full half way, the half is cut off again and a resource Error thrown.
  // After a crash the last entry may be torn, none before it.
  void append(std::string_view entry);
  // Cuts off what follows the first `bytes`: an entry that a crash has torn.
  void cut_to(uint64_t bytes);
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;  // whole entries
};

}  // namespace fathom
