#include "hub/pull.h"

#include <algorithm>

#include "base/error.h"
#include "base/file/file.h"
#include "hub/fetch.h"
#include "hub/folder.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestListing = 64 << 20, kLargestIndex = 64 << 20;

class Pull {
 public:
  Pull(const PullOptions& options, const StopRequest& stop)
      : o_(options),
        stop_(stop),
        session_(options.patience),
        patience_(options.limits.retries, options.notice),
        revision_(options.repository.revision.empty() ? "main" : options.repository.revision) {}

  PullResult run() {
    if (!read_listing() || !choose()) return stopped();
    for (const HubFile& f : choice_.files) result_.bytes += f.size;
    result_.files = choice_.files;
    result_.model = model_path();
    if (!o_.dry_run && !fill_folder()) return stopped();
    return result_;
  }

 private:
  PullResult stopped() {
    result_.stopped = true;
    return result_;
  }

  RequestContext context(std::string what, bool answered) const {
    return {.repository = o_.repository.id(),
            .revision = revision_,
            .what = std::move(what),
            .endpoint = o_.settings.endpoint,
            .has_token = !o_.settings.token.empty(),
            .answered_before = answered};
  }

  bool read_listing() {
    const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", o_.settings.endpoint,
                                        o_.repository.id(), url_encoded(revision_, false));
    const FetchedText text = fetch_text(session_, {.url = url, .token = o_.settings.token}, kLargestListing,
                                        context("the list of its files", false), patience_, stop_);
    if (text.stopped) return false;
    listing_ =
        parse_listing(text.text, fmt::format("{}: the list of files of {}", o_.settings.endpoint, o_.repository.id()));
    result_.commit = listing_.commit;
    return true;
  }

  DownloadSource source() const {
    return {.endpoint = o_.settings.endpoint,
            .token = o_.settings.token,
            .repository = o_.repository.id(),
            .commit = listing_.commit};
  }

  bool choose() {
    choice_ = choose_files(listing_,
                           {.repository = o_.repository.id(), .file = o_.repository.file, .tag = o_.repository.tag});
    if (choice_.index == nullptr) return true;
    const HubFile& index = *choice_.index;
    const FetchedText text = fetch_text(session_, {.url = file_url(source(), index.name), .token = o_.settings.token},
                                        kLargestIndex, context(index.name, true), patience_, stop_);
    if (text.stopped) return false;
    if (digest_of(index.digest.kind, text.text) != index.digest)
      throw_bad_input("{}: {}: its {} is not the one that the list of files says; pull again", o_.repository.id(),
                      index.name, name(index.digest.kind));
    add_shards(choice_, listing_, text.text, fmt::format("{}: {}", o_.repository.id(), index.name));
    return true;
  }

  fs::path model_path() const {
    const bool is_gguf = std::all_of(choice_.files.begin(), choice_.files.end(),
                                     [](const HubFile& f) { return f.name.find(".gguf") != std::string::npos; });
    return is_gguf ? o_.folder / choice_.files.front().name : o_.folder;
  }

  // Whether a file is there and right: by the record of an earlier pull, else by its digest.
  bool is_there_already(const HubFile& file, const PulledRecord& record) const {
    const fs::path path = o_.folder / file.name;
    std::error_code error;
    if (!fs::is_regular_file(path, error) || fs::file_size(path, error) != file.size || error) return false;
    const PulledFile* known = record.find(file.name);
    if (known != nullptr && known->file.digest == file.digest && !o_.verify) return true;
    return digest_of_file(file.digest.kind, path) == file.digest;
  }

  bool fill_folder() {
    const FolderLock lock(o_.folder, FolderLock::Busy::wait, [&] {
      o_.notice(fmt::format("{}: another `fathom pull` goes on there; waiting for it", o_.folder.string()));
    });
    const fs::path state = state_folder(o_.folder);
    const PulledRecord record = read_record(o_.folder);
    remove_other_parts(state, listing_);
    std::vector<HubFile> missing, to_fetch;
    for (const HubFile& f : choice_.files) {
      make_place(o_.folder, f.name);
      if (!is_there_already(f, record)) missing.push_back(f);
    }
    // Two names may have one content: it comes once.
    for (const HubFile& f : missing)
      if (!is_there(whole_path(state, f)) && std::none_of(to_fetch.begin(), to_fetch.end(), [&](const HubFile& other) {
            return other.digest == f.digest;
          }))
        to_fetch.push_back(f);
    if (!to_fetch.empty() && !fetch(state, to_fetch)) return false;
    give_names(state, missing, record);
    return true;
  }

  bool fetch(const fs::path& state, const std::vector<HubFile>& files) {
    uint64_t total = 0, needed = 0;
    for (const HubFile& f : files) {
      total += f.size;
      needed += f.size - std::min(f.size, allocated_bytes(state / (f.digest.hex + ".part")));
    }
    check_free_space(state, needed);
    Downloader downloader(state, files, source(), o_.limits, o_.notice);
    const uint64_t left = downloader.done();
    if (o_.begin) o_.begin(total, left);
    result_.fetched = total - left;
    return downloader.run(session_, stop_, [&](uint64_t done) {
      if (o_.progress) o_.progress(done);
    });
  }

  // All at once, and config.json last: a folder without it is no model yet.
  void give_names(const fs::path& state, std::vector<HubFile> files, PulledRecord record) {
    std::stable_partition(files.begin(), files.end(), [](const HubFile& f) { return f.name != "config.json"; });
    for (size_t i = 0; i < files.size(); ++i) {
      const fs::path whole = whole_path(state, files[i]), place = make_place(o_.folder, files[i].name);
      const bool again = std::any_of(files.begin() + static_cast<std::ptrdiff_t>(i) + 1, files.end(),
                                     [&](const HubFile& f) { return f.digest == files[i].digest; });
      std::error_code error;
      if (again) {
        const fs::path copy = whole.string() + ".copy";
        fs::copy_file(whole, copy, fs::copy_options::overwrite_existing, error);
        if (!error) fs::rename(copy, place, error);
      } else {
        fs::rename(whole, place, error);
      }
      if (error) throw_resource("{}: cannot be written: {}", place.string(), error.message());
    }
    record.repository = o_.repository.id();
    record.endpoint = o_.settings.endpoint;
    record.revision = revision_;
    for (const HubFile& f : choice_.files) record.put({f, listing_.commit});
    write_record(o_.folder, record);
  }

  const PullOptions& o_;
  const StopRequest& stop_;
  HttpSession session_;
  Patience patience_;
  std::string revision_;
  Listing listing_;
  Choice choice_;
  PullResult result_;
};

}  // namespace

PullResult pull(const PullOptions& options, const StopRequest& stop) { return Pull(options, stop).run(); }

}  // namespace fathom::hub
