// What a repository of the hub holds at one commit: the answer to
//     GET {endpoint}/api/models/OWNER/NAME/revision/REVISION?blobs=true
// {"sha": commit, "siblings": [{"rfilename", "size", "blobId", "lfs": {"sha256", "size"}}]}.
// Source: https://huggingface.co/docs/hub/api. Keys that fathom does not need are passed over.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hub/digest.h"

namespace fathom::hub {

inline constexpr uint64_t kLargestFile = uint64_t{1} << 46;  // 70 TB: beyond it a size is not believed
inline constexpr size_t kMostFiles = 100'000;

struct HubFile {
  std::string name = {};  // a relative path that may be written (unsafe_file_name)
  uint64_t size = 0;
  Digest digest = {};
};

struct Listing {
  std::string commit =
      {};  // 40 hexadecimal digits: what is then downloaded is of this commit, whatever the branch does
  std::vector<HubFile> files = {};

  const HubFile* find(std::string_view name) const noexcept;
};

// bad_input, naming `where`: another form, a name that could be written elsewhere or occurs twice, a size or a digest
// that is missing or cannot be one.
Listing parse_listing(std::string_view json_text, const std::string& where);

}  // namespace fathom::hub
