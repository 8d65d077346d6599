// One request alone, from its prompt to its last token.
#pragma once
#include "engine/scheduler/scheduler.h"

namespace fathom {

// For requests whose text nobody waits for while it is made: a prompt crosses the network at once, in passages that
// read the weights of each expert once for thousands of tokens.
SchedulerOptions offline_options(int64_t max_running);

// Steps until the request has ended; others that the scheduler has go on beside it. Throws as Scheduler::submit.
Ended generate(Scheduler& scheduler, ScheduledRequest request);

}  // namespace fathom
