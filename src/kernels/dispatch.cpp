#include "kernels/dispatch.h"

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "kernels/isa/tables.h"

namespace fathom {
namespace {

bool can_run(Isa isa, const CpuFeatures& cpu) noexcept {
  switch (isa) {
    case Isa::ref:
      return true;
    case Isa::avx2:
      return cpu.avx2;
    case Isa::avx512:
      return cpu.avx512;
    case Isa::avx512_vnni:
      return cpu.avx512_vnni;
  }
  return false;
}

constexpr Isa kIsas[] = {Isa::ref, Isa::avx2, Isa::avx512, Isa::avx512_vnni};

const KernelTable* compiled(Isa isa) noexcept {
  for (const KernelTable* k : compiled_kernels())
    if (k->isa == isa) return k;
  return nullptr;
}

}  // namespace

std::string_view name(Isa isa) noexcept {
  switch (isa) {
    case Isa::ref:
      return "ref";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_vnni:
      return "avx512_vnni";
  }
  return "";
}

const KernelTable& choose_kernels(std::optional<std::string_view> forced, const CpuFeatures& cpu) {
  const bool amx = forced == kAmxName;  // the best table, and AMX in kernels/gemm.h
  if (amx && !cpu.amx_bf16)
    throw_unsupported(
        "FATHOM_ISA=amx: this CPU ({}) or its system has no AMX with bfloat16. Unset FATHOM_ISA for the "
        "best it can run.",
        cpu_model_name());
  if (!forced || forced->empty() || amx) {
    const KernelTable* best = nullptr;
    for (const KernelTable* k : compiled_kernels())
      if (can_run(k->isa, cpu)) best = k;
    check(best != nullptr, "the reference kernels run everywhere");
    return *best;
  }
  for (Isa isa : kIsas) {
    if (name(isa) != *forced) continue;
    const KernelTable* k = compiled(isa);
    if (k == nullptr)
      throw_unsupported("FATHOM_ISA={}: this build of fathom has no such kernels. Try FATHOM_ISA=ref, or unset it.",
                        name(isa));
    if (!can_run(isa, cpu))
      throw_unsupported(
          "FATHOM_ISA={}: this CPU ({}) cannot run these kernels. Unset FATHOM_ISA for the best it can run.", name(isa),
          cpu_model_name());
    return *k;
  }
  throw_bad_input("FATHOM_ISA={}: no such instruction set; it is one of ref, avx2, avx512, avx512_vnni, amx, or not set at all.",
                  quoted_for_message(*forced));
}

const KernelTable& kernels() {
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* forced = std::getenv("FATHOM_ISA");
    return choose_kernels(forced ? std::optional<std::string_view>(forced) : std::nullopt, detect_cpu());
  }();
  return chosen;
}

const KernelTable* kernels_for(Isa isa) noexcept { return can_run(isa, detect_cpu()) ? compiled(isa) : nullptr; }

std::span<const KernelTable* const> runnable_kernels() {
  static const std::vector<const KernelTable*> runnable = [] {
    std::vector<const KernelTable*> found;
    for (const KernelTable* k : compiled_kernels())
      if (can_run(k->isa, detect_cpu())) found.push_back(k);
    return found;
  }();
  return runnable;
}

}  // namespace fathom
