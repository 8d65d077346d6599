#include "base/machine/cpu.h"

#include <cstdint>
#include <fstream>
#include <string_view>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fathom {
#if defined(__x86_64__)
namespace {

// CPUID leaf 1, ECX bit 29: clang 14 knows no __builtin_cpu_supports("f16c"). Its registers are AVX's, which that
// builtin asks the system for.
bool cpu_has_f16c() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// CPUID leaf 7, EDX bits 22 (AMX-BF16), 24 (AMX-TILE) and 25 (AMX-INT8): clang 14 and gcc 12 have no names for them.
bool cpu_has_amx() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBits = 1u << 22 | 1u << 24 | 1u << 25;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kBits) == kBits;
}

// Linux: arch_prctl(2), XFEATURE_XTILEDATA (Documentation/arch/x86/xstate.rst).
constexpr int kArchGetXcompSupp = 0x1021, kArchReqXcompPerm = 0x1023, kTileData = 18;

bool system_has_amx() noexcept {
  uint64_t supported = 0;
  return syscall(SYS_arch_prctl, kArchGetXcompSupp, &supported) == 0 && (supported >> kTileData & 1) != 0;
}

}  // namespace
#endif

bool allow_amx() noexcept {
#if defined(__x86_64__)
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect_cpu() noexcept {
  CpuFeatures f;
#if defined(__x86_64__)
  __builtin_cpu_init();  // its answers include the operating system's part (XCR0)
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
           cpu_has_f16c();
  f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  f.avx512_bf16 = f.avx512 && __builtin_cpu_supports("avx512bf16");
  f.fast_bf16_dot = f.avx512_bf16 && __builtin_cpu_is("amd");
  f.avx512_vnni = f.avx512 && __builtin_cpu_supports("avx512vnni");
  f.amx = f.avx512_bf16 && f.avx512_vnni && cpu_has_amx() && system_has_amx();
#endif
  return f;
}

namespace {

// The value of a field of the first CPU in /proc/cpuinfo.
std::string cpuinfo(std::string_view field) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line) && !line.empty();) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line.substr(0, line.find_first_of("\t:")) == field) return line.substr(colon + 2);
  }
  return "";
}

}  // namespace

std::string cpu_model_name() { return cpuinfo("model name"); }

std::string cpu_identity() {
  std::string identity = cpu_model_name();
  for (const char* field : {"cpu family", "model", "stepping"})
    if (const std::string value = cpuinfo(field); !value.empty())
      identity += (identity.empty() ? "" : ", ") + std::string(field) + " " + value;
  return identity;
}

}  // namespace fathom
