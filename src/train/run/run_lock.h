// One training process per run folder.
#pragma once
#include <filesystem>

namespace fathom {

// Holds RUN/lock (flock) until destroyed; the system releases it when the process ends, however it ends. The file
// stays and names the process that held it last. bad_input when another process holds it, naming that process, and when
// the file cannot be written. A file system without locks gives none.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace fathom
