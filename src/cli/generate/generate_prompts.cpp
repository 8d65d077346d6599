// fathom generate --prompts: many prompts in one load, several of them decoded in one step. An answer has the bits that
// it has alone (engine/scheduler), so its text does not depend on its neighbours.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>

#include "base/file/file.h"
#include "base/progress.h"
#include "cli/generate/generate.h"
#include "cli/generate/prompt_file.h"
#include "cli/open_model.h"
#include "cli/output.h"
#include "data/text/text_stream.h"
#include "engine/generation.h"
#include "load/text.h"
#include "train/run/append_file.h"

namespace fathom {
namespace {

bool is_answer(std::string_view line, const PromptRequest& request) {
  try {
    const json::value answer = parse_json(line, "");
    const json::object* object = answer.if_object();
    const json::value* ids = object != nullptr ? object->if_contains("prompt_ids") : nullptr;
    if (!request.error.empty()) return object != nullptr && ids == nullptr && object->contains("error");
    if (ids == nullptr || *ids != json::value(json::array(request.ids.begin(), request.ids.end()))) return false;
    const json::value* seed = object->if_contains("seed");
    if (request.sampling.temperature == 0 || seed == nullptr)
      return (request.sampling.temperature == 0) == (seed == nullptr);
    return !request.seed_given || *seed == json::value(request.sampling.seed);
  } catch (const Error&) {
    return false;
  }
}

// What a run that was killed leaves of its last line: the beginning of an answer, or, where the machine stopped, zeros.
// Anything else is somebody's file.
bool is_torn_answer(std::string_view rest) {
  const auto begins_like = [&](std::string_view answer) {
    return rest.starts_with(answer) || answer.starts_with(rest);
  };
  return begins_like("{\"prompt_ids\":[") || begins_like("{\"id\":") || begins_like("{\"finish_reason\":\"error\"") ||
         rest.find_first_not_of('\0') == std::string_view::npos;
}

// Where answers go, a line each, as they come. A file that holds answers to the first prompts already is gone on with;
// one that holds anything else is refused and stays as it is, as does one that another process writes.
class Answers {
 public:
  Answers(const std::string& path, const std::vector<PromptRequest>& requests) {
    if (path == "-") return;
    if (is_stream(path)) {  // keeps nothing
      through_.open(path);
      if (!through_) throw_bad_input("{}: cannot be written: {}", path, std::strerror(errno));
      return;
    }
    file_ = std::make_unique<AppendFile>(path, AppendFile::Open::alone);
    n_found_ = keep_answers(requests);
  }
  size_t n_found() const noexcept { return n_found_; }
  void write(json::object answer) {
    const std::string line = to_json_line(std::move(answer));
    if (file_)
      file_->append(line);
    else if (!through_.is_open())
      write_stdout(line);
    else if (!(through_ << line << std::flush))
      throw_resource("the output cannot be written; what came before is not whole");
  }

 private:
  // The whole lines; a torn last one is cut off.
  size_t keep_answers(const std::vector<PromptRequest>& requests) {
    const std::string text = read_file(file_->path(), UINT64_MAX);
    const auto refuse = [&](size_t n) {
      throw_bad_input(
          "{}:{}: is no answer to prompt {} of these with this seed; name another output, or move this one away",
          file_->path().string(), n + 1, n + 1);
    };
    size_t n = 0, whole = 0;
    for (size_t end; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1, ++n)
      if (n >= requests.size() || !is_answer(std::string_view(text).substr(whole, end - whole), requests[n])) refuse(n);
    if (whole == text.size()) return n;
    if (!is_torn_answer(std::string_view(text).substr(whole))) refuse(n);
    file_->cut_to(whole);
    return n;
  }

  std::unique_ptr<AppendFile> file_;
  std::ofstream through_;
  size_t n_found_ = 0;
};

// As the answer shows it (engine/scheduler/request.h).
json::object shown(const TokenScore& token) {
  json::array top;
  for (const auto& [id, logprob] : token.top) top.push_back(json::array{id, logprob});
  return {{"logprob", token.logprob}, {"top", std::move(top)}};
}

// A prompt that is being answered.
struct Answering {
  const PromptRequest& request;
  size_t number;
  GeneratedText text;
  std::vector<int32_t> ids = {};
  json::array logprobs = {};
};

// What prompts share is found where it changes no bit, so that an answer does not depend on those before it.
SchedulerOptions scheduler_options(int64_t batch) {
  SchedulerOptions o = offline_options(batch);
  o.exact_prefixes = true;
  return o;
}

class PromptRun {
 public:
  PromptRun(Engine& engine, const Tokenizer* tokenizer, const std::vector<PromptRequest>& requests,
            const GenerateOptions& options)
      : tokenizer_(tokenizer),
        requests_(requests),
        options_(options),
        scheduler_(engine, scheduler_options(options.batch)) {
    if (!options.ignore_eos) stop_ids_ = stop_ids(engine.config(), tokenizer);
    n_usable_ = usable_ids(engine.config(), tokenizer);
  }

