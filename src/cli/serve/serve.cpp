// fathom serve: models behind OpenAI's API.
#include <cmath>
#include <optional>

#include "cli/bundled_model.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/serve/model_names.h"
#include "cli/values.h"
#include "server/api/openapi.h"
#include "server/service.h"

namespace fathom {
namespace {

struct ServeOptions {
  ModelOptions model;
  SamplingOptions sampling;
  server::ServiceOptions service;
  std::vector<std::string> models;  // PATH or NAME=PATH
  std::string name, chat_template, model_memory;
  std::vector<std::string> dry_breakers;
  int64_t cache_tokens = 0, max_running = 32, max_queued = 256, passage_tokens = kPieceTokens;
  double stretch = 2;
  bool exact_prefixes = false, lazy = false, openapi = false;
  std::string speculate = "lookup";
  int64_t keep_alive = 15, drain = 30, watchdog = 300;
  std::optional<double> unload_after;  // minutes
};

constexpr double kUnloadAfter = 10;  // minutes, of several models

std::vector<server::NamedModel> open_models(const std::vector<NamedPath>& paths) {
  std::vector<server::NamedModel> models;
  for (const NamedPath& p : paths) models.push_back({p.name, open_model(p.path)});
  return models;
}

void run_serve(ServeOptions o) {
  if (o.openapi) return fmt::print("{}\n", json::serialize(server::openapi_document()));
  validate(o.sampling);
  const server::ServiceSignals signals;
  const server::ServiceManager manager = server::ServiceManager::of_environment();
  std::vector<server::NamedModel> models = open_models(named_paths(o.models, o.name));
  const bool is_one = models.size() == 1;
  server::ServiceOptions& s = o.service;
  s.model.chat_template = o.chat_template;
  s.model.sampling = o.sampling;
  s.model.dry_breakers = o.dry_breakers;
  server::EngineThreadOptions& e = s.model.engine;
  e.threads = o.model.threads;
  e.numa = numa();
  e.engine = engine_options(o.model);
  e.engine.engine.cache_tokens = o.cache_tokens;
  e.scheduler = {.max_running = o.max_running,
                 .max_queued = o.max_queued,
                 .stretch = o.stretch,
                 .passage_tokens = o.passage_tokens,
                 .exact_prefixes = o.exact_prefixes};
  e.looks_up_drafts = o.speculate == "lookup";
  e.load_at_once = !o.lazy && is_one;
  e.unload_after = std::chrono::milliseconds(std::llround(o.unload_after.value_or(is_one ? 0 : kUnloadAfter) * 60e3));
  s.limits.keep_alive = std::chrono::seconds(o.keep_alive);
  s.limits.most_choices = o.max_running;
  s.drain_time = std::chrono::seconds(o.drain);
  s.watchdog = std::chrono::seconds(o.watchdog);
  if (!o.model_memory.empty()) s.model_memory = std::stod(o.model_memory);
  server::Service service(std::move(models), s);
  const server::ServedModels& served = service.models();
  for (size_t i = 0; i < served.size() && !o.model.quiet; ++i)
    if (!served[i].notice().empty()) print_notice(served[i].notice());
  if (!o.model.quiet)
    fmt::print(stderr, "serving {} at {} (OpenAI's API below /v1; Ctrl-C stops)\n", served.names(), service.address());
  service.run_until_signal(signals, manager);
}

void add_network_options(CLI::App& command, ServeOptions& o) {
  http::Options& h = o.service.http;
  h.port = 8080;
  command.add_option("--host", h.address, "address to listen on: an IP address, localhost, or unix:/path")
      ->capture_default_str();
  command.add_option("--port", h.port, "0: any that is free")
      ->transform(whole_number(0, 65535))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--keys", h.keys_file,
                  "API keys, a line each: NAME: SHA-256 of the key, or the key; read again on SIGHUP")
      ->type_name("FILE");
  command.add_option("--tls-certificate", h.tls_certificate, "PEM file, with its chain: the server speaks HTTPS")
      ->type_name("FILE");
  command.add_option("--tls-key", h.tls_key, "PEM file of its key")->type_name("FILE");
  command
      .add_option("--allow-host", h.hosts, "a name that clients may call the server by; several if wanted, * for any")
      ->type_name("NAME");
  command.add_option("--allow-origin", h.origins, "pages of this origin may ask; several if wanted, * for any")
      ->type_name("URL");
  command.add_option("--max-connections", h.limits.connections, "most open connections")
      ->transform(whole_number(1, 1 << 20))
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--log", o.service.log.path, "file to log to; default: stderr")->type_name("FILE");
  command.add_flag("--openapi", o.openapi, "print what the API takes and gives, as OpenAPI 3.1, and end");
  command.add_flag("--log-json", o.service.log.json, "log lines as JSON");
}

void add_scheduling_options(CLI::App& command, ServeOptions& o) {
  command.add_option("--max-running", o.max_running, "most sequences at a time")
      ->transform(whole_number(1, 1024))
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--max-queued", o.max_queued, "most requests that wait; more are answered 429")
      ->transform(whole_number(0, 1 << 20))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--cache-tokens", o.cache_tokens,
                  "tokens that the cache has room for, over all sequences; default: what half of the free memory holds")
      ->transform(whole_number(1))
      ->type_name("N");
  command
      .add_option("--stretch", o.stretch,
                  "how much longer a step may take while prompts are read beside it, in steps without")
      ->transform(real_number(1, 1000))
      ->type_name("X")
      ->capture_default_str();
  command.add_option("--prompt-rows", o.passage_tokens, "most prompt tokens that are read at a time")
      ->transform(whole_number(1, 1 << 16))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--speculate", o.speculate,
                  "lookup: draft what followed earlier in a request's text and verify it in the same step, where "
                  "measured times say that it pays; the text is the same. off")
      ->transform(one_of({"lookup", "off"}))
      ->capture_default_str();
  command.add_flag("--exact-prefixes", o.exact_prefixes,
                   "reuse of cached tokens only where it changes no bit of an answer");
  command.add_option("--keep-alive", o.keep_alive, "seconds between comments in a silent stream; 0: none")
      ->transform(whole_number(0, 1 << 30))
      ->type_name("SECONDS")
      ->capture_default_str();
  command.add_option("--timeout", o.service.limits.timeout_seconds, "seconds for a request; 0: as long as it takes")
      ->transform(real_number(0, 1e9))
      ->type_name("SECONDS")
      ->capture_default_str();
  command.add_option("--drain", o.drain, "seconds that requests under way have when the server stops")
      ->transform(whole_number(0, 1 << 30))
      ->type_name("SECONDS")
      ->capture_default_str();
  command.add_option("--watchdog", o.watchdog, "seconds without progress after which /ready says no")
      ->transform(whole_number(1, 1 << 30))
      ->type_name("SECONDS")
      ->capture_default_str();
}

