#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "base/progress.h"

namespace fathom::server {
namespace {

using prometheus::Histogram;
using prometheus::MetricType;
using Buckets = Histogram::BucketBoundaries;
using Labels = std::map<std::string, std::string>;

const Buckets kSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
const Buckets kIntervals = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4};
const Buckets kTokens = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 131072};

constexpr std::array kReasons = {"length", "stop_token", "stop_string", "cancelled", "deadline", "error"};
constexpr std::array kRejections = {"queue_full", "shutting_down", "invalid"};

// Figures that others count, told as they are at the moment of a scrape.
class Figures {
 public:
  explicit Figures(const std::vector<ModelFigures>& models) : models_(models) {}
  // Of each model: value(snapshot of its engine).
  template <class Value>
  void gauge_of_models(const char* name, const char* help, Value value) {
    add_of_models(name, help, MetricType::Gauge, value);
  }
  template <class Value>
  void counter_of_models(const char* name, const char* help, Value value) {
    add_of_models(name, help, MetricType::Counter, value);
  }
  void gauge(const char* name, const char* help, double value) {
    families_.push_back({name, help, MetricType::Gauge, {metric({}, value)}});
  }
  void requests(const http::ServerCounts& http) {
    prometheus::MetricFamily f{
        "http_requests_total", "Requests by route and status; 499: the client left.", MetricType::Counter, {}};
    for (const auto& a : http.answered)
      f.metric.push_back(metric({{"method", a.method}, {"route", a.pattern}, {"code", std::to_string(a.status)}},
                                static_cast<double>(a.count)));
    families_.push_back(std::move(f));
  }
  std::vector<prometheus::MetricFamily> take() { return std::move(families_); }

 private:
  static prometheus::ClientMetric metric(const Labels& labels, double value) {
    prometheus::ClientMetric m;
    for (const auto& [name, text] : labels) m.label.push_back({name, text});
    m.gauge.value = m.counter.value = value;
    return m;
  }
  template <class Value>
  void add_of_models(const char* name, const char* help, MetricType type, Value value) {
    prometheus::MetricFamily f{name, help, type, {}};
    for (const ModelFigures& m : models_)
      f.metric.push_back(metric({{"model", m.name}}, static_cast<double>(value(m.engine))));
    families_.push_back(std::move(f));
  }
  const std::vector<ModelFigures>& models_;
  std::vector<prometheus::MetricFamily> families_;
};

Histogram& histogram(prometheus::Registry& r, const Labels& labels, const char* name, const char* help,
                     const Buckets& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(r).Add(labels, buckets);
}

// By reason. Made at once, so that counting needs no memory.
template <size_t n>
std::array<prometheus::Counter*, n> counters(prometheus::Registry& r, const Labels& labels, const char* name,
                                             const char* help, const std::array<const char*, n>& reasons) {
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(r);
  std::array<prometheus::Counter*, n> made{};
  for (size_t i = 0; i < n; ++i) {
    Labels with_reason = labels;
    with_reason["reason"] = reasons[i];
    made[i] = &family.Add(with_reason);
  }
  return made;
}

}  // namespace

// A family that is registered once more with the same name and help is the same one (InsertBehavior::Merge).
struct ModelMetrics::Impl {
  Impl(prometheus::Registry& r, const std::string& name) : labels{{"model", name}}, registry(r) {}

  Labels labels;
  prometheus::Registry& registry;
  Histogram& first_token =
      histogram(registry, labels, "time_to_first_token_seconds", "From the request to its first token.", kSeconds);
  Histogram& interval =
      histogram(registry, labels, "inter_token_latency_seconds", "Between two tokens of a request.", kIntervals);
  Histogram& whole = histogram(registry, labels, "e2e_request_latency_seconds", "From a request to its end.", kSeconds);
  Histogram& queue =
      histogram(registry, labels, "request_queue_time_seconds", "Until a request was admitted.", kSeconds);
  Histogram& prefill =
      histogram(registry, labels, "request_prefill_time_seconds", "From there to its first token.", kSeconds);
  Histogram& decode = histogram(registry, labels, "request_decode_time_seconds", "From there to its end.", kSeconds);
  Histogram& prompt = histogram(registry, labels, "request_prompt_tokens", "Tokens of a prompt.", kTokens);
  Histogram& generated =
      histogram(registry, labels, "request_generation_tokens", "Tokens generated for a request.", kTokens);
  Histogram& step = histogram(registry, labels, "engine_step_seconds", "Of one step of the engine.", kIntervals);
  Histogram& batch =
      histogram(registry, labels, "engine_step_sequences", "Sequences that got a token in a step.", kTokens);
  prometheus::Gauge& last_step = prometheus::BuildGauge()
                                     .Name("engine_last_step_timestamp_seconds")
                                     .Help("When the engine last made a step, in seconds since 1970.")
                                     .Register(registry)
                                     .Add(labels);
  std::array<prometheus::Counter*, kReasons.size()> finished =
      counters(registry, labels, "requests_finished_total", "Requests by how they ended.", kReasons);
};

