// Products with packed weights (kernels/matmul/packed_matmul.h) at the shape of V2-Lite's experts,
// beside the rate of products of bytes between registers and the bandwidth that the same run measured.
//
//     build/release/packed_bench --benchmark_filter='packed/q4_0' --benchmark_repetitions=5
//     --benchmark_report_aggregates_only=true
//
// Counters: mac/s multiply-adds, %peak of the products of bytes of as many threads; B/s bytes of packed weights, %bw of
// the bandwidth. FATHOM_ISA picks the table. With few rows of x weights come from memory: some hundred of them in turn.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/random.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/packed_matmul.h"
#include "kernels/peak.h"
#include "kernels_peak.h"
#include "tensor/buffer.h"

namespace fathom::bench {
namespace {

constexpr int64_t kRows = 1408, kCols = 2048;

void packed(benchmark::State& state, DType dtype, int64_t T) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  Arena arena;
  const int64_t bytes = n_strips(kRows) * strip_bytes(dtype, kCols), copies = T > 8 ? 1 : (int64_t{1} << 29) / bytes;
  Buffer<std::byte> data(bytes * copies);
  for (int64_t i = 0; i < data.size(); ++i) {
    const uint32_t random = i < 1 << 20 ? philox(3, 4, static_cast<uint64_t>(i))[0] : 0;
    data[i] =
        i < 1 << 20 ? static_cast<std::byte>(random & 0x33) : data[i - (1 << 20)];  // scales are small normal halves
  }
  Buffer<float> x(T * kCols), y(T * kRows);
  for (int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(standard_normal(5, 6, static_cast<uint64_t>(i)));
  const QuantisedTiles tiles = plan_tiles(arena, std::array{T}, kCols, row_form(dtype));
  quantise(pool, x.mat(T, kCols), {}, tiles);
  Weight w{.dtype = dtype, .rows = kRows, .cols = kCols};
  w.packed = data.data();
  const double peak = peak_byte_products(pool, 0.1) / 2, bandwidth = peak_bandwidth(pool, int64_t{1} << 29);
  int64_t turn = 0;
  for (auto _ : state) {
    w.packed = data.data() + turn * bytes;
    turn = (turn + 1) % copies;
    std::vector<PackedMatmul> jobs;
    for (const QuantisedTile& t : tiles) jobs.push_back({t.rows, &w, y.mat(T, kRows).sub_rows(t.first, t.rows.n)});
    run_packed_matmuls(pool, jobs);
  }
  using C = benchmark::Counter;
  const auto macs = static_cast<double>(T * kRows * kCols);
  state.counters["mac/s"] = C(macs, C::kIsIterationInvariantRate, C::kIs1000);
  if (peak > 0) state.counters["%peak"] = C(100 * macs / peak, C::kIsIterationInvariantRate);
  state.counters["B/s"] = C(static_cast<double>(bytes), C::kIsIterationInvariantRate, C::kIs1000);
  state.counters["%bw"] = C(100 * static_cast<double>(bytes) / bandwidth, C::kIsIterationInvariantRate);
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) {
  using namespace fathom;
  for (const DType dtype : {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q4_k, DType::q5_k,
                            DType::q6_k, DType::f32, DType::f16, DType::bf16, DType::f8_e4m3}) {
    for (const int64_t T : {1, 4, 8, 16, 64, 256})
      benchmark::RegisterBenchmark(fmt::format("packed/{}/rows:{}", name(dtype), T).c_str(), bench::packed, dtype, T)
          ->ArgName("threads")
          ->Arg(1)
          ->Arg(default_thread_count())
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
