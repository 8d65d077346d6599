// What a grammar may cost. Every limit is on the result of compiling or on counted work, so that no source, however it
// is written, takes more time or memory than these allow (about 100 ms and 100 MB; docs/constrained.md).
#pragma once
#include <cstddef>
#include <cstdint>

namespace fathom::grammar {

inline constexpr size_t kMaxSourceBytes = 1 << 20;  // of GBNF, of a schema, of all choices together
inline constexpr size_t kMaxRegexBytes = 64 << 10;  // of one regular expression
inline constexpr size_t kMaxStates = 200'000;       // of the network of states (network.h)
inline constexpr size_t kMaxEdges = 600'000;        // of the same
inline constexpr size_t kMaxExpressions = 200'000;  // what a source is parsed into
inline constexpr size_t kMaxRules = 20'000;         // of a GBNF source; with those that compiling adds
inline constexpr size_t kMaxRegexStates = 20'000;   // of one regular expression, before it becomes bytes
inline constexpr int64_t kMaxRepeat = 10'000;       // {m,n}, minLength, maxLength, minItems, maxItems
inline constexpr size_t kMaxNesting = 200;          // groups in groups, of GBNF and of regular expressions
inline constexpr size_t kMaxSchemaDepth = 64;       // of the JSON of a schema
inline constexpr int64_t kMaxSchemaSteps = 50'000;  // schemas visited, where allOf and $ref make some again
inline constexpr uint32_t kMaxStackDepth = 512;  // rules in rules while a text is matched; deeper text is not allowed
inline constexpr int64_t kMaxMaskWork = 2'000'000;   // threads and edges looked at for one mask or one token
inline constexpr size_t kMaskCacheBytes = 16 << 20;  // masks that a grammar keeps
inline constexpr size_t kMaxForcedBytes = 1024;      // of Matcher::forced()

}  // namespace fathom::grammar
