// The kernels at V2-Lite's shapes, beside what this machine can do at most.
//
//     build/release/kernels_bench --benchmark_filter='matmul/.*q4_0' --benchmark_repetitions=5
//     --benchmark_report_aggregates_only=true
//
// Counters: B/s is bytes of weights (as stored) per second, flop/s two for each multiply-add; %bw and %peak hold them
// against the bandwidth and the FMA rate that the same run measured first (printed in the head of the report, with
// machine and threads). Threads: all CPUs; FATHOM_ISA picks the table of matmul/. With few rows of x weights come from
// memory: copies of them are used in turn, together larger than the caches.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/random.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "kernels_peak.h"
#include "tensor/buffer.h"

namespace fathom::bench {
namespace {

constexpr int64_t kColdBytes = int64_t{1} << 29;  // half a gigabyte: beyond the share of a cache that one gets

struct Machine {
  ThreadPool pool{default_thread_count()};
  double bandwidth = 0;
  double flops[3] = {};  // by Isa
};
Machine& machine() {
  static Machine m;
  return m;
}

void report(benchmark::State& state, Isa isa, int threads, double bytes, double flops) {
  using C = benchmark::Counter;
  const double all = machine().pool.size(), share = threads / all;
  state.counters["B/s"] = C(bytes, C::kIsIterationInvariantRate, C::kIs1000);
  state.counters["%bw"] = C(100 * bytes / machine().bandwidth, C::kIsIterationInvariantRate);
  if (flops == 0) return;
  state.counters["flop/s"] = C(flops, C::kIsIterationInvariantRate, C::kIs1000);
  const double peak = machine().flops[static_cast<size_t>(isa)] * share;
  if (peak > 0) state.counters["%peak"] = C(100 * flops / peak, C::kIsIterationInvariantRate);
}

Buffer<float> random_input(int64_t n) {
  Buffer<float> x(n);
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(uniform01(1, 2, static_cast<uint64_t>(i))) - 0.5f;
  return x;
}

// Stored bytes of numbers near 1 (a subnormal would be slow, and is rare in a model): plain types hold them, blocks
// have any codes and scales that are small normal halves. They repeat after some thousand blocks.
Buffer<std::byte> random_stored(DType t, int64_t bytes) {
  Buffer<std::byte> data(bytes);
  const int64_t period = std::min<int64_t>(bytes, int64_t{4096} * info(t).block_bytes);
  const int width = info(t).block_elements == 1 ? info(t).block_bytes : 0;
  for (int64_t i = 0; i < period; ++i) {
    const uint32_t random = philox(3, 4, static_cast<uint64_t>(i))[0] & 255;
    const bool top = width == 0 ? i % 2 == 1 : i % width == width - 1;  // sign and exponent
    data[i] = static_cast<std::byte>(!top ? random : width == 0 ? random & 0x13 : (random & 0x80) | 0x3C);
  }
  for (int64_t i = period; i < bytes; ++i) data[i] = data[i - period];
  return data;
}

// `copies` matrices (rows, cols), used in turn.
class ColdWeights {
 public:
  ColdWeights(DType t, int64_t rows, int64_t cols, int64_t at_least)
      : bytes_(rows * row_bytes(t, cols)),
        copies_(std::max<int64_t>(1, at_least / bytes_)),
        data_(random_stored(t, bytes_ * copies_)),
        w_{.dtype = t, .rows = rows, .cols = cols, .data = data_.data()} {}
  int64_t bytes() const { return bytes_; }
  const Weight& next() {
    turn_ = (turn_ + 1) % copies_;
    w_.data = data_.data() + turn_ * bytes_;
    return w_;
  }

