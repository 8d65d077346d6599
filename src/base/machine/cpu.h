// What this CPU and operating system can run.
#pragma once
#include <string>

namespace fathom {

struct CpuFeatures {
  bool avx2 = false;           // AVX2, FMA, F16C and BMI2
  bool avx512 = false;         // AVX-512 F, BW, VL, DQ, and the above
  bool avx512_bf16 = false;    // and AVX512_BF16
  bool fast_bf16_dot = false;  // whose dot product has the rate of an fma: AMD. Sapphire Rapids has a quarter of it
  bool avx512_vnni = false;    // and AVX512_VNNI
  bool amx = false;  // all of these, and AMX tiles with their products of bfloat16 and of bytes; to be asked for first
};

// Asked of the CPU and of the operating system (which must save the wide registers).
CpuFeatures detect_cpu() noexcept;

// Asks the operating system for AMX tiles, for every thread of this process. False when it refuses. Once is enough;
// more does no harm.
bool allow_amx() noexcept;

// "Intel(R) Xeon(R) ...", as the CPU names itself; empty when it does not.
std::string cpu_model_name();

// The same with what else tells it from others: "Intel(R) Xeon(R) ..., cpu family 6, model 143, stepping 8".
std::string cpu_identity();

}  // namespace fathom
