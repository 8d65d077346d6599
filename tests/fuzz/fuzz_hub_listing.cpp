// Any bytes as a hub's list of files: refused with an Error, or files that are below a folder and of which a choice is
// made. Behind a zero byte: an index of shards, as an enemy writes it.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "hub/choice.h"
#include "hub/repository.h"

namespace {

using namespace fathom;

void check_choice(const hub::Choice& choice, const hub::Listing& listing) {
  for (const hub::HubFile& f : choice.files) {
    check(hub::unsafe_file_name(f.name).empty(), "a chosen file has a safe name");
    check(listing.find(f.name) != nullptr, "a chosen file is listed");
    check(!f.name.ends_with(".bin") && !f.name.ends_with(".py"), "no pickle and no script is chosen");
  }
}

void choose(const hub::Listing& listing, const hub::Asked& asked, std::string_view index) {
  try {
    hub::Choice choice = hub::choose_files(listing, asked);
    check_choice(choice, listing);
    if (choice.index == nullptr) return;
    hub::add_shards(choice, listing, index, "index");
    check_choice(choice, listing);
  } catch (const Error& e) {
    check(std::string_view(e.what()).find('\n') == std::string_view::npos, "an Error is one line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(text.find('\0'), text.size());
  try {
    const hub::Listing listing = hub::parse_listing(text.substr(0, zero), "fuzz");
    const std::string_view index = zero < text.size() ? text.substr(zero + 1) : std::string_view();
    choose(listing, {.repository = "a/b"}, index);
    choose(listing, {.repository = "a/b", .tag = "Q4_K_M"}, index);
    if (!listing.files.empty()) choose(listing, {.repository = "a/b", .file = listing.files[0].name}, index);
  } catch (const Error& e) {
    check(std::string_view(e.what()).find('\n') == std::string_view::npos, "an Error is one line");
  }
  return 0;
}
