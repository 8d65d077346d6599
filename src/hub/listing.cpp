#include "hub/listing.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json/json_fields.h"
#include "hub/repository.h"

namespace fathom::hub {
namespace {

uint64_t size_of(JsonFields& fields) {
  const int64_t size = fields.integer("size");
  if (size < 0 || static_cast<uint64_t>(size) > kLargestFile)
    throw_bad_input("{}: {} is no size of a file", fields.place("size"), size);
  return static_cast<uint64_t>(size);
}

std::string digest_text(JsonFields& fields, std::string_view key, DigestKind kind) {
  std::string hex = hex_digest(fields.text(key), kind);
  if (hex.empty()) throw_bad_input("{}: is no {}", fields.place(key), name(kind));
  return hex;
}

HubFile read_file_entry(JsonFields entry, const std::string& where) {
  HubFile file;
  file.name = entry.text("rfilename");
  if (const std::string_view why = unsafe_file_name(file.name); !why.empty())
    throw_bad_input("{}: lists a file {} ({}); nothing is downloaded from it", where, why,
                    quoted_for_message(file.name));
  if (auto lfs = entry.maybe_fields("lfs")) {
    file.size = size_of(*lfs);
    file.digest = {DigestKind::sha256, digest_text(*lfs, "sha256", DigestKind::sha256)};
  } else {
    file.size = size_of(entry);
    file.digest = {DigestKind::git_blob, digest_text(entry, "blobId", DigestKind::git_blob)};
  }
  return file;
}

}  // namespace

const HubFile* Listing::find(std::string_view wanted) const noexcept {
  const auto found = std::find_if(files.begin(), files.end(), [&](const HubFile& f) { return f.name == wanted; });
  return found == files.end() ? nullptr : &*found;
}

Listing parse_listing(std::string_view json_text, const std::string& where) {
  const json::value document = parse_json(json_text, where);
  JsonFields fields(document, where);
  Listing listing;
  listing.commit = digest_text(fields, "sha", DigestKind::git_blob);
  const json::array& siblings = fields.array("siblings");
  if (siblings.size() > kMostFiles)
    throw_bad_input("{}: lists {} files; fathom reads at most {}", where, siblings.size(), kMostFiles);
  std::set<std::string> names;
  for (size_t i = 0; i < siblings.size(); ++i) {
    listing.files.push_back(read_file_entry(fields.entry("siblings", i), where));
    if (!names.insert(listing.files.back().name).second)
      throw_bad_input("{}: lists {} twice", where, quoted_for_message(listing.files.back().name));
  }
  return listing;
}

}  // namespace fathom::hub
