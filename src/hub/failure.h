// What an answer that is not the wanted one means, in one sentence, and whether another try may do better.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "hub/http_get.h"

namespace fathom::hub {

// Longer than this nobody waits unasked: a Retry-After beyond it ends the pull with a sentence that names it.
inline constexpr uint64_t kLongestWait = 300;

struct RequestContext {
  std::string repository = {}, revision = {};  // OWNER/NAME; what was asked for
  std::string what = {};                       // "the list of its files", or a file's name
  std::string endpoint = {};
  bool has_token = false;
  bool answered_before = false;  // the hub did in this pull: a name that cannot be resolved now may be again
};

struct Failure {
  std::string sentence = {};  // without a full stop
  bool again = false;
  std::optional<uint64_t> wait = {};  // seconds that the server asks for
};

// Of an end that is no whole answer, or whose status is not the wanted one.
Failure failure_of(const HttpEnd& end, const RequestContext& context);

// Seconds before try number `tries` (from 1), if the server asks for none: 0.5, 1, 2 ... 30.
double back_off_seconds(int tries) noexcept;

}  // namespace fathom::hub
