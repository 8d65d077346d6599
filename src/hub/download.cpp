#include "hub/download.h"

#include <algorithm>

#include "base/error.h"
#include "hub/repository.h"

namespace fathom::hub {

struct Downloader::Job {
  HubFile file;
  std::unique_ptr<PartialFile> part;
  std::vector<bool> active;  // by piece
  int generation = 0;        // requests of an older one are of bytes that no longer count
  int etag_changes = 0, restarts = 0;
  bool in_one = false;  // the server sends no parts
  enum class State : uint8_t { coming, verifying, right } state = State::coming;
  std::future<Digest> digest;
};

struct Downloader::Request {
  Job* job;
  size_t piece;
  int generation;
  uint64_t first;
  bool ranged;
  double began;
  bool begun = false;
  size_t error_bytes = 0;
};

namespace {

constexpr int kMostEtagChanges = 2;
constexpr size_t kMostErrorBytes = 1 << 20;

std::string wanted_range(uint64_t first, uint64_t end, uint64_t size) {
  return fmt::format("bytes {}-{}/{}", first, end - 1, size);
}

}  // namespace

std::filesystem::path whole_path(const std::filesystem::path& folder, const HubFile& file) {
  return folder / (file.digest.hex + ".whole");
}

std::string file_url(const DownloadSource& s, const std::string& name) {
  return fmt::format("{}/{}/resolve/{}/{}", s.endpoint, s.repository, url_encoded(s.commit, false),
                     url_encoded(name, true));
}

Downloader::Downloader(std::filesystem::path folder, const std::vector<HubFile>& files, DownloadSource source,
                       DownloadLimits limits, Notice notice)
    : folder_(std::move(folder)),
      source_(std::move(source)),
      limits_(limits),
      notice_(std::move(notice)),
      patience_(limits.retries, notice_) {
  for (const HubFile& file : files) {
    auto job = std::make_unique<Job>();
    job->file = file;
    job->part = std::make_unique<PartialFile>(folder_, file, limits_.piece_bytes);
    job->active.resize(job->part->pieces().size());
    jobs_.push_back(std::move(job));
  }
}

Downloader::~Downloader() { stop_verifying_ = true; }

uint64_t Downloader::done() const noexcept {
  uint64_t n = 0;
  for (const auto& job : jobs_) n += job->state == Job::State::right ? job->file.size : job->part->done();
  return n;
}

bool Downloader::is_done() const noexcept {
  return std::all_of(jobs_.begin(), jobs_.end(), [](const auto& j) { return j->state == Job::State::right; });
}

RequestContext Downloader::context_of(const Job& job) const {
  return {.repository = source_.repository,
          .revision = source_.commit,
          .what = job.file.name,
          .endpoint = source_.endpoint,
          .has_token = !source_.token.empty(),
          .answered_before = true};
}

bool Downloader::run(HttpSession& session, const StopRequest& stop, const Report& report) {
  while (!is_done()) {
    if (stop.count() > 0) return false;
    const double wait = patience_.wait_until() - Patience::now();
    while (wait <= 0 && session.running() < limits_.connections && start_next(session)) {
    }
    const bool is_verifying = std::any_of(jobs_.begin(), jobs_.end(), [](const auto& j) { return j->digest.valid(); });
    session.step(wait > 0 ? std::min(wait, 0.2) : is_verifying ? 0.02 : 0.2);
    for (const auto& job : jobs_)
      if (job->state == Job::State::coming) job->part->save_sometimes();
    verify_next();
    report(done());
  }
  return true;
}

// A piece that nobody fetches; false when there is none.
bool Downloader::start_next(HttpSession& session) {
  for (const auto& job : jobs_) {
    if (job->state != Job::State::coming) continue;
    const auto& pieces = job->part->pieces();
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (pieces[i].left() == 0 || job->active[i]) continue;
      start_piece(session, *job, i);
      return true;
    }
  }
  return false;
}

void Downloader::start_piece(HttpSession& session, Job& job, size_t piece) {
  if (job.in_one && job.part->done() > 0) {
    if (++job.restarts > limits_.retries)
      throw_bad_input("{}: {} breaks off each time, and the server sends no parts of it", source_.repository,
                      job.file.name);
    job.part->restart(true);
  }
  const PartialFile::Piece& p = job.part->pieces()[piece];
  const auto request = std::make_shared<Request>(Request{.job = &job,
                                                         .piece = piece,
                                                         .generation = job.generation,
                                                         .first = p.begin + p.done,
                                                         .ranged = p.left() < job.file.size,
                                                         .began = Patience::now()});
  HttpGet get{.url = file_url(source_, job.file.name), .token = source_.token};
  if (request->ranged) get.range = {request->first, p.end - 1};
  job.active[piece] = true;
  session.start(
      std::move(get),
      [this, request](const HttpHead& head, std::string_view bytes) { return take(*request, head, bytes); },
      [this, request](const HttpEnd& e) { end(*request, e); });
}

