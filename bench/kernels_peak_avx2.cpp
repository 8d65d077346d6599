#include <immintrin.h>

#include "kernels_peak.h"

namespace fathom::bench::avx2 {
namespace {
#include "kernels/simd/avx2.h"
// The register type comes first.
#include "kernels_peak_loop.inl"
}  // namespace

const PeakLoop loop = {fma_chains, flops_of_round};

}  // namespace fathom::bench::avx2
