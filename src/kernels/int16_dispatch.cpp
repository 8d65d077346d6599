#include "kernels/int16_dispatch.h"

#include "kernels/dispatch.h"
#include "kernels/isa/int16_tables.h"

namespace fathom {

const Int16Kernel& int16_kernel() {
  static const Int16Kernel& chosen = []() -> const Int16Kernel& {
    const Isa isa = kernels().isa;
    const Int16Kernel* best = compiled_int16().front().kernel;
    for (const CompiledInt16& k : compiled_int16())
      if (k.isa <= isa) best = k.kernel;
    return *best;
  }();
  return chosen;
}

std::vector<const Int16Kernel*> runnable_int16_kernels() {
  std::vector<const Int16Kernel*> runnable;
  for (const CompiledInt16& k : compiled_int16())
    if (kernels_for(k.isa) != nullptr) runnable.push_back(k.kernel);
  return runnable;
}

}  // namespace fathom
