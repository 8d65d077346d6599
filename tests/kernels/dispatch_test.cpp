#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include "kernels/packed_weight.h"

#include <cstdlib>

#include "base/error.h"
#include "support/errors.h"

namespace fathom {
namespace {

constexpr CpuFeatures kOldCpu{}, kAvx2Cpu{.avx2 = true}, kAvx512Cpu{.avx2 = true, .avx512 = true},
    kVnniCpu{.avx2 = true, .avx512 = true, .avx512_vnni = true},
    kAmxCpu{.avx2 = true, .avx512 = true, .avx512_vnni = true, .amx = true};

std::string error_of(std::string_view forced, const CpuFeatures& cpu, ErrorKind kind) {
  return test::error_of([&] { choose_kernels(forced, cpu); }, kind);
}

TEST(Dispatch, UnsetOrEmptyTakesTheBestThatRuns) {
  EXPECT_EQ(choose_kernels(std::nullopt, kOldCpu).isa, Isa::ref);
  EXPECT_EQ(choose_kernels("", kOldCpu).isa, Isa::ref);
#if defined(__x86_64__)
  EXPECT_EQ(choose_kernels(std::nullopt, kAvx2Cpu).isa, Isa::avx2);
  EXPECT_EQ(choose_kernels("", kAvx512Cpu).isa, Isa::avx512);
  EXPECT_EQ(choose_kernels("", kVnniCpu).isa, Isa::avx512_vnni);
  EXPECT_EQ(choose_kernels("", kAmxCpu).isa, Isa::amx);
#endif
}

TEST(Dispatch, ANameForcesItsTable) {
  EXPECT_EQ(choose_kernels("ref", kAvx512Cpu).isa, Isa::ref);
#if defined(__x86_64__)
  EXPECT_EQ(choose_kernels("avx2", kAvx512Cpu).isa, Isa::avx2);
  EXPECT_EQ(choose_kernels("AVX2", kAvx512Cpu).isa, Isa::avx2);
  EXPECT_EQ(choose_kernels("avx512", kVnniCpu).isa, Isa::avx512);
  EXPECT_EQ(choose_kernels("avx512_vnni", kVnniCpu).isa, Isa::avx512_vnni);
  EXPECT_EQ(choose_kernels("amx", kAmxCpu).isa, Isa::amx);
  EXPECT_EQ(choose_kernels("avx512_vnni", kAmxCpu).isa, Isa::avx512_vnni);
#endif
}

TEST(Dispatch, AMisspeltNameIsBadInputAndListsTheNames) {
  for (std::string_view name : {"AVX3", "avx", "avx2 ", "sse", "\x1b[31m", "1"}) {
    const std::string message = error_of(name, kAvx512Cpu, ErrorKind::bad_input);
    EXPECT_NE(message.find("FATHOM_ISA="), std::string::npos) << message;
    EXPECT_NE(message.find("ref, avx2, avx512"), std::string::npos) << message;
    EXPECT_EQ(message.find('\x1b'), std::string::npos) << "control characters are not echoed";
  }
}

TEST(Dispatch, WhatThisCpuCannotRunIsUnsupported) {
  EXPECT_NE(error_of("avx2", kOldCpu, ErrorKind::unsupported).find("FATHOM_ISA=avx2"), std::string::npos);
  EXPECT_NE(error_of("amx", kAvx512Cpu, ErrorKind::unsupported).find("FATHOM_ISA=amx"), std::string::npos);
  EXPECT_NE(error_of("avx512_vnni", kAvx512Cpu, ErrorKind::unsupported).find("avx512_vnni"), std::string::npos);
  EXPECT_NE(error_of("avx512", kAvx2Cpu, ErrorKind::unsupported).find("FATHOM_ISA=avx512"), std::string::npos);
}

TEST(Dispatch, RunnableTablesAreRefFirstAndFindableByName) {
  ASSERT_FALSE(runnable_kernels().empty());
  EXPECT_EQ(runnable_kernels().front()->isa, Isa::ref);
  for (const KernelTable* k : runnable_kernels()) EXPECT_EQ(kernels_for(k->isa), k) << name(k->isa);
}

TEST(Dispatch, TheProcessUsesTheTableThatItsEnvironmentNames) {
  const char* forced = std::getenv("FATHOM_ISA");
  if (forced == nullptr || *forced == '\0')
    EXPECT_EQ(&kernels(), runnable_kernels().back());
  else
    EXPECT_EQ(name(kernels().isa), forced);
}

TEST(Dispatch, NoTableHasAHole) {
  for (const KernelTable* k : runnable_kernels()) {
    const auto* words = reinterpret_cast<void* const*>(&k->dot_f32);  // and those after it
    const size_t n = (offsetof(KernelTable, packed_product) - offsetof(KernelTable, dot_f32)) / sizeof(void*);
    for (size_t i = 0; i < n; ++i) EXPECT_NE(words[i], nullptr) << name(k->isa) << " entry " << i;
    for (const DTypeInfo& d : kDTypes) EXPECT_NE(decoder(*k, d.dtype), nullptr) << d.name;
    for (const DTypeInfo& d : kDTypes)
      EXPECT_EQ(k->packed_product[static_cast<size_t>(d.dtype)] != nullptr,
                packed_format(d.dtype).has_value() && !is_floating(d.dtype))
          << d.name;
    for (const DTypeInfo& d : kDTypes)
      EXPECT_EQ(k->float_product[static_cast<size_t>(d.dtype)] != nullptr, is_floating(d.dtype)) << d.name;
    EXPECT_NE(k->quantise_row, nullptr);
  }
}

}  // namespace
}  // namespace fathom