 private:
  int64_t bytes_, copies_, turn_ = 0;
  Buffer<std::byte> data_;
  Weight w_;
};

void bench_dot(benchmark::State& state, const KernelTable& k, int64_t n) {
  ColdWeights rows(DType::f32, 1, n, kColdBytes);
  const Buffer<float> x = random_input(n);
  for (auto _ : state) {
    const std::byte* row = rows.next().data;
    benchmark::DoNotOptimize(k.dot_f32(reinterpret_cast<const float*>(row), x.data(), n));
  }
  report(state, k.isa, 1, static_cast<double>(rows.bytes()), 2.0 * static_cast<double>(n));
}

void bench_decode(benchmark::State& state, const KernelTable& k, DType t) {
  constexpr int64_t n = 2048;
  ColdWeights rows(t, 1, n, int64_t{1} << 17);  // from the second level cache: the cost of decoding alone
  Buffer<float> out(n);
  for (auto _ : state) {
    decoder(k, t)(rows.next().data, n, out.data());
    benchmark::ClobberMemory();
  }
  report(state, k.isa, 1, static_cast<double>(rows.bytes()), 0);
  state.counters["elements/s"] = benchmark::Counter(n, benchmark::Counter::kIsIterationInvariantRate);
}

void bench_matmul(benchmark::State& state, DType t, int64_t n_rows, int64_t k, int64_t n_tokens) {
  ColdWeights w(t, n_rows, k, n_tokens < 64 ? kColdBytes : 1);
  const Buffer<float> x = random_input(n_tokens * k), y(n_tokens * n_rows);
  for (auto _ : state)
    matmul(machine().pool, MatView<const float>(x.data(), n_tokens, k), w.next(), y.mat(n_tokens, n_rows));
  report(state, kernels().isa, machine().pool.size(), static_cast<double>(w.bytes()),
         2.0 * static_cast<double>(n_tokens * n_rows * k));
}

void bench_rows(benchmark::State& state, const KernelTable& k, void (*row)(const KernelTable&, float*, int64_t)) {
  constexpr int64_t n = 2048;
  const Buffer<float> x = random_input(3 * n);  // two inputs and an output
  for (auto _ : state) {
    row(k, x.data(), n);
    benchmark::ClobberMemory();
  }
  state.counters["elements/s"] = benchmark::Counter(n, benchmark::Counter::kIsIterationInvariantRate);
}

void register_row_kernels(const KernelTable& k) {
  const std::string isa(name(k.isa));
  for (int64_t n : {576, 1408, 2048, 10944})  // cache row, expert, hidden and dense widths
    benchmark::RegisterBenchmark(fmt::format("dot_f32/{}/{}", isa, n).c_str(),
                                 [&k, n](benchmark::State& s) { bench_dot(s, k, n); });
  for (const DTypeInfo& d : kDTypes)
    benchmark::RegisterBenchmark(fmt::format("decode/{}/{}", isa, d.name).c_str(),
                                 [&k, t = d.dtype](benchmark::State& s) { bench_decode(s, k, t); });
  using Row = void (*)(const KernelTable&, float*, int64_t);
  const std::pair<const char*, Row> rows[] = {
      {"rmsnorm", [](const KernelTable& t, float* x, int64_t n) { t.rmsnorm_row(x, x + n, 1e-6f, n, x + 2 * n); }},
      {"swiglu", [](const KernelTable& t, float* x, int64_t n) { t.swiglu_row(x, x + n, n, x + 2 * n); }},
      {"softmax", [](const KernelTable& t, float* x, int64_t n) { t.softmax_row(x, n); }}};
  for (const auto& [what, row] : rows)
    benchmark::RegisterBenchmark(fmt::format("{}/{}", what, isa).c_str(),
                                 [&k, r = row](benchmark::State& s) { bench_rows(s, k, r); });
}

void register_matmul() {
  struct Shape {
    const char* what;
    int64_t n, k;
  };
  constexpr Shape kShapes[] = {{"expert_gate", 1408, 2048}, {"q_proj", 3072, 2048}, {"dense_down", 2048, 11008}};
  for (DType t : {DType::f32, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k})
    for (const Shape& s : kShapes)
      for (int64_t tokens : {1, 8, 512})
        benchmark::RegisterBenchmark(fmt::format("matmul/{}/{}/T{}", s.what, name(t), tokens).c_str(),
                                     [=](benchmark::State& state) { bench_matmul(state, t, s.n, s.k, tokens); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) try {
  using namespace fathom;
  using namespace fathom::bench;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Machine& m = machine();
  m.bandwidth = peak_bandwidth(m.pool, 2 * kColdBytes);
  benchmark::AddCustomContext("cpu", cpu_model_name());
  benchmark::AddCustomContext("threads", std::to_string(m.pool.size()));
  benchmark::AddCustomContext("isa of matmul", std::string(name(kernels().isa)));
  benchmark::AddCustomContext("read bandwidth", fmt::format("{:.1f} GB/s", m.bandwidth * 1e-9));
  for (const KernelTable* k : runnable_kernels()) {
    const double flops = m.flops[static_cast<size_t>(k->isa)] = peak_flops(m.pool, k->isa);
    if (flops > 0)
      benchmark::AddCustomContext("fma peak, " + std::string(name(k->isa)),
                                  fmt::format("{:.0f} Gflop/s", flops * 1e-9));
    register_row_kernels(*k);
  }
  register_matmul();
  benchmark::RunSpecifiedBenchmarks();
} catch (const fathom::Error& e) {
  fmt::print(stderr, "kernels_bench: {}\n", e.what());
  return 2;
}
