// The numbers of the abstract of arXiv:2405.04434, all against DeepSeek 67B, and what the report says about how they
// came about.
#pragma once

namespace fathom {

struct PaperClaims {
  double cache_reduction = 0.933;     // of bytes a token
  double training_reduction = 0.425;  // of GPU hours for as many tokens
  double throughput_ratio = 5.76;     // of the largest generation throughput of one node
};
inline constexpr PaperClaims kPaper;

// Section 3.2.3: the cache has 6 bits a number "on average"; that of 67B is said to be larger without its type, and
// 93.3 % needs 16 bits.
inline constexpr double kPaperCacheBits = 6, kPaperDenseCacheBits = 16;
// Section 3.2.3: H800 hours for a trillion tokens.
inline constexpr double kPaperGpuHours = 172.8e3, kPaperDenseGpuHours = 300.6e3;
// Section 3.2.3: generated tokens a second of one node of eight H800, "more than".
inline constexpr double kPaperTokensPerSecond = 50e3;

}  // namespace fathom
