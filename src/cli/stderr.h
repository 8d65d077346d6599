// Progress and notices are no result: where they cannot be written, the work goes on.
#pragma once

namespace fathom {

// From here on, what `stderr` cannot take (a full disk, a closed descriptor) is dropped, and a reader that has gone
// sends no SIGPIPE. Called once, before anything is written.
void make_stderr_forgiving();

}  // namespace fathom
