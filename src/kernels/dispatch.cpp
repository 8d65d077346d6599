#include "kernels/dispatch.h"

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/suggest.h"
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
    case Isa::amx:
      return cpu.amx;
  }
  return false;
}

constexpr Isa kIsas[] = {Isa::ref, Isa::avx2, Isa::avx512, Isa::avx512_vnni, Isa::amx};

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
    case Isa::amx:
      return "amx";
  }
  return "";
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
  if (!forced || forced->empty()) {
    const KernelTable* best = nullptr;
    for (const KernelTable* k : compiled_kernels())
      if (can_run(k->isa, cpu)) best = k;
    check(best != nullptr, "the reference kernels run everywhere");
    return *best;
  }
  for (Isa isa : kIsas) {
    if (!equal_in_any_case(name(isa), *forced)) continue;
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
  throw_bad_input(
      "FATHOM_ISA={}: no such instruction set; it is one of ref, avx2, avx512, avx512_vnni, amx, or not set at all.",
      quoted_for_message(*forced));
}

const KernelTable& kernels() {
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* forced = std::getenv("FATHOM_ISA");
    return choose_kernels(forced ? std::optional<std::string_view>(forced) : std::nullopt, usable_cpu());
  }();
  return chosen;
}

const KernelTable* kernels_for(Isa isa) noexcept { return can_run(isa, usable_cpu()) ? compiled(isa) : nullptr; }

std::span<const KernelTable* const> runnable_kernels() {
  static const std::vector<const KernelTable*> runnable = [] {
    std::vector<const KernelTable*> found;
    for (const KernelTable* k : compiled_kernels())
      if (can_run(k->isa, usable_cpu())) found.push_back(k);
    return found;
  }();
  return runnable;
}

}  // namespace fathom
