// The encoders of the formats with blocks of 32: one block of finite numbers each. Used by encode.cpp.
#pragma once
#include "quant/encode.h"
#include "quant/formats.h"

namespace fathom {

// w: a weight for each element, read by Search::thorough alone (by iq4_nl always).
BlockQ8_0 encode_q8_0(const float* x, const float* w, Search search) noexcept;
BlockQ4_0 encode_q4_0(const float* x, const float* w, Search search) noexcept;
BlockQ4_1 encode_q4_1(const float* x, const float* w, Search search) noexcept;
BlockQ5_0 encode_q5_0(const float* x, const float* w, Search search) noexcept;
BlockQ5_1 encode_q5_1(const float* x, const float* w, Search search) noexcept;
BlockIQ4NL encode_iq4_nl(const float* x, const float* w, Search search) noexcept;

}  // namespace fathom
