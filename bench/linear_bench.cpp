// The matrix products of training beside what this machine can do at most.
//
//     build/release/linear_bench [--seconds S] [--cpu] [FILTER]
//
// For each kernel that this CPU can run: its peak (the multiply instruction between registers alone), then forward,
// input gradient and weight gradient of some layers, and of experts. Each figure is the best of as many calls as fit in
// S seconds (0.5); GFLOP/s counts two for each multiply-add; % is of the peak of that kernel with as many threads,
// measured again before each line. Threads are the CPUs this process may run on (taskset). --cpu: one thread, and its
// CPU time in place of the wall's, for a machine that others use too. FILTER: lines that contain it.
#include <fmt/format.h>

#include <functional>
#include <string>

#include "base/machine/cpu.h"
#include "base/random.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/gemm.h"
#include "kernels/peak.h"
#include "tensor/buffer.h"

namespace fathom::bench {
namespace {

struct Options {
  double seconds = 0.5;
  bool cpu = false;
  std::string filter;
};

struct Layer {
  const char* what;
  int64_t T, N, K;
  int64_t experts;  // 0: none
};
constexpr Layer kLayers[] = {
    {"512 x 512", 4096, 512, 512, 0},
    {"2048 x 2048", 4096, 2048, 2048, 0},
    {"256 -> 8192", 4096, 8192, 256, 0},
    {"experts 256 -> 128", 8192, 128, 256, 16},
    {"few rows 256 -> 128", 1600, 128, 256, 16},
    {"experts 192 -> 64", 8192, 64, 192, 32},
    {"experts 576 -> 192", 8192, 192, 576, 32},
    {"attention 48 -> 64", 64, 64, 48, 0},
};

Buffer<float> random_matrix(int64_t n, uint64_t seed) {
  Buffer<float> x(n);
  for (int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(uniform01(seed, 2, static_cast<uint64_t>(i % 65521))) - 0.5f;
  return x;
}

// Rows of each expert: some have twice the rows of others.
std::vector<int64_t> offsets_of(const Layer& l) {
  const int64_t E = std::max<int64_t>(1, l.experts);
  std::vector<int64_t> offsets = {0};
  for (int64_t e = 1; e < E; ++e) offsets.push_back(l.T * e * (E + e) / (2 * E * E - E));
  offsets.push_back(l.T);
  return offsets;
}

struct Inputs {
  Buffer<float> x, y, w, dw;
  explicit Inputs(const Layer& l)
      : x(random_matrix(l.T * l.K, 1)),
        y(random_matrix(l.T * l.N, 2)),
        w(random_matrix(std::max<int64_t>(1, l.experts) * l.N * l.K, 3)),
        dw(std::max<int64_t>(1, l.experts) * l.N * l.K) {}
};

enum class Direction { forward, dinput, dweight };

std::vector<GemmProblem> problems_of(const Layer& l, const Inputs& in, Direction d) {
  const std::vector<int64_t> offsets = offsets_of(l);
  std::vector<GemmProblem> problems;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t first = offsets[e], n = offsets[e + 1] - first, at = static_cast<int64_t>(e) * l.N * l.K;
    const MatView<const float> x(in.x.data() + first * l.K, n, l.K), w(in.w.data() + at, l.N, l.K);
    float *xs = in.x.data() + first * l.K, *ys = in.y.data() + first * l.N;
    if (d == Direction::forward)
      problems.push_back({.m = n,
                          .n = l.N,
                          .k = l.K,
                          .a = MatView<const float>(xs, n, l.K),
                          .b = WeightRows(kernels(), w),
                          .b_transposed = true,
                          .c = ys,
                          .c_stride = l.N});
    else if (d == Direction::dinput)
      problems.push_back({.m = n,
                          .n = l.K,
                          .k = l.N,
                          .a = MatView<const float>(ys, n, l.N),
                          .b = WeightRows(kernels(), w),
                          .c = xs,
                          .c_stride = l.K});
    else
      problems.push_back({.m = l.N,
                          .n = l.K,
                          .k = n,
                          .a = MatView<const float>(ys, n, l.N),
                          .a_transposed = true,
                          .b = WeightRows(kernels(), x),
                          .c = in.dw.data() + at,
                          .c_stride = l.K,
                          .add = true});
  }
  return problems;
}

double best_seconds(const Options& o, const std::function<void()>& call) {
  call();
  double best = 1e9, total = 0;
  for (int i = 0; total < o.seconds || i < 3; ++i) {
    const double start = clock_seconds(o.cpu);
    call();
    const double seconds = clock_seconds(o.cpu) - start;
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

void run_layer(ThreadPool& pool, MatmulPrecision products, const GemmKernel& kernel, const Layer& l, const Options& o) {
  Inputs in(l);
  const double peak = peak_products(pool, kernel, o.seconds / 4, o.cpu);
  const double flops = 2.0 * static_cast<double>(l.T) * static_cast<double>(l.N) * static_cast<double>(l.K);
  fmt::print("{:12} {:5} {:20} T {:5}  peak {:7.0f}", kernel.name, products == MatmulPrecision::f32 ? "f32" : "bf16",
             l.what, l.T, peak * 1e-9);
  for (const Direction d : {Direction::forward, Direction::dinput, Direction::dweight}) {
    const std::vector<GemmProblem> problems = problems_of(l, in, d);
    const double rate = flops / best_seconds(o, [&] { gemm(&pool, kernel, problems); });
    fmt::print("  {:7.0f} {:5.1f} %", rate * 1e-9, peak > 0 ? 100 * rate / peak : 0);
    std::fflush(stdout);
  }
  fmt::print("\n");
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) try {
  using namespace fathom;
  using namespace fathom::bench;
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--seconds" && i + 1 < argc)
      o.seconds = std::atof(argv[++i]);
    else if (arg == "--cpu")
      o.cpu = true;
    else
      o.filter = arg;
  }
  ThreadPool pool(o.cpu ? 1 : default_thread_count());
  fmt::print("{}, {} threads\nGFLOP/s and % of peak: forward, input gradient, weight gradient\n", cpu_model_name(),
             pool.size());
  for (const MatmulPrecision p : {MatmulPrecision::f32, MatmulPrecision::bf16})
    for (const GemmKernel* kernel : runnable_gemm_kernels(p)) {
      if (std::string_view(kernel->name) == "ref") continue;
      for (const Layer& l : kLayers)
        if (fmt::format("{} {} {}", kernel->name, p == MatmulPrecision::f32 ? "f32" : "bf16", l.what).find(o.filter) !=
            std::string::npos)
          run_layer(pool, p, *kernel, l, o);
    }
} catch (const fathom::Error& e) {
  fmt::print(stderr, "linear_bench: {}\n", e.what());
  return 2;
}
