// One request alone, from its prompt to its last token.
#pragma once
#include "engine/scheduler/scheduler.h"

namespace fathom {

// For requests whose text nobody waits for while it is made: a prompt crosses the network at once, in passages that
// read the weights of each expert once for thousands of tokens.
SchedulerOptions offline_options(int64_t max_running);

// Steps until the request has ended; others that the scheduler has go on beside it. goes_on is asked before each step
// and between two layers of a passage, with the tokens of the request that are read, and must not throw; false cancels
// it. Throws as Scheduler::submit.
Ended generate(Scheduler& scheduler, ScheduledRequest request, const std::function<bool(int64_t n_read)>& goes_on = {});

}  // namespace fathom