void add_served_model_options(CLI::App& command, ServeOptions& o) {
  if (const std::string bundled = bundled_model(); !bundled.empty()) o.models = {bundled};
  command
      .add_option(
          "-m,--model", o.models,
          "folder with config.json and safetensors, a .gguf file, or OWNER/NAME of a pulled model; several if wanted, "
          "each under its name and loaded when a request asks for it; default: the model that comes with fathom")
      ->required(o.models.empty())
      ->allow_extra_args(false)
      ->type_name("[NAME=]MODEL");
  command.add_option("--name", o.name, "what clients call a single model; default: the name of its file or folder")
      ->type_name("NAME");
  command.add_flag("--lazy", o.lazy, "load a single model when the first request comes, as several are");
  command
      .add_option("--unload-after", o.unload_after,
                  fmt::format("unload a model that was idle for so long; 0: never; default: 0, or {} with several",
                              kUnloadAfter))
      ->transform(real_number(0, 1e6))
      ->type_name("MINUTES");
  command
      .add_option("--model-memory", o.model_memory,
                  "what loaded models may take together, weights and cache: one that is idle makes room for another; "
                  "default: what is free at the start")
      ->transform(byte_size())
      ->type_name("SIZE");
}

}  // namespace

void add_serve(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("serve", "answer requests over HTTP, as OpenAI's API");
  const auto o = std::make_shared<ServeOptions>();
  add_served_model_options(command, *o);
  add_engine_options(command, o->model);
  add_chat_template_option(command, o->chat_template);
  add_sampling_options(command, o->sampling);
  add_dry_breaker_option(command, o->dry_breakers);
  add_network_options(command, *o);
  add_scheduling_options(command, *o);
  command.footer(
      "Examples:\n  fathom serve\n  fathom serve -m DeepSeek-V2-Lite-Chat --port 9000 --ctx 16384\n"
      "  fathom serve --model chat=DeepSeek-V2-Lite-Chat --model code=DeepSeek-Coder-V2-Lite.gguf\n"
      "  fathom serve -m model.gguf --host 0.0.0.0 --allow-host '*' --keys keys.txt");
  command.callback([=] { run_serve(*o); });
}

}  // namespace fathom