struct Metrics::Impl {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  std::array<prometheus::Counter*, kRejections.size()> rejected =
      counters(registry, {}, "requests_rejected_total", "Requests that were not queued, by reason.", kRejections);
  std::map<std::string, ModelMetrics> models;
};

ModelMetrics::ModelMetrics(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelMetrics::~ModelMetrics() = default;
ModelMetrics::ModelMetrics(ModelMetrics&&) noexcept = default;

void ModelMetrics::request_ended(const Ended& e) noexcept {
  const RequestTimes& t = e.times;
  impl_->finished[static_cast<size_t>(e.reason)]->Increment();
  impl_->whole.Observe(t.ended - t.submitted);
  impl_->prompt.Observe(static_cast<double>(e.n_prompt));
  impl_->generated.Observe(static_cast<double>(e.n_generated));
  if (t.admitted > 0) impl_->queue.Observe(t.admitted - t.submitted);
  if (t.first_token <= 0) return;
  impl_->first_token.Observe(t.first_token - t.submitted);
  impl_->prefill.Observe(t.first_token - t.admitted);
  impl_->decode.Observe(t.ended - t.first_token);
}

void ModelMetrics::token_interval(double seconds) noexcept { impl_->interval.Observe(seconds); }

void ModelMetrics::step(const SchedulerStep& report) noexcept {
  impl_->step.Observe(report.seconds);
  impl_->batch.Observe(static_cast<double>(report.n_decoded));
  impl_->last_step.SetToCurrentTime();
}

Metrics::Metrics(const std::vector<std::string>& models) : impl_(std::make_unique<Impl>()) {
  for (const std::string& name : models)
    impl_->models.emplace(name, ModelMetrics(std::make_unique<ModelMetrics::Impl>(impl_->registry, name)));
}
Metrics::~Metrics() = default;

ModelMetrics& Metrics::of(const std::string& model) const { return impl_->models.at(model); }

void Metrics::request_rejected(std::string_view reason) noexcept {
  const auto at = std::find(kRejections.begin(), kRejections.end(), reason);
  check(at != kRejections.end(), "a reason that is counted");
  impl_->rejected[static_cast<size_t>(at - kRejections.begin())]->Increment();
}

std::string Metrics::text(const std::vector<ModelFigures>& models, const http::ServerCounts& http) const {
  using E = const EngineSnapshot&;
  const auto number = [](auto n) { return static_cast<double>(n); };
  Figures f(models);
  f.gauge_of_models("model_loaded", "1 while the model is in memory.",
                    [](E e) { return e.state == EngineState::ready ? 1 : 0; });
  f.counter_of_models("model_loads_total", "How often the model was loaded.", [](E e) { return e.loads; });
  f.gauge_of_models("model_load_seconds", "How long the model took to load.", [](E e) { return e.load_seconds; });
  f.gauge_of_models("requests_running", "Sequences in the batch.", [](E e) { return e.running; });
  f.gauge_of_models("requests_waiting", "Requests in the queue.", [](E e) { return e.queued; });
  f.gauge_of_models("requests_waiting_tokens", "Prompt tokens in the queue.", [](E e) { return e.queued_tokens; });
  f.gauge_of_models("kv_cache_tokens", "Tokens that the cache has room for.", [](E e) { return e.cache_tokens; });
  f.gauge_of_models("kv_cache_usage_ratio", "Part of the cache that running sequences hold.", [&](E e) {
    return e.cache_tokens > 0 ? number(e.cache_tokens_in_use) / number(e.cache_tokens) : 0;
  });
  f.counter_of_models("prompt_tokens_total", "Tokens of prompts.", [](E e) { return e.counts.prompt_tokens; });
  f.counter_of_models("prompt_tokens_cached_total", "Tokens of prompts that were found in the cache.",
                      [](E e) { return e.counts.prompt_tokens_cached; });
  f.counter_of_models("generation_tokens_total", "Tokens that were generated.",
                      [](E e) { return e.counts.generated_tokens; });
  f.counter_of_models("preemptions_total", "Sequences that gave way for lack of cache.",
                      [](E e) { return e.counts.preempted; });
  f.counter_of_models("prefix_cache_queries_total", "Tokens that were looked for in the cache.",
                      [](E e) { return e.prefixes.tokens_asked; });
  f.counter_of_models("prefix_cache_hits_total", "Tokens of these that were found.",
                      [](E e) { return e.prefixes.tokens_found; });
  f.counter_of_models("prefix_cache_evictions_total", "Blocks of the cache that were let go.",
                      [](E e) { return e.prefixes.blocks_evicted; });
  f.gauge("http_open_connections", "Open connections.", number(http.connections_open));
  f.gauge("http_requests_running", "HTTP requests under way.", number(http.requests_running));
  f.gauge("process_peak_memory_bytes", "Largest resident size so far.", number(peak_memory_bytes()));
  f.requests(http);
  std::vector<prometheus::MetricFamily> all = impl_->registry.Collect();
  for (prometheus::MetricFamily& family : f.take()) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace fathom::server
