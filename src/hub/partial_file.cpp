#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json_fields.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestState = 64 << 20;
constexpr double kSaveSeconds = 0.25;
constexpr std::string_view kData = ".part", kState = ".json";

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int open_data(const fs::path& path, const std::string& name) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  struct stat st {};
  if (fd < 0 || ::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    const std::string why = fd < 0 ? std::strerror(errno) : "it is no regular file";
    if (fd >= 0) ::close(fd);
    throw_bad_input("{}: {} cannot be written: {}", name, path.string(), why);
  }
  return fd;
}

}  // namespace

PartialFile::PartialFile(const fs::path& folder, const HubFile& file, uint64_t piece_bytes)
    : name_(file.name),
      digest_(file.digest.hex),
      size_(file.size),
      piece_bytes_(piece_bytes),
      data_path_(folder / (file.digest.hex + std::string(kData))),
      state_path_(folder / (file.digest.hex + std::string(kState))) {
  fd_ = open_data(data_path_, name_);
  if (read_state()) return;
  restart();
  save();
}

PartialFile::~PartialFile() {
  if (fd_ < 0) return;
  try {
    save();
  } catch (const Error&) {  // then the next pull begins the pieces again
  }
  ::close(fd_);
}

// Only what cannot be wrong about the bytes is believed; whether they are right says the digest.
bool PartialFile::read_state() {
  struct stat st {};
  if (!is_there(state_path_) || ::fstat(fd_, &st) != 0 || static_cast<uint64_t>(st.st_size) != size_) return false;
  try {
    const json::value document = parse_json(read_file(state_path_, kLargestState), state_path_.string());
    JsonFields fields(document, state_path_.string());
    const int64_t piece_bytes = fields.integer("piece_bytes");
    if (piece_bytes <= 0 || static_cast<uint64_t>(fields.integer("size")) != size_) return false;
    cut_in_pieces(static_cast<uint64_t>(piece_bytes));
    const json::array& done = fields.array("done");
    if (done.size() != pieces_.size()) return false;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const int64_t* n = done[i].if_int64();
      if (n == nullptr || *n < 0 || static_cast<uint64_t>(*n) > pieces_[i].end - pieces_[i].begin) return false;
      pieces_[i].done = static_cast<uint64_t>(*n);
      done_ += pieces_[i].done;
    }
    etag_ = fields.maybe_text("etag").value_or("");
    return true;
  } catch (const Error&) {
    return false;
  }
}

void PartialFile::cut_in_pieces(uint64_t piece_bytes) {
  piece_bytes_ = piece_bytes;
  done_ = 0;
  pieces_.clear();
  for (uint64_t begin = 0; begin < size_; begin += std::min(piece_bytes, size_ - begin))
    pieces_.push_back({.begin = begin, .end = begin + std::min(piece_bytes, size_ - begin), .done = 0});
}

void PartialFile::add(size_t piece, std::string_view bytes) {
  Piece& p = pieces_[piece];
  check(bytes.size() <= p.left(), "a piece takes no more than is left of it");
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::pwrite(fd_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(p.begin + p.done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw_resource("{}: cannot be written: {}; what is there stays, and the same command goes on with it",
                     data_path_.string(), std::strerror(errno));
    p.done += static_cast<uint64_t>(n);
    done_ += static_cast<uint64_t>(n);
    at += static_cast<size_t>(n);
    changed_ = true;
  }
}

void PartialFile::restart(bool in_one) {
  cut_in_pieces(in_one ? std::max<uint64_t>(size_, 1) : piece_bytes_);
  etag_.clear();
  changed_ = true;
  if (::ftruncate(fd_, 0) != 0 || ::ftruncate(fd_, static_cast<off_t>(size_)) != 0)
    throw_resource("{}: cannot be written: {}", data_path_.string(), std::strerror(errno));
}

void PartialFile::save() {
  if (!changed_) return;
  json::array done;
  for (const Piece& p : pieces_) done.push_back(static_cast<int64_t>(p.done));
  const json::object state = {{"name", name_},
                              {"size", static_cast<int64_t>(size_)},
                              {"etag", etag_},
                              {"piece_bytes", static_cast<int64_t>(piece_bytes_)},
                              {"done", std::move(done)}};
  const fs::path next = state_path_.string() + ".next";
  const std::string text = json::serialize(state);
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!written || ::rename(next.c_str(), state_path_.c_str()) != 0)
    throw_resource("{}: cannot be written: {}", state_path_.string(), std::strerror(errno));
  changed_ = false;
  saved_at_ = seconds_now();
}

void PartialFile::save_sometimes() {
  if (changed_ && seconds_now() - saved_at_ >= kSaveSeconds) save();
}

void PartialFile::remove() noexcept {
  ::close(std::exchange(fd_, -1));
  ::unlink(state_path_.c_str());
  ::unlink(data_path_.c_str());
}

void PartialFile::move_to(const fs::path& path) {
  if (::fsync(fd_) != 0) throw_resource("{}: cannot be flushed to disk: {}", data_path_.string(), std::strerror(errno));
  ::close(std::exchange(fd_, -1));
  if (::rename(data_path_.c_str(), path.c_str()) != 0)
    throw_resource("{}: cannot be renamed: {}", data_path_.string(), std::strerror(errno));
  ::unlink(state_path_.c_str());
}

Leftover leftover_in(const fs::path& folder) {
  Leftover out;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() != kState || !is_there(fs::path(entry->path()).replace_extension(kData))) continue;
    try {
      const json::value document = parse_json(read_file(entry->path(), kLargestState), entry->path().string());
      JsonFields fields(document, entry->path().string());
      out.size += static_cast<uint64_t>(std::max<int64_t>(0, fields.integer("size")));
      for (const json::value& n : fields.array("done"))
        if (const int64_t* bytes = n.if_int64(); bytes != nullptr && *bytes > 0)
          out.done += static_cast<uint64_t>(*bytes);
      ++out.files;
    } catch (const Error&) {  // the next pull begins it again
    }
  }
  return out;
}

void remove_other_parts(const fs::path& folder, const Listing& listing) {
  std::set<std::string> known;
  for (const HubFile& f : listing.files) known.insert(f.digest.hex);
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const std::string digest = path.filename().string().substr(0, path.filename().string().find('.'));
    const bool is_digest =
        !hex_digest(digest, DigestKind::sha256).empty() || !hex_digest(digest, DigestKind::git_blob).empty();
    std::error_code ignored;
    if (is_digest && !known.contains(digest)) fs::remove(path, ignored);
  }
}

}  // namespace fathom::hub