  void run(Answers& answers) {
    next_ = next_written_ = answers.n_found();
    Progress progress("answering", requests_.size(), "prompts", options_.model.quiet);
    while (next_written_ < requests_.size()) {
      while (next_ < requests_.size() && scheduler_.n_running() + scheduler_.n_queued() < options_.batch)
        start(next_++);
      scheduler_.step();
      for (; !done_.empty() && done_.begin()->first == next_written_; ++next_written_) {
        answers.write(std::move(done_.begin()->second));
        done_.erase(done_.begin());
      }
      progress.set(next_written_);
    }
    if (n_failed_ > 0)
      throw_bad_input("{} of {} prompts ended with an error, which stands in their answers; the first: {}", n_failed_,
                      requests_.size(), first_error_);
  }

 private:
  void start(size_t number) {
    const PromptRequest& r = requests_[number];
    if (!r.error.empty()) {
      done_.emplace(number, with_id(r, {{"finish_reason", "error"}, {"error", r.error}}));
      return;
    }
    const auto a = std::make_shared<Answering>(
        Answering{.request = r, .number = number, .text = GeneratedText(tokenizer_, r.stops)});
    ScheduledRequest request{.prompt = r.ids};
    request.generate.max_tokens = r.max_tokens < 0 ? INT64_MAX : r.max_tokens;  // the scheduler knows the room
    request.generate.sampling = r.sampling;
    request.generate.stop_ids = stop_ids_;
    request.generate.n_usable_ids = n_usable_;
    request.logprobs = options_.logprobs;
    request.events.on_token = [this, a](const TokenScore& token) {
      a->ids.push_back(token.id);
      if (options_.logprobs >= 0) a->logprobs.push_back(shown(token));
      a->text.push(token.id);
      return !a->text.stopped();
    };
    request.events.on_end = [this, a](const Ended& ended) { finish(*a, ended); };
    scheduler_.submit(std::move(request));
  }

  // What goes wrong with one of them (logits that are no numbers) ends that one.
  void finish(Answering& a, const Ended& ended) {
    done_.emplace(a.number, answer_of(a, ended));
    if (ended.error && n_failed_++ == 0) first_error_ = fmt::format("prompt {}: {}", a.number + 1, ended.error->what());
  }

  static json::object with_id(const PromptRequest& r, const json::object& more) {
    json::object out;
    if (!r.id.is_null()) out["id"] = r.id;
    for (const auto& [key, value] : more) out[key] = value;
    return out;
  }

  json::object answer_of(Answering& a, const Ended& ended) const {
    a.text.finish();
    json::object out = with_id(a.request, {});
    out["prompt_ids"] = json::array(a.request.ids.begin(), a.request.ids.end());
    out["ids"] = json::array(a.ids.begin(), a.ids.end());
    const std::string& text = a.text.text();
    if (tokenizer_ != nullptr) out["text"] = text.substr(text.starts_with(a.request.gap) ? a.request.gap.size() : 0);
    out["finish_reason"] = ended.error ? "error" : ended.reason == EndReason::length ? "length" : "stop";
    if (ended.error) out["error"] = ended.error->what();
    if (a.request.sampling.temperature > 0) out["seed"] = a.request.sampling.seed;
    if (options_.logprobs >= 0) out["logprobs"] = std::move(a.logprobs);
    return out;
  }

