// What `generate` shares with `generate --prompts`.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/trace.h"
#include "cli/generate/speculation.h"
#include "cli/options.h"
#include "tokenizer/stop_strings.h"

namespace fathom {

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  SpeculationOptions speculation;
  std::string prompt, file, ids;
  int64_t n = 128;
  std::vector<std::string> stops, dry_breakers;
  bool json = false, parse_special = false, ignore_eos = false;
  std::string prompts, output = "-", bad_lines = "refuse", chat_template;  // --prompts and what is for it alone
  std::string trace;
  int64_t batch = 8, logprobs = -1;
  bool seed_given = false;
};

// Ids to text as they come, up to a stop string. Without a tokenizer: the ids.
class GeneratedText {
 public:
  GeneratedText(const Tokenizer* tokenizer, std::vector<std::string> stops)
      : tokenizer_(tokenizer), stops_(std::move(stops)) {
    if (tokenizer != nullptr) decoder_ = std::make_unique<StreamDecoder>(*tokenizer);
  }
  // What this id adds to the text.
  std::string push(int32_t id) {
    return add(tokenizer_ == nullptr ? fmt::format("{} ", id) : stops_.push(decoder_->push(id)));
  }
  // What was held back.
  std::string finish() {
    if (tokenizer_ == nullptr || stops_.stopped()) return {};
    std::string rest = add(stops_.push(decoder_->flush()));
    return stops_.stopped() ? rest : rest + add(stops_.flush());
  }
  bool stopped() const noexcept { return stops_.stopped(); }  // a stop string has come
  const std::string& text() const noexcept { return text_; }

 private:
  std::string add(std::string piece) {
    text_ += piece;
    return piece;
  }

  const Tokenizer* tokenizer_;
  StopStrings stops_;
  std::unique_ptr<StreamDecoder> decoder_;
  std::string text_;
};

// Many prompts in one load (--prompts).
void run_prompts(const GenerateOptions& options, TraceFile& trace);

}  // namespace fathom
