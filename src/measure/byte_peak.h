// What this machine can do at most with products of bytes (8-bit weights or activations), as kernels/peak.h for floats.
#pragma once
#include "base/threads.h"

namespace fathom {

// Operations per second (two for each multiply-add) of all threads together, between registers alone: the best of the
// tries that fit in `seconds`. The densest step that is exact for codes of up to 6 bits: four vpmaddubsw, their 16-bit
// sums added, one vpmaddwd and one vpaddd. 0 where AVX2 is not there or FATHOM_ISA forbids it.
double peak_byte_products(ThreadPool& pool, double seconds);

}  // namespace fathom
