#include "kernels/gemm_dispatch.h"

#include <cstdlib>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/isa/gemm_tables.h"

namespace fathom {
namespace {

const GemmKernel* kernel_of(const CompiledGemm& g, Products p) noexcept { return p == Products::f32 ? g.f32 : g.bf16; }

bool can_run(const CompiledGemm& g, const CpuFeatures& cpu) noexcept { return g.needs == nullptr || cpu.*g.needs; }

}  // namespace

const GemmKernel& choose_gemm_kernel(Products p, std::optional<std::string_view> forced, const CpuFeatures& cpu) {
  const Isa isa = choose_kernels(forced, cpu).isa;
  const GemmKernel* best = nullptr;
  const auto preferred = [&](const CompiledGemm& g) { return g.prefers == nullptr || cpu.*g.prefers; };
  for (const CompiledGemm& g : compiled_gemm())
    if (preferred(g) && g.isa <= isa && can_run(g, cpu) && kernel_of(g, p) != nullptr) best = kernel_of(g, p);
  check(best != nullptr, "the reference kernels run everywhere");
  return *best;
}

const GemmKernel& gemm_kernel(Products p) {
  struct Both {
    const GemmKernel *f32, *bf16;
  };
  static const Both both = [] {
    const char* value = std::getenv("FATHOM_ISA");
    const auto forced = value ? std::optional<std::string_view>(value) : std::nullopt;
    const CpuFeatures cpu = usable_cpu();
    return Both{&choose_gemm_kernel(Products::f32, forced, cpu), &choose_gemm_kernel(Products::bf16, forced, cpu)};
  }();
  return p == Products::f32 ? *both.f32 : *both.bf16;
}

std::vector<const GemmKernel*> runnable_gemm_kernels(Products p) {
  std::vector<const GemmKernel*> runnable;
  const CpuFeatures cpu = usable_cpu();
  for (const CompiledGemm& g : compiled_gemm())
    if (can_run(g, cpu) && kernel_of(g, p) != nullptr) runnable.push_back(kernel_of(g, p));
  return runnable;
}

}  // namespace fathom
