#include "cli/commands/inspect_importance.h"

#include <algorithm>
#include <cstdio>

#include "base/file/file.h"
#include "base/json/json.h"
#include "checkpoint/imatrix.h"
#include "cli/output.h"

namespace fathom {
namespace {

struct Counts {
  double tokens = 0;
  size_t stacks = 0, matrices = 0, never = 0;  // of experts
};

Counts counts_of(const Imatrix& imatrix) {
  Counts c;
  for (const ImatrixEntry& e : imatrix.entries) {
    if (e.name.find("_exps.") == std::string::npos) {
      c.tokens = std::max(c.tokens, *std::max_element(e.rows.begin(), e.rows.end()));
      continue;
    }
    ++c.stacks, c.matrices += e.rows.size();
    c.never += static_cast<size_t>(std::count(e.rows.begin(), e.rows.end(), 0.0));
  }
  return c;
}

void print_importance_json(const Imatrix& i, const Counts& c) {
  json::array names, texts(i.datasets.begin(), i.datasets.end());
  for (const ImatrixEntry& e : i.entries) names.push_back(json::string(e.name));
  write_json_line(json::object{{"kind", "importance data of llama.cpp"},
                               {"counted", i.counted},
                               {"tokens", static_cast<int64_t>(std::min(c.tokens, 9e15))},
                               {"chunks", i.chunks},
                               {"chunk_size", i.counted ? json::value(i.chunk_size) : json::value(nullptr)},
                               {"datasets", std::move(texts)},
                               {"experts_never_chosen", i.counted ? json::value(c.never) : json::value(nullptr)},
                               {"tensors", std::move(names)}});
}

void print_importance_text(const Imatrix& i, const Counts& c) {
  const auto line = [](const char* label, const std::string& text) { fmt::print("{:<12} {}\n", label, text); };
  line("importance", fmt::format("data of llama.cpp ({}), for `fathom quantize --importance`; no model",
                                 i.counted ? "GGUF" : "the older form"));
  line("tensors", fmt::format("{}, {} of them of experts", i.entries.size(), c.stacks));
  if (c.tokens > 0)
    line("tokens", i.counted ? fmt::format("{:.0f}", c.tokens)
                             : fmt::format("not in this form; {:.0f} if each chunk has {}", c.tokens, i.chunk_size));
  if (i.counted && c.stacks > 0)
    line("experts", fmt::format("{} of {} matrices were never chosen", c.never, c.matrices));
  for (const std::string& text : i.datasets) line("text", quoted_for_message(text, 200));
}

}  // namespace

bool inspect_importance(const std::filesystem::path& path, bool as_json) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const MappedFile file(path);
  if (!is_imatrix(file.bytes())) return false;
  const Imatrix imatrix = parse_imatrix(file.bytes(), path.string());
  if (as_json)
    print_importance_json(imatrix, counts_of(imatrix));
  else
    print_importance_text(imatrix, counts_of(imatrix));
  return true;
}

}  // namespace fathom
