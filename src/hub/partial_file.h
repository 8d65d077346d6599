// A file that is being downloaded, in pieces that come in any order; what is there survives the process.
//
// FOLDER/DIGEST.part holds the bytes at their places, FOLDER/DIGEST.json how many of each piece are there. The second
// is written at most four times a second and when asked, after the bytes that it counts: who is killed loses a quarter
// of a second. (A machine that loses power may have counted bytes that never reached the disk; the digest finds out.)
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"

namespace fathom::hub {

inline constexpr uint64_t kPieceBytes = uint64_t{64} << 20;

class PartialFile {
 public:
  struct Piece {
    uint64_t begin = 0, end = 0, done = 0;  // bytes [begin, begin + done) of [begin, end) are there
    uint64_t left() const noexcept { return end - begin - done; }
  };

  // Goes on with what is there, if it is of this size, else begins anew. Errors name `file.name`.
  PartialFile(const std::filesystem::path& folder, const HubFile& file, uint64_t piece_bytes = kPieceBytes);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::vector<Piece>& pieces() const noexcept { return pieces_; }
  uint64_t done() const noexcept { return done_; }
  bool is_whole() const noexcept { return done_ == size_; }
  const std::string& etag() const noexcept { return etag_; }
  void set_etag(std::string etag) { etag_ = std::move(etag); }

  // The next bytes of a piece, at most as many as are left of it. resource Error when the disk does not take them.
  void add(size_t piece, std::string_view bytes);
  // As if nothing had come. in_one: as one piece, for a server that sends no parts of files.
  void restart(bool in_one = false);
  void save();
  void save_sometimes();
  // Both files are gone.
  void remove() noexcept;
  // The bytes alone remain, under another name.
  void move_to(const std::filesystem::path& path);

  const std::filesystem::path& data_path() const noexcept { return data_path_; }

 private:
  bool read_state();
  void cut_in_pieces(uint64_t piece_bytes);

  std::string name_, digest_, etag_;
  uint64_t size_, piece_bytes_, done_ = 0;
  std::filesystem::path data_path_, state_path_;
  std::vector<Piece> pieces_;
  int fd_ = -1;
  bool changed_ = false;
  double saved_at_ = 0;
};

// What an interrupted pull has left in a folder, as far as its files say: bytes there, bytes of those files in all.
struct Leftover {
  uint64_t files = 0, done = 0, size = 0;
};
Leftover leftover_in(const std::filesystem::path& folder);

// Takes away parts of files whose digest is none of these: the repository no longer has them.
void remove_other_parts(const std::filesystem::path& folder, const Listing& listing);

}  // namespace fathom::hub
