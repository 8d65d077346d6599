#include "measure/serve/serve_bench.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "base/error.h"
#include "measure/serve/event_reader.h"
#include "measure/serve/http_client.h"

namespace fathom::serve_bench {
namespace {

constexpr int64_t kSampleWords = 2000;  // whose tokens prompts are made of
constexpr size_t kLeastIds = 16;        // fewer are no choice
constexpr double kFirstTimeout = 600;   // seconds for a question in front of the runs: a model may have to be loaded

// A server that is known to answer.
struct Ready {
  Target target;
  PromptMaker maker;
  std::string prompts;  // how they are made
};

HttpAnswer ask(const Target& t, const std::string& route, std::string body) {
  return fetch({.url = t.root + route, .body = std::move(body), .api_key = t.api_key, .timeout = kFirstTimeout});
}

json::value ask_for_json(const Target& t, const std::string& route, std::string body) {
  const HttpAnswer answer = ask(t, route, std::move(body));
  if (!answer.error.empty()) throw_resource("{}: {}", t.root, answer.error);
  if (answer.status != 200)
    throw_bad_input("{}{}: HTTP {}: {}", t.root, route, answer.status, refusal_words(answer.body));
  return parse_json(answer.body, t.root + route);
}

std::string listed_model(const Target& t) {
  const json::value list = ask_for_json(t, "/v1/models", "");
  try {
    return std::string(list.at("data").at(0).at("id").as_string());
  } catch (const std::exception&) {
    throw_bad_input("{}/v1/models lists no model; name one with --model", t.root);
  }
}

// Ids as the routes of fathom and vLLM ("prompt") or llama-server ("content") tell them. Empty where there is no such
// route.
std::vector<int32_t> tokenized(const Target& t, const std::string& text) {
  const json::object prompt{{"prompt", text}, {"add_special_tokens", false}};
  const json::object content{{"content", text}, {"add_special", false}};
  for (const json::object& body : {prompt, content}) {
    const HttpAnswer answer = ask(t, "/tokenize", json::serialize(body));
    if (answer.status != 200) continue;
    try {
      std::vector<int32_t> ids;
      const json::value value = parse_json(answer.body, "an answer");
      for (const json::value& id : value.at("tokens").as_array()) ids.push_back(id.to_number<int32_t>());
      if (!ids.empty()) return ids;
    } catch (const std::exception&) {  // another form
    }
  }
  return {};
}

// By a short chat: what the server counts of so many words.
double counted_tokens_per_word(const Target& t, const ServeBenchOptions& o) {
  constexpr int64_t kWords = 64;
  json::object body{{"model", t.model}, {"max_tokens", 1}};
  const std::string words = common_words(kWords, o.seed, UINT64_MAX);
  if (o.workload.chat)
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", words}}};
  else
    body["prompt"] = words;
  const json::value answer =
      ask_for_json(t, o.workload.chat ? "/v1/chat/completions" : "/v1/completions", json::serialize(body));
  try {
    return std::max(answer.at("usage").at("prompt_tokens").to_number<double>() / double{kWords}, 0.5);
  } catch (const std::exception&) {
    return 1;  // it does not count
  }
}

Ready make_ready(Target t, const ServeBenchOptions& o) {
  if (t.model.empty()) t.model = listed_model(t);
  const std::vector<int32_t> sample = tokenized(t, common_words(kSampleWords, 0, 0));
  const std::set<int32_t> ids(sample.begin(), sample.end());
  if (!o.workload.chat && ids.size() >= kLeastIds)
    return {t, PromptMaker({ids.begin(), ids.end()}, o.seed), fmt::format("of {} token ids", ids.size())};
  const double per_word = sample.empty() ? counted_tokens_per_word(t, o)
                                         : static_cast<double>(sample.size()) / static_cast<double>(kSampleWords);
  return {t, PromptMaker(per_word, o.seed), fmt::format("of words, {:.2f} tokens each", per_word)};
}

DriveOptions drive_options(const ServeBenchOptions& o, const Load& load, uint64_t run) {
  DriveOptions d{.load = load,
                 .requests = o.requests,
                 .duration = o.duration,
                 .seed = o.seed + run,
                 .timeout = o.timeout,
                 .chat = o.workload.chat};
  if (d.requests == 0 && d.duration <= 0) d.requests = load.closed() ? 4 * load.clients : 32;
  return d;
}

// Everything of one server in one round: what is left out, and what is measured.
Drive run_turn(const ServeBenchOptions& o, const Ready& server, const Load& load, uint64_t run) {
  const auto numbered = [&](uint64_t part) {
    return [&o, &server, base = (run * 2 + part) << 32](int64_t i) {
      const auto n = static_cast<uint64_t>(i);
      return request_of(o.workload, server.maker, server.target.model, n, base + n);
    };
  };
  const DriveOptions measured = drive_options(o, load, run);
  DriveOptions warm = measured;
  warm.duration = 0;
  warm.requests = o.warmup >= 0 ? o.warmup : load.closed() ? load.clients : 2;
  if (warm.requests > 0) drive(server.target, warm, numbered(0));
  return drive(server.target, measured, numbered(1));
}

void print_turn(const ServeBenchOptions& o, const Ready& server, const Load& load, int round, const Drive& run) {
  if (o.quiet) return;
  const Tally t = tally({run}, o.limits);
  fmt::print(stderr, "{}, {}{}: {} answered, {} failed, {:.1f} tokens/s\n", server.target.name, describe(load),
             o.rounds > 1 ? fmt::format(", round {} of {}", round + 1, o.rounds) : "", t.answered,
             t.requests - t.answered, t.output_rate());
}

}  // namespace

std::string server_root(const std::string& url) {
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    throw_bad_input("'{}' is no URL of a server; needed is one such as http://127.0.0.1:8080", url);
  std::string root = url;
  const auto cut_slashes = [&] {
    while (root.ends_with('/')) root.pop_back();
  };
  cut_slashes();
  if (root.ends_with("/v1")) root.resize(root.size() - 3);
  cut_slashes();
  return root;
}

ServeBenchReport run_serve_bench(const ServeBenchOptions& o) {
  ServeBenchReport report{.targets = {},
                          .prompts = {},
                          .kinds = o.workload.kinds,
                          .shared_prefix = o.workload.shared_prefix,
                          .chat = o.workload.chat,
                          .seed = o.seed,
                          .limits = o.limits,
                          .loads = {}};
  std::vector<Ready> servers;
  for (const Target& t : o.targets) {
    servers.push_back(make_ready(t, o));
    report.targets.push_back(servers.back().target);
    report.prompts.push_back(servers.back().prompts);
  }
  uint64_t run = 0;
  for (const Load& load : o.loads) {
    LoadRuns runs{.load = load, .drives = std::vector<std::vector<Drive>>(servers.size())};
    for (int round = 0; round < o.rounds; ++round, ++run)
      for (size_t s = 0; s < servers.size(); ++s) {
        runs.drives[s].push_back(run_turn(o, servers[s], load, run));
        print_turn(o, servers[s], load, round, runs.drives[s].back());
      }
    report.loads.push_back(std::move(runs));
  }
  return report;
}

}  // namespace fathom::serve_bench
