// Descriptors 0, 1 and 2 as a program may rely on them.
#pragma once

namespace fathom {

// Opens those of them that are closed on /dev/null, so that no file that is opened later becomes stdin, stdout or
// stderr. Reading or writing them still fails: nothing was there. Called once, by main(), before any file is opened.
void open_closed_streams() noexcept;

}  // namespace fathom
