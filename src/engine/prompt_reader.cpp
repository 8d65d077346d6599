#include "engine/prompt_reader.h"

#include <limits>
#include <utility>

namespace fathom {
namespace {

SchedulerOptions reading_options(int64_t rows) {
  SchedulerOptions o = offline_options(std::numeric_limits<int64_t>::max());
  o.passage_tokens = rows;
  return o;
}

}  // namespace

PromptReader::PromptReader(Engine& engine, int64_t rows) : scheduler_(engine, reading_options(rows)) {}

void PromptReader::add(std::span<const int32_t> ids, int64_t from, RowFn row) {
  ScheduledRequest request{.prompt = {ids.begin(), ids.end()}, .logits_from = from};
  request.generate.max_tokens = 0;
  request.events.on_prompt_logits = std::move(row);
  request.events.on_end = [this](const Ended& ended) {
    if (!error_) error_ = ended.error;
  };
  scheduler_.submit(std::move(request));
}

void PromptReader::step() {
  scheduler_.step();
  if (error_) throw Error(*std::exchange(error_, {}));
}

}  // namespace fathom
