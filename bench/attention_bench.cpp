// Fast attention over a cache at V2-Lite's shape, in both forms, beside the rate of int16 products that
// this machine reaches between registers, measured in the same run.
//
//     build/release/attention_bench --benchmark_filter='fast/.*' --benchmark_repetitions=5
//     --benchmark_report_aggregates_only=true
//
// choice/...: both forms in turns, with the time of the one that the built-in costs choose and of the one that this
// machine's do (engine/tuning/measure_costs.h, measured first).
//
// One layer: a step of `new` tokens of each of `sequences` after `past` cached ones; all that lies between the
// projected queries and o_proj. mac/s counts the multiply-adds of scores and sums that the causal mask leaves (of the
// form that runs), not those of kv_b_proj; %peak holds them against the int16 peak of as many threads (AMX: four
// products of tiles of bytes for one).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/random.h"
#include "engine/tuning/measure_costs.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "measure/measure.h"
#include "model/attention/int16/mla_int16.h"
#include "packing/latent_products.h"
#include "packing/packed_weights.h"
#include "quant/encode.h"
#include "tensor/buffer.h"

namespace fathom::bench {
namespace {

Buffer<float> normals(int64_t n, uint64_t stream, double deviation) {
  Buffer<float> x(n);
  fill_normals(x.data(), n, 5, stream, deviation);
  return x;
}

struct Setup {
  ModelConfig c = lite_attention();
  ThreadPool pool;
  Arena arena;
  KvCache cache;
  Buffer<uint16_t> kv_b;
  Buffer<std::byte> codes, packed_bytes, latent_products;
  MlaWeights w;
  std::vector<SequenceCache> sequences;
  Batch batch;
  Buffer<float> latents, q, o;

  Setup(int threads, CacheType type, int64_t n_sequences, int64_t past, int64_t n_new, bool packed = false)
      : pool(threads),
        cache({.layers = 1, .width = 576, .tail = 64, .type = type, .frequencies = std::vector<double>(32, 0.01)},
              n_sequences * (past + n_new + kBlockTokens)),
        kv_b(16 * 256 * 512),
        sequences(static_cast<size_t>(n_sequences)),
        latents(normals(n_sequences * n_new * 576, 1, 1)),
        q(normals(n_sequences * n_new * 16 * 192, 2, 1)),
        o(n_sequences * n_new * 16 * 128) {
    const Buffer<float> weights = normals(kv_b.size(), 3, 0.05), rows = normals(1024 * 576, 4, 1);
    for (int64_t i = 0; i < kv_b.size(); ++i) kv_b[i] = f32_to_bf16(weights[i]);
    w.kv_b_proj = {
        .dtype = DType::bf16, .rows = 16 * 256, .cols = 512, .data = reinterpret_cast<std::byte*>(kv_b.data())};
    if (packed) {
      Weight& kv = w.kv_b_proj;
      kv.dtype = DType::q4_0;
      codes = Buffer<std::byte>(kv.rows * kv.bytes_per_row());
      encode_row(kv.dtype, weights.data(), weights.size(), codes.data());
      kv.data = codes.data();
      packed_bytes = Buffer<std::byte>(packed_weight_bytes(kv));
      pack_weight(pool, kv, packed_bytes.data());
      kv.packed = packed_bytes.data();
      latent_products = Buffer<std::byte>(latent_product_bytes(c, w));
      make_latent_products(pool, c, std::array{&w}, latent_products.data());
    }
    const std::vector<int32_t> ids(static_cast<size_t>(n_new));
    for (SequenceCache& s : sequences) {
      cache.extend(s, past);
      for (int64_t p = 0; p < past; ++p) cache.store(s, 0, p, {rows.data() + p % 1024 * 576, 576});
      batch.add(cache, s, ids, Batch::Logits::none);
    }
  }

