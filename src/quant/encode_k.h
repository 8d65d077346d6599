// The encoders of the K formats: one super-block of 256 finite numbers each. Used by encode.cpp.
#pragma once
#include "quant/formats.h"

namespace fathom {

BlockQ2K encode_q2_k(const float* x) noexcept;
BlockQ3K encode_q3_k(const float* x) noexcept;
BlockQ4K encode_q4_k(const float* x) noexcept;
BlockQ5K encode_q5_k(const float* x) noexcept;
BlockQ6K encode_q6_k(const float* x) noexcept;

}  // namespace fathom
