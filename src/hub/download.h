// Files of one commit of a repository, over several connections: pieces of one file and several files at a time, each
// piece resumed where it broke, each file held against the digest that the listing gives.
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "hub/fetch.h"
#include "hub/http_get.h"
#include "hub/partial_file.h"

namespace fathom::hub {

struct DownloadSource {
  std::string endpoint, token, repository, commit;
};

struct DownloadLimits {
  size_t connections = 8;
  int retries = 8;  // in a row without a byte between them
  uint64_t piece_bytes = kPieceBytes;
};

class Downloader {
 public:
  using Report = std::function<void(uint64_t done)>;  // bytes of all these files that are there
  using Notice = Patience::Notice;

  // Parts lie in `folder` (hub/folder.h); a file that is whole and right becomes DIGEST.whole there.
  Downloader(std::filesystem::path folder, const std::vector<HubFile>& files, DownloadSource source,
             DownloadLimits limits, Notice notice);
  ~Downloader();
  Downloader(const Downloader&) = delete;
  Downloader& operator=(const Downloader&) = delete;

  uint64_t done() const noexcept;  // bytes that are there
  // True when every file is whole and right, false when `stop` came first. Error where another try would be in vain:
  // what is there stays, but for a file whose digest is another, which is removed.
  bool run(HttpSession& session, const StopRequest& stop, const Report& report);

 private:
  struct Job;
  struct Request;

  bool start_next(HttpSession& session);
  void start_piece(HttpSession& session, Job& job, size_t piece);
  bool begin_answer(const Request& request, const HttpHead& head);
  bool take(Request& request, const HttpHead& head, std::string_view bytes);
  void end(const Request& request, const HttpEnd& end);
  void restart(Job& job, bool in_one, const std::string& why);
  void verify_next();
  void finish_verified(Job& job);
  bool is_done() const noexcept;
  RequestContext context_of(const Job& job) const;

  std::filesystem::path folder_;
  DownloadSource source_;
  DownloadLimits limits_;
  Notice notice_;
  Patience patience_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::atomic<bool> stop_verifying_{false};
};

// Where a whole file waits for the others.
std::filesystem::path whole_path(const std::filesystem::path& folder, const HubFile& file);

// GET of a file: {endpoint}/OWNER/NAME/resolve/COMMIT/FILE, which large files are redirected from.
std::string file_url(const DownloadSource& source, const std::string& name);

}  // namespace fathom::hub
