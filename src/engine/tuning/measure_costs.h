// Measures what the parts of latent attention cost on this machine (model/attention/int16/mla_costs.h).
#pragma once
#include "model/attention/int16/mla_costs.h"

namespace fathom {

// Times one layer of V2-Lite's shape with random numbers in both forms, on the calling thread and by its CPU time, and
// solves for the costs: each the least of several rounds. Takes about `seconds` (at least three rounds: a second on a
// slow machine) and 20 MB. Costs are rounded to two digits and lie between a tenth and ten times the built-in ones.
// They are those of a q16 cache and, for weights as stored, of bfloat16.
MlaCosts measure_mla_costs(double seconds = 0.5);

// The same, measured at the first call of a process.
MlaCosts mla_costs_of_process();

}  // namespace fathom
