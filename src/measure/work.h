// What a benchmark times: pieces of work that any engine can be given.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

enum class WorkKind : uint8_t {
  prefill,  // `tokens` tokens of one sequence, after `depth` that are stored
  decode,   // `tokens` steps of one token of each of `sequences` sequences, each `depth` deep at the start
};

struct Work {
  WorkKind kind = WorkKind::prefill;
  int64_t tokens = 0, depth = 0, sequences = 1;

  int64_t total_tokens() const noexcept { return tokens * sequences; }
  // Most positions that one of its sequences reaches: a decode is preceded by one step that is not timed.
  int64_t positions() const noexcept { return depth + tokens + (kind == WorkKind::decode ? 1 : 0); }
  bool operator==(const Work&) const = default;
};

// "prefill:512:4096" (tokens, depth) and "decode:32:4096:8" (steps, depth, sequences): one spelling for --work, for
// JSON and between processes. bad_input for anything else; ":8" and ":4096:8" may be left out.
std::string to_text(const Work& work);
Work parse_work(std::string_view text);

// For a table: "prefill 512 at 4096", "decode 8 sequences".
std::string describe(const Work& work);

struct WorkLists {
  std::vector<int64_t> prompts, depths, batches;
  int64_t steps = 32;  // of a decode
};

// Each prompt at each depth, one sequence at each depth, and each batch of more than one sequence at the first depth.
// No work twice.
std::vector<Work> list_works(const WorkLists& lists);

// "1,8,32" as numbers of at least `least`. bad_input that names `option`.
std::vector<int64_t> parse_numbers(std::string_view text, std::string_view option, int64_t least);

}  // namespace fathom