void Downloader::restart(Job& job, bool in_one, const std::string& why) {
  ++job.generation;
  job.in_one = job.in_one || in_one;
  job.part->restart(job.in_one);
  job.active.assign(job.part->pieces().size(), false);
  if (notice_) notice_(fmt::format("{}: {}; it begins again", job.file.name, why));
}

// Whether the answer is of the bytes that were asked for, and of the same file as those before.
bool Downloader::begin_answer(const Request& r, const HttpHead& head) {
  Job& job = *r.job;
  const PartialFile::Piece& p = job.part->pieces()[r.piece];
  if (!head.etag.empty() && head.etag != job.part->etag()) {
    const bool is_first = job.part->etag().empty();
    // Content networks may name one content twice: beyond a few changes the digest alone decides.
    if (!is_first && ++job.etag_changes <= kMostEtagChanges) {
      restart(job, false, "has changed on the server (another ETag)");
      return false;
    }
    job.part->set_etag(head.etag);
  }
  if (!r.ranged) return true;
  if (head.status == 200) {
    restart(job, true, "the server sends no parts of it");
    return false;
  }
  if (head.content_range != wanted_range(r.first, p.end, job.file.size))
    throw_bad_input(
        "{}: of {} {} was asked for, and {} sends {}", source_.repository, job.file.name,
        wanted_range(r.first, p.end, job.file.size), head.origin,
        head.content_range.empty() ? "a part that it does not name" : quoted_for_message(head.content_range));
  return true;
}

bool Downloader::take(Request& r, const HttpHead& head, std::string_view bytes) {
  Job& job = *r.job;
  if (r.generation != job.generation) return false;
  if (head.status != 200 && head.status != 206) return (r.error_bytes += bytes.size()) < kMostErrorBytes;
  if (!r.begun) {
    r.begun = true;
    if (!begin_answer(r, head)) return false;
  }
  if (bytes.size() > job.part->pieces()[r.piece].left())
    throw_bad_input("{}: {} sends more of {} than the {} bytes that the list of files says", source_.repository,
                    head.origin, job.file.name, job.file.size);
  job.part->add(r.piece, bytes);
  patience_.succeeded();
  return true;
}

void Downloader::end(const Request& r, const HttpEnd& end) {
  Job& job = *r.job;
  if (r.generation != job.generation) return;
  job.active[r.piece] = false;
  const bool is_good = end.head.status == 200 || end.head.status == 206;
  if (is_good && job.part->pieces()[r.piece].left() == 0) return;
  if (end.head.status == 416) {
    patience_.failed(
        {.sentence = fmt::format("{}: {} has no such part of {}", source_.repository, end.head.origin, job.file.name),
         .again = true},
        r.began);
    restart(job, false, "is of another size on the server");
    return;
  }
  HttpEnd shown = end;
  if (is_good && end.kind == HttpEnd::Kind::whole) {  // fewer bytes than the listing says
    shown.kind = HttpEnd::Kind::broken;
    shown.error = "it ended early";
  }
  patience_.failed(failure_of(shown, context_of(job)), r.began);
}

// One file at a time is read again for its digest, beside the downloads of others.
void Downloader::verify_next() {
  for (const auto& job : jobs_) {
    if (!job->digest.valid()) continue;
    if (job->digest.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    finish_verified(*job);
  }
  const auto next = std::find_if(jobs_.begin(), jobs_.end(),
                                 [](const auto& j) { return j->state == Job::State::coming && j->part->is_whole(); });
  if (next == jobs_.end()) return;
  Job& job = **next;
  job.state = Job::State::verifying;
  job.digest = std::async(std::launch::async, [kind = job.file.digest.kind, path = job.part->data_path(), this] {
    return digest_of_file(kind, path, &stop_verifying_);
  });
}

void Downloader::finish_verified(Job& job) {
  const Digest found = job.digest.get();
  if (found != job.file.digest) {
    job.part->remove();
    throw_bad_input(
        "{}: {}: its {} is {}, and the list of files says {}; what came is removed: pull again, and look at "
        "what lies between here and {} if that does not help",
        source_.repository, job.file.name, name(found.kind), found.hex, job.file.digest.hex, source_.endpoint);
  }
  job.part->move_to(whole_path(folder_, job.file));
  job.state = Job::State::right;
}

}  // namespace fathom::hub
