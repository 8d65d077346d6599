#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/progress.h"

namespace fathom::server {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
const Buckets kIntervals = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4};
const Buckets kTokens = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 131072};

constexpr std::array kReasons = {"length", "stop_token", "stop_string", "cancelled", "deadline", "error"};
constexpr std::array kRejections = {"queue_full", "shutting_down", "invalid"};

// Figures that others count, told as they are at the moment of a scrape.
class Figures {
 public:
  explicit Figures(std::string model) : model_(std::move(model)) {}
  void gauge(const char* name, const char* help, double value) {
    add(name, help, prometheus::MetricType::Gauge, value);
  }
  void counter(const char* name, const char* help, double value) {
    add(name, help, prometheus::MetricType::Counter, value);
  }
  void requests(const http::ServerCounts& http) {
    prometheus::MetricFamily f{"http_requests_total",
                               "Requests by route and status; 499: the client left.",
                               prometheus::MetricType::Counter,
                               {}};
    for (const auto& a : http.answered) {
      prometheus::ClientMetric m;
      m.label = {{"method", a.method}, {"route", a.pattern}, {"code", std::to_string(a.status)}};
      m.counter.value = static_cast<double>(a.count);
      f.metric.push_back(std::move(m));
    }
    families_.push_back(std::move(f));
  }
  std::vector<prometheus::MetricFamily> take() { return std::move(families_); }

 private:
  void add(const char* name, const char* help, prometheus::MetricType type, double value) {
    prometheus::ClientMetric m;
    m.label = {{"model", model_}};
    m.gauge.value = m.counter.value = value;
    families_.push_back({name, help, type, {std::move(m)}});
  }
  std::string model_;
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
  }
  prometheus::Histogram& first_token =
      histogram("time_to_first_token_seconds", "From the request to its first token.", kSeconds);
  prometheus::Histogram& interval =
      histogram("inter_token_latency_seconds", "Between two tokens of a request.", kIntervals);
  prometheus::Histogram& whole = histogram("e2e_request_latency_seconds", "From a request to its end.", kSeconds);
  prometheus::Histogram& queue = histogram("request_queue_time_seconds", "Until a request was admitted.", kSeconds);
  prometheus::Histogram& prefill =
      histogram("request_prefill_time_seconds", "From there to its first token.", kSeconds);
  prometheus::Histogram& decode = histogram("request_decode_time_seconds", "From there to its end.", kSeconds);
  prometheus::Histogram& prompt = histogram("request_prompt_tokens", "Tokens of a prompt.", kTokens);
  prometheus::Histogram& generated = histogram("request_generation_tokens", "Tokens generated for a request.", kTokens);
  prometheus::Histogram& step = histogram("engine_step_seconds", "Of one step of the engine.", kIntervals);
  prometheus::Histogram& batch = histogram("engine_step_sequences", "Sequences that got a token in a step.", kTokens);
  // By reason. Made here, so that counting needs no memory.
  template <size_t n>
  std::array<prometheus::Counter*, n> counters(const char* name, const char* help,
                                               const std::array<const char*, n>& reasons) {
    auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(registry);
    std::array<prometheus::Counter*, n> made{};
    for (size_t i = 0; i < n; ++i) made[i] = &family.Add({{"reason", reasons[i]}});
    return made;
  }
  std::array<prometheus::Counter*, kReasons.size()> finished =
      counters("requests_finished_total", "Requests by how they ended.", kReasons);
  std::array<prometheus::Counter*, kRejections.size()> rejected =
      counters("requests_rejected_total", "Requests that were not queued, by reason.", kRejections);
  prometheus::Gauge& last_step = prometheus::BuildGauge()
                                     .Name("engine_last_step_timestamp_seconds")
                                     .Help("When the engine last made a step, in seconds since 1970.")
                                     .Register(registry)
                                     .Add({});
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::request_ended(const Ended& e) noexcept {
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

void Metrics::token_interval(double seconds) noexcept { impl_->interval.Observe(seconds); }

void Metrics::request_rejected(std::string_view reason) noexcept {
  const auto at = std::find(kRejections.begin(), kRejections.end(), reason);
  check(at != kRejections.end(), "a reason that is counted");
  impl_->rejected[static_cast<size_t>(at - kRejections.begin())]->Increment();
}

void Metrics::step(const StepReport& report) noexcept {
  impl_->step.Observe(report.seconds);
  impl_->batch.Observe(static_cast<double>(report.n_decoded));
  impl_->last_step.SetToCurrentTime();
}

std::string Metrics::text(const std::string& model, const EngineSnapshot& e, const http::ServerCounts& http) const {
  Figures f(model);
  const auto number = [](auto n) { return static_cast<double>(n); };
  f.gauge("requests_running", "Sequences in the batch.", number(e.running));
  f.gauge("requests_waiting", "Requests in the queue.", number(e.queued));
  f.gauge("requests_waiting_tokens", "Prompt tokens in the queue.", number(e.queued_tokens));
  f.gauge("kv_cache_tokens", "Tokens that the cache has room for.", number(e.cache_tokens));
  f.gauge("kv_cache_usage_ratio", "Part of the cache that running sequences hold.",
          e.cache_tokens > 0 ? number(e.cache_tokens_in_use) / number(e.cache_tokens) : 0);
  f.counter("prompt_tokens_total", "Tokens of prompts.", number(e.counts.prompt_tokens));
  f.counter("prompt_tokens_cached_total", "Tokens of prompts that were found in the cache.",
            number(e.counts.prompt_tokens_cached));
  f.counter("generation_tokens_total", "Tokens that were generated.", number(e.counts.generated_tokens));
  f.counter("preemptions_total", "Sequences that gave way for lack of cache.", number(e.counts.preempted));
  f.counter("prefix_cache_queries_total", "Tokens that were looked for in the cache.", number(e.prefixes.tokens_asked));
  f.counter("prefix_cache_hits_total", "Tokens of these that were found.", number(e.prefixes.tokens_found));
  f.counter("prefix_cache_evictions_total", "Blocks of the cache that were let go.", number(e.prefixes.blocks_evicted));
  f.gauge("model_load_seconds", "How long the model took to load.", e.load_seconds);
  f.gauge("http_open_connections", "Open connections.", number(http.connections_open));
  f.gauge("http_requests_running", "HTTP requests under way.", number(http.requests_running));
  f.gauge("process_peak_memory_bytes", "Largest resident size so far.", number(peak_memory_bytes()));
  f.requests(http);
  std::vector<prometheus::MetricFamily> all = impl_->registry.Collect();
  for (prometheus::MetricFamily& family : f.take()) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace fathom::server
