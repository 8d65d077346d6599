// What a Grammar holds.
#pragma once
#include "grammar/limits.h"
#include "grammar/mask.h"
#include "grammar/network.h"

namespace fathom::grammar {

struct Compiled {
  Network network;
  mutable MaskCache masks{kMaskCacheBytes};
};

}  // namespace fathom::grammar
