// Which requests are sent: their lengths, and prompts that are made or read.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "measure/serve/load.h"

namespace fathom::serve_bench {

// A request of the workload; they are sent in turn, again and again.
struct Row {
  size_t kind = 0;
  json::value prompt = {};    // a text or token ids; null: made, prompt_tokens long
  json::value messages = {};  // of a conversation; null: none
  int64_t prompt_tokens = 0;  // besides the shared prefix
  int64_t max_tokens = 0;
};

struct Workload {
  std::vector<std::string> kinds;  // told apart in tables: "512 in, 128 out"
  std::vector<Row> rows;
  int64_t shared_prefix = 0;  // tokens that all prompts that are made begin with
  bool chat = false, ignore_eos = true;
  json::object parameters;  // of every request; they win over what is set here
};

// "512:128" once, or "512:128*7,8192:64": prompt and output tokens, and how many of such in a turn, spread evenly.
// bad_input for anything else.
Workload workload_of_mix(std::string_view mix);

// A JSON object a line: {"prompt": text or ids} or {"messages": [...]} or {"prompt_tokens": N}, each with "max_tokens"
// if it is not the default. Empty lines are passed over. bad_input names the line.
Workload workload_of_lines(std::string_view text, const std::string& where, int64_t max_tokens);

// Prompts of a given length, each different from its beginning on, and the same for the same seed and number.
class PromptMaker {
 public:
  // Of token ids, chosen at random. At least one.
  PromptMaker(std::vector<int32_t> ids, uint64_t seed);
  // Of common words, where a server takes no ids: about as many tokens.
  PromptMaker(double tokens_per_word, uint64_t seed);

  // Two prompts of one seed share their first `shared` tokens, and no more than chance has it.
  json::value make(int64_t shared, int64_t own, uint64_t number) const;
  bool makes_ids() const noexcept { return !ids_.empty(); }

 private:
  std::vector<int32_t> ids_;
  double tokens_per_word_ = 1;
  uint64_t seed_;
};

// So many words of a list of common ones.
std::string common_words(int64_t n, uint64_t seed, uint64_t stream);

// The body of request i of a run: of row i, in turn, with a prompt of that number. It asks for a stream with usage,
// temperature 0, and no end before max_tokens.
Request request_of(const Workload& workload, const PromptMaker& maker, const std::string& model, uint64_t i,
                   uint64_t number);

}  // namespace fathom::serve_bench
