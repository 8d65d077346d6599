#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/error.h"
#include "base/text/suggest.h"
#include "kernels/registry.h"

namespace fathom {
namespace {

bool can_run(const InstructionSet& s, const CpuFeatures& cpu) noexcept { return s.needs == nullptr || cpu.*s.needs; }

// The last row, that is the best, of which `kernel`, a function of a row, is not nullptr; nullptr where there is none.
template <class Kernel>
auto best_or_none(Isa highest, const CpuFeatures& cpu, Kernel kernel) {
  decltype(kernel(instruction_sets().front())) found = nullptr;
  for (const InstructionSet& s : instruction_sets()) {
    const bool preferred = s.prefers == nullptr || cpu.*s.prefers;
    if (s.isa <= highest && preferred && can_run(s, cpu) && kernel(s) != nullptr) found = kernel(s);
  }
  return found;
}
template <class Kernel>
auto best(Isa highest, const CpuFeatures& cpu, Kernel kernel) {
  const auto found = best_or_none(highest, cpu, kernel);
  check(found != nullptr, "the reference kernels run everywhere");
  return found;
}

template <class Kernel>
auto runnable(Kernel kernel) {
  std::vector<decltype(kernel(instruction_sets().front()))> found;
  for (const InstructionSet& s : instruction_sets())
    if (can_run(s, usable_cpu()) && kernel(s) != nullptr) found.push_back(kernel(s));
  return found;
}

const KernelTable* table_of(const InstructionSet& s) noexcept { return s.table; }
const Int16Kernel* int16_of(const InstructionSet& s) noexcept { return s.int16; }
const Bf16Kernel* bf16_of(const InstructionSet& s) noexcept { return s.bf16; }
auto gemm_of(MatmulPrecision p) noexcept {
  return [p](const InstructionSet& s) { return p == MatmulPrecision::f32 ? s.gemm_f32 : s.gemm_bf16; };
}

std::optional<std::string_view> forced_isa() noexcept {
  const char* value = std::getenv("FATHOM_ISA");
  return value != nullptr ? std::optional<std::string_view>(value) : std::nullopt;
}

}  // namespace

std::string_view name(Isa isa) noexcept {
  for (const InstructionSet& s : instruction_sets())
    if (s.isa == isa) return s.name;
  return "";
}

std::string isa_names(std::string_view separator) {
  std::string names;
  for (const InstructionSet& s : instruction_sets())
    if (s.table != nullptr) names += fmt::format("{}{}", names.empty() ? "" : separator, s.name);
  return names;
}

DecodeFn decoder(const KernelTable& k, DType dtype) noexcept {
  const auto type = static_cast<size_t>(dtype);
  return k.decode[type] != nullptr ? k.decode[type] : instruction_sets().front().table->decode[type];
}

const CpuFeatures& usable_cpu() noexcept {
  static const CpuFeatures usable = [] {
    CpuFeatures cpu = detect_cpu();
    cpu.amx = cpu.amx && allow_amx();
    return cpu;
  }();
  return usable;
}

const KernelTable& choose_kernels(std::optional<std::string_view> forced, const CpuFeatures& cpu) {
  if (!forced || forced->empty()) return *best(instruction_sets().back().isa, cpu, table_of);
  for (const InstructionSet& s : instruction_sets()) {
    if (s.table == nullptr || !equal_in_any_case(s.name, *forced)) continue;
    if (!can_run(s, cpu))
      throw_unsupported(
          "FATHOM_ISA={}: this CPU ({}) cannot run these kernels. Unset FATHOM_ISA for the best it can run.", s.name,
          cpu_model_name());
    return *s.table;
  }
  throw_bad_input("FATHOM_ISA={}: this build has no such instruction set; it is one of {}, or not set at all.",
                  quoted_for_message(*forced), isa_names(", "));
}

const GemmKernel& choose_gemm_kernel(MatmulPrecision p, std::optional<std::string_view> forced,
                                     const CpuFeatures& cpu) {
  return *best(choose_kernels(forced, cpu).isa, cpu, gemm_of(p));
}

const KernelTable& kernels() {
  static const KernelTable& chosen = choose_kernels(forced_isa(), usable_cpu());
  return chosen;
}

const GemmKernel& gemm_kernel(MatmulPrecision p) {
  static const GemmKernel& f32 = choose_gemm_kernel(MatmulPrecision::f32, forced_isa(), usable_cpu());
  static const GemmKernel& bf16 = choose_gemm_kernel(MatmulPrecision::bf16, forced_isa(), usable_cpu());
  return p == MatmulPrecision::f32 ? f32 : bf16;
}

const Int16Kernel& int16_kernel() {
  static const Int16Kernel& chosen = *best(kernels().isa, usable_cpu(), int16_of);
  return chosen;
}

const Bf16Kernel* bf16_kernel() {
  static const Bf16Kernel* chosen = best_or_none(kernels().isa, usable_cpu(), bf16_of);
  return chosen;
}

const KernelTable* kernels_for(Isa isa) noexcept {
  for (const InstructionSet& s : instruction_sets())
    if (s.isa == isa && s.table != nullptr) return can_run(s, usable_cpu()) ? s.table : nullptr;
  return nullptr;
}

std::span<const KernelTable* const> runnable_kernels() {
  static const std::vector<const KernelTable*> tables = runnable(table_of);
  return tables;
}

std::vector<const GemmKernel*> runnable_gemm_kernels(MatmulPrecision p) { return runnable(gemm_of(p)); }

std::vector<const Int16Kernel*> runnable_int16_kernels() { return runnable(int16_of); }

std::vector<const Bf16Kernel*> runnable_bf16_kernels() { return runnable(bf16_of); }

}  // namespace fathom
