// fathom bench serve: a server under load, ours or any other with OpenAI's API.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/file/file.h"
#include "base/json/json.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/text/text_stream.h"
#include "measure/serve/serve_bench.h"
#include "measure/serve/server_child.h"
#include "measure/work.h"
#include "plot/figure.h"

namespace fathom {
namespace {

struct BenchServeCommand {
  std::string model, url, api_key, serve_options;
  std::vector<std::string> against;
  std::string clients = "1,8,32", rates, mix, from, parameters, plot;
  int64_t prompt_tokens = 512, max_tokens = 128, shared_prefix = 0, requests = 0, warmup = -1;
  double duration = 0, timeout = 600, ttft_limit = 0, itl_limit = 0;
  int rounds = 0;
  uint64_t seed = 0;
  bool chat = false, stop_at_end = false, json = false, quiet = false;
};

std::vector<serve_bench::Load> loads_of(const BenchServeCommand& o) {
  std::vector<serve_bench::Load> loads;
  if (o.rates.empty()) {
    for (const int64_t n : parse_numbers(o.clients, "--clients", 1)) loads.push_back({.clients = n});
    return loads;
  }
  for (const std::string& text : CLI::detail::split(o.rates, ',')) {
    double rate = 0;
    if (!CLI::detail::lexical_cast(text, rate) || !std::isfinite(rate) || rate <= 0)
      throw_bad_input("--rate is '{}'; needed are requests a second, such as 0.5,2", o.rates);
    loads.push_back({.rate = rate});
  }
  return loads;
}

json::object parameters_of(const BenchServeCommand& o) {
  if (o.parameters.empty()) return {};
  const json::value value = parse_json(o.parameters, "--parameters");
  if (!value.is_object()) throw_bad_input("--parameters is {}; it must be an object", json_kind_name(value));
  return value.get_object();
}

serve_bench::Workload workload_of(const BenchServeCommand& o) {
  serve_bench::Workload w;
  if (!o.from.empty())
    w = serve_bench::workload_of_lines(read_text(o.from), o.from, o.max_tokens);
  else
    w = serve_bench::workload_of_mix(o.mix.empty() ? fmt::format("{}:{}", o.prompt_tokens, o.max_tokens) : o.mix);
  w.shared_prefix = o.shared_prefix;
  w.chat = o.chat;
  w.ignore_eos = !o.stop_at_end;
  w.parameters = parameters_of(o);
  return w;
}

// "NAME=URL"; a URL alone is its own name.
serve_bench::Target peer_of(const std::string& text, const std::string& api_key) {
  const size_t equals = text.find('=');
  const bool named = equals != std::string::npos && equals < text.find("://");
  const std::string url = named ? text.substr(equals + 1) : text;
  return {.name = named ? text.substr(0, equals) : url,
          .root = serve_bench::server_root(url),
          .model = "",
          .api_key = api_key};
}

// `fathom serve` with a port of its own.
std::vector<std::string> serve_command(const BenchServeCommand& o) {
  std::vector<std::string> args = {std::filesystem::read_symlink("/proc/self/exe"), "serve"};
  if (!o.model.empty()) args.insert(args.end(), {"-m", o.model});
  for (const std::string& word : CLI::detail::split_up(o.serve_options)) {
    for (const char* own : {"--port", "--host", "-q", "--quiet"})
      if (word == own || word.starts_with(std::string(own) + "="))
        throw_bad_input("--serve-options: {} is chosen by the measurement itself; leave it out", own);
    if (!word.empty()) args.push_back(word);
  }
  args.insert(args.end(), {"--port", "0"});
  return args;
}

void run_bench_serve(const BenchServeCommand& o) {
  check_plot(o.plot, {});
  serve_bench::ServeBenchOptions bench{
      .targets = {},
      .workload = workload_of(o),
      .loads = loads_of(o),
      .requests = o.requests,
      .duration = o.duration,
      .warmup = o.warmup,
      .rounds = o.rounds > 0        ? o.rounds
                : o.against.empty() ? 1
                                    : 3,
      .timeout = o.timeout,
      .seed = o.seed,
      .limits = {.first_seconds = o.ttft_limit / 1e3, .token_seconds = o.itl_limit / 1e3},
      .quiet = o.quiet};
  std::optional<serve_bench::ServerChild> child;
  serve_bench::Target own{.name = "fathom", .root = "", .model = "", .api_key = o.api_key};
  if (o.url.empty()) {
    own.root = child.emplace(serve_command(o)).root();
  } else {
    own = peer_of(o.url, o.api_key);
    own.model = o.model;
  }
  bench.targets.push_back(own);
  for (const std::string& peer : o.against) bench.targets.push_back(peer_of(peer, o.api_key));
  const serve_bench::ServeBenchReport report = run_serve_bench(bench);
  write_stdout(o.json ? to_pretty_json(to_json(report)) : to_table(report));
  if (!o.plot.empty()) write_plot(o.plot, serve_figure(report));
}

void add_server_options(CLI::App& command, BenchServeCommand& o) {
  command
      .add_option("-m,--model", o.model,
                  "model to serve; default: the bundled one. With --url: its name there, by default the first listed")
      ->type_name("MODEL");
  auto* url = command.add_option("--url", o.url, "measure this server instead of starting one")->type_name("URL");
  command
      .add_option("--serve-options", o.serve_options,
                  "of `fathom serve`, in one text: \"--threads 4 --max-running 64\"")
      ->type_name("OPTIONS")
      ->excludes(url);
  command.add_option("--api-key", o.api_key, "sent to every server")->type_name("KEY");
  command.add_option("--against", o.against, "also measure this server, in turns; several times if wanted")
      ->type_name("NAME=URL")
      ->allow_extra_args(false);
  command.add_option("--rounds", o.rounds, "turns of each server; default: 3 with --against, else 1")
      ->type_name("N")
      ->transform(whole_number(1, 1000));
}

void add_load_options(CLI::App& command, BenchServeCommand& o) {
  auto* clients =
      command.add_option("--clients", o.clients, "loads of so many clients, each of which asks when it was answered")
          ->type_name("N,N..")
          ->capture_default_str();
  command.add_option("--rate", o.rates, "instead: requests a second, at random times (Poisson), however many are open")
      ->type_name("R,R..")
      ->excludes(clients);
  command
      .add_option("--requests", o.requests,
                  "requests of each run; default: four for each client, 32 with --rate, none with --duration")
      ->type_name("N")
      ->transform(whole_number(1));
  command.add_option("--duration", o.duration, "seconds in which requests begin")
      ->type_name("SECONDS")
      ->transform(real_number(0.001, 1e7));
  command
      .add_option("--warmup", o.warmup,
                  "requests before each run that do not count; default: one for each client, 2 with --rate")
      ->type_name("N")
      ->transform(whole_number(0));
  command.add_option("--timeout", o.timeout, "seconds for a request; 0: as long as it takes")
      ->type_name("SECONDS")
      ->transform(real_number(0, 1e7))
      ->capture_default_str();
}

void add_workload_options(CLI::App& command, BenchServeCommand& o) {
  auto* prompt = command.add_option("--prompt-tokens", o.prompt_tokens, "length of prompts")
                     ->type_name("N")
                     ->transform(whole_number(1, 1 << 24))
                     ->capture_default_str();
  command.add_option("--max-tokens", o.max_tokens, "length of answers")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 24))
      ->capture_default_str();
  auto* mix =
      command
          .add_option("--mix", o.mix, "several lengths, prompt and answer, and how many in a turn: 512:128*7,8192:64")
          ->type_name("N:N*COUNT,..")
          ->excludes(prompt);
  command
      .add_option("--from", o.from,
                  "a JSON object a line: \"prompt\" (text or ids), \"messages\" or \"prompt_tokens\"; \"max_tokens\"")
      ->type_name("FILE")
      ->excludes(mix)
      ->excludes(prompt);
  command
      .add_option("--shared-prefix", o.shared_prefix, "tokens in front of every prompt that is made, the same for all")
      ->type_name("N")
      ->transform(whole_number(0, 1 << 24))
      ->capture_default_str();
  command.add_flag("--chat", o.chat, "ask /v1/chat/completions; prompts are then words, of about as many tokens");
  command.add_option("--parameters", o.parameters, "a JSON object: more parameters of every request")
      ->type_name("JSON");
  command.add_flag("--stop-at-end", o.stop_at_end, "answers may end before --max-tokens: ignore_eos is not sent");
  command.add_option("--seed", o.seed, "of prompts and arrivals; -1: a random one")
      ->type_name("S")
      ->transform(seed_or_random(random_seed()))
      ->default_str("-1");
}

