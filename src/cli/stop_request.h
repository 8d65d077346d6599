// Signals that ask a long run to end in good order: Ctrl-C, a closed terminal, `kill`.
#pragma once

namespace fathom {

// From here on SIGINT, SIGTERM and SIGHUP are noted instead of ending the process; those that were ignored before (by
// nohup, or by a shell for what runs in the background) stay ignored. So does SIGPIPE: a reader of stderr that is gone
// is no reason to end.
void note_stop_requests();

// The first signal that was noted; 0: none.
int stop_request() noexcept;

// Ends the process as the noted signal would have done it, so that the caller's shell sees why: exit code 128 + signal.
[[noreturn]] void end_as_requested();

}  // namespace fathom