  void run(MlaForm form) {
    Context ctx{.pool = pool, .arena = arena, .numerics = Numerics::quantised()};
    const AttentionSettings settings{.scale = 0.07f, .mla_form = form};
    attend_int16({ctx, c, w, settings, 0, cache}, batch, latents.mat(batch.rows(), 576), q.mat(batch.rows(), 16 * 192),
                 o.mat(batch.rows(), 16 * 128));
  }
};

double int16_peak(ThreadPool& pool) {
  const Int16Kernel& k = int16_kernel();
  if (k.peak == nullptr) return 0;
  return peak_rate(pool, 20000, 0.2, k.peak) / 2;
}

void attention(benchmark::State& state, MlaForm form, CacheType type, int64_t sequences, int64_t past, int64_t n_new,
               bool packed) {
  const auto threads = static_cast<int>(state.range(0));
  Setup setup(threads, type, sequences, past, n_new, packed);
  const double peak = int16_peak(setup.pool);
  for (auto _ : state) setup.run(form);
  const double pairs =
      static_cast<double>(sequences * n_new) * (static_cast<double>(past) + static_cast<double>(n_new + 1) / 2);
  const double macs = pairs * 16 * (form == MlaForm::naive ? 192 + 128 : 576 + 512);
  using C = benchmark::Counter;
  state.counters["mac/s"] = C(macs, C::kIsIterationInvariantRate, C::kIs1000);
  state.counters["peak"] = C(peak, C::kDefaults, C::kIs1000);
  state.counters["%peak"] = C(100 * macs / peak, C::kIsIterationInvariantRate);
}

void add(MlaForm form, CacheType type, int64_t sequences, int64_t past, int64_t n_new, bool packed = false) {
  const std::string name = fmt::format("fast{}/{}/{}/sequences:{}/past:{}/new:{}", packed ? "/packed" : "",
                                       form == MlaForm::naive ? "naive" : "absorbed",
                                       kCacheTypeNames[static_cast<size_t>(type)], sequences, past, n_new);
  benchmark::RegisterBenchmark(name.c_str(), attention, form, type, sequences, past, n_new, packed)
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(default_thread_count())
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void choice(benchmark::State& state, bool packed, int64_t past, int64_t n_new) {
  static const MlaCosts here = measure_mla_costs(1);
  Setup setup(static_cast<int>(state.range(0)), CacheType::q16, 1, past, n_new, packed);
  const auto built_in_form = cheaper_int16_form(setup.c, {}, packed, past, n_new),
             form_here = cheaper_int16_form(setup.c, here, packed, past, n_new);
  std::vector<double> naive, absorbed;
  const auto time = [&](MlaForm form, std::vector<double>& seconds) {
    const double start = clock_seconds();
    setup.run(form);
    seconds.push_back(clock_seconds() - start);
  };
  for (auto _ : state) {
    time(MlaForm::naive, naive);
    time(MlaForm::absorbed, absorbed);
  }
  const double ms[] = {1e3 * median(naive), 1e3 * median(absorbed)};
  const auto of = [&](MlaForm form) { return form == MlaForm::naive ? ms[0] : ms[1]; };
  state.counters["naive"] = ms[0];
  state.counters["absorbed"] = ms[1];
  state.counters["built_in"] = of(built_in_form);
  state.counters["measured"] = of(form_here);
}

void add_choice(bool packed, int64_t past, int64_t n_new) {
  const std::string name = fmt::format("choice/{}/past:{}/new:{}", packed ? "packed" : "plain", past, n_new);
  benchmark::RegisterBenchmark(name.c_str(), choice, packed, past, n_new)
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(default_thread_count())
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) {
  using namespace fathom;
  for (const CacheType type :
       {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8, CacheType::q6, CacheType::q4})
    for (const int64_t past : {128, 4096, 14336}) bench::add(MlaForm::absorbed, type, 1, past, 1);
  for (const int64_t n_new : {2, 8, 32, 100}) bench::add(MlaForm::absorbed, CacheType::q16, 1, 4096, n_new);
  for (const int64_t sequences : {8, 32}) bench::add(MlaForm::absorbed, CacheType::q16, sequences, 1024, 1);
  for (const int64_t sequences : {1, 8, 32}) bench::add(MlaForm::absorbed, CacheType::q16, sequences, 64, 1, true);
  for (const CacheType type : {CacheType::q16, CacheType::q8})
    for (const int64_t past : {4096, 14336}) bench::add(MlaForm::absorbed, type, 1, past, 1, true);
  for (const int64_t n_new : {64, 128, 256}) {
    bench::add(MlaForm::absorbed, CacheType::q16, 1, 8192, n_new);
    bench::add(MlaForm::naive, CacheType::q16, 1, 8192, n_new);
  }
  bench::add(MlaForm::naive, CacheType::q16, 1, 0, 512);
  bench::add(MlaForm::naive, CacheType::q16, 1, 8192, 2048);
  bench::add(MlaForm::naive, CacheType::q16, 1, 8192, 512, true);
  for (const bool packed : {true, false})
    for (const int64_t past : {512, 4096, 16384})
      for (const int64_t n_new : {48, 64, 96, 128, 144, 160, 192, 256, 512}) bench::add_choice(packed, past, n_new);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