void add_result_options(CLI::App& command, BenchServeCommand& o) {
  command.add_option("--ttft-limit", o.ttft_limit, "a good request has its first text within so many ms; 0: no limit")
      ->type_name("MS")
      ->transform(real_number(0, 1e9));
  command.add_option("--itl-limit", o.itl_limit, "and takes so many ms from token to token in the mean; 0: no limit")
      ->type_name("MS")
      ->transform(real_number(0, 1e9));
  command.add_flag("--json", o.json, "one JSON object instead of a table");
  command.add_option("--plot", o.plot, "also draw the figures")->type_name("FILE.svg");
  command.add_flag("-q,--quiet", o.quiet, "no line on stderr for each run");
}

}  // namespace

void add_bench_serve(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand("serve", "measure a server under load, ours or another");
  const auto o = std::make_shared<BenchServeCommand>();
  o->seed = random_seed();
  add_server_options(command, *o);
  add_load_options(command, *o);
  add_workload_options(command, *o);
  add_result_options(command, *o);
  command.footer(
      "Examples:\n  fathom bench serve -m DeepSeek-V2-Lite --clients 1,8,32 --plot load.svg\n"
      "  fathom bench serve -m model.gguf --against llama=http://127.0.0.1:8081 --json > load.json\n"
      "  fathom bench serve --url http://127.0.0.1:8000 --rate 0.5,1,2 --duration 120 --ttft-limit 2000 --itl-limit "
      "100\n"
      "  fathom bench serve -m model.gguf --mix 512:128*7,8192:64 --clients 8");
  command.callback([o] { run_bench_serve(*o); });
}

}  // namespace fathom
