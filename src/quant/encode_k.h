// The encoders of the K formats and of iq4_xs: one super-block of 256 finite numbers each. Used by encode.cpp.
#pragma once
#include "quant/encode.h"
#include "quant/formats.h"

namespace fathom {

// w: a weight for each element; ones (quant/group_fit.h) when they count alike.
BlockQ2K encode_q2_k(const float* x, const float* w, Search search) noexcept;
BlockQ3K encode_q3_k(const float* x, const float* w, Search search) noexcept;
BlockQ4K encode_q4_k(const float* x, const float* w, Search search) noexcept;
BlockQ5K encode_q5_k(const float* x, const float* w, Search search) noexcept;
BlockQ6K encode_q6_k(const float* x, const float* w, Search search) noexcept;
BlockIQ4XS encode_iq4_xs(const float* x, const float* w, Search search) noexcept;

}  // namespace fathom