  const Tokenizer* tokenizer_;
  const std::vector<PromptRequest>& requests_;
  const GenerateOptions& options_;
  Scheduler scheduler_;
  std::vector<int32_t> stop_ids_;
  int64_t n_usable_ = 0;
  size_t next_ = 0, next_written_ = 0, n_failed_ = 0;
  std::string first_error_;
  std::map<size_t, json::object> done_;  // that wait for those before them
};

// Room for the `batch` prompts that need most, each up to the context.
int64_t cache_tokens(const std::vector<PromptRequest>& requests, int64_t context, int64_t batch) {
  std::vector<int64_t> needs;
  for (const PromptRequest& r : requests) {
    if (!r.error.empty()) continue;
    const int64_t most = std::ssize(r.ids) + (r.max_tokens < 0 ? context : std::min(r.max_tokens, context));
    needs.push_back((std::min(most, context) + kBlockTokens - 1) / kBlockTokens * kBlockTokens);
  }
  std::sort(needs.rbegin(), needs.rend());
  needs.resize(static_cast<size_t>(std::min<int64_t>(batch, std::ssize(needs))));
  return std::accumulate(needs.begin(), needs.end(), int64_t{0});
}

// The templates for conversations with and without tools, found when the first such line comes.
class ChosenTemplates {
 public:
  ChosenTemplates(const GenerateOptions& o, const Model& model, const Tokenizer* tokenizer)
      : options_(o), model_(model), tokenizer_(tokenizer) {}
  const ChatTemplate& operator()(bool has_tools) {
    std::optional<ChatTemplate>& chosen = has_tools ? with_tools_ : plain_;
    if (!chosen) {
      const bool said = plain_ || with_tools_;
      chosen = open_chat_template(model_, *tokenizer_, options_.chat_template, has_tools, options_.model.quiet || said);
    }
    return *chosen;
  }

 private:
  const GenerateOptions& options_;
  const Model& model_;
  const Tokenizer* tokenizer_;
  std::optional<ChatTemplate> plain_, with_tools_;
};

std::vector<PromptRequest> read_requests(const GenerateOptions& o, const Model& model, const Tokenizer* tokenizer,
                                         int64_t context) {
  ChosenTemplates templates(o, model, tokenizer);
  PromptRules rules{
      .defaults = {.max_tokens = o.n, .sampling = o.sampling, .seed_given = o.seed_given, .stops = o.stops},
      .tokenizer = tokenizer,
      .chat_template = std::ref(templates),
      .parse_special = o.parse_special,
      .bad = o.bad_lines == "report" ? BadPrompts::report : BadPrompts::refuse,
      .context_tokens = context,
      .vocab_size = model.config.vocab_size};
  check_logit_bias(o.sampling, model.config.vocab_size);
  std::vector<PromptRequest> requests = read_prompt_lines(read_text(o.prompts), input_name(o.prompts), rules);
  const auto has_dry = [](const PromptRequest& r) { return r.sampling.dry_multiplier > 0; };
  if (std::any_of(requests.begin(), requests.end(), has_dry)) {
    const std::vector<int32_t> breakers = dry_breaker_ids(tokenizer, o.dry_breakers);
    for (PromptRequest& r : requests)
      if (has_dry(r)) r.sampling.dry_breakers = breakers;
  }
  const auto n_bad = std::count_if(requests.begin(), requests.end(), [](const auto& r) { return !r.error.empty(); });
  if (n_bad > 0 && !o.model.quiet) print_notice(fmt::format("{} bad lines, whose answers say why", n_bad));
  return requests;
}

}  // namespace

void run_prompts(const GenerateOptions& o, TraceFile& trace) {
  const Model model = open_model(o.model.path);
  check_output(trace.path(), {model.path, o.prompts, o.chat_template}, {o.output});
  std::optional<Tokenizer> found;
  if (has_tokenizer(model)) found = load_tokenizer(model);
  const Tokenizer* tokenizer = found ? &*found : nullptr;
  LoadedEngineOptions options = engine_options(o.model);
  const int64_t context = context_tokens(model.config, options.engine);
  const std::vector<PromptRequest> requests = read_requests(o, model, tokenizer, context);
  Answers answers(o.output, requests);
  if (answers.n_found() > 0 && !o.model.quiet)
    print_notice(
        fmt::format("{}: {} of {} prompts are answered already", o.output, answers.n_found(), requests.size()));
  if (answers.n_found() == requests.size()) return;
  options.engine.cache_tokens = cache_tokens(requests, context, o.batch);
  ThreadPool pool(o.model.threads, numa());
  LoadedEngine loaded(pool, model, options);
  PromptRun(loaded.engine, tokenizer, requests, o).run(answers);
  trace.finish();
}

}  // namespace fathom
