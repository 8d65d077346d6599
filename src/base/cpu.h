// What this CPU and operating system can run.
#pragma once
#include <string>

namespace fathom {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA, F16C and BMI2
  bool avx512 = false;       // AVX-512 F, BW, VL, DQ, and the above
  bool avx512_bf16 = false;  // and AVX512_BF16
  bool avx512_vnni = false;  // and AVX512_VNNI
};

// Asked of the CPU and of the operating system (which must save the wide registers).
CpuFeatures detect_cpu() noexcept;

// "Intel(R) Xeon(R) ...", as the CPU names itself; empty when it does not.
std::string cpu_model_name();

}  // namespace fathom
