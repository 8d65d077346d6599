// Descriptors 0, 1 and 2 as a program may rely on them.
#pragma once

namespace fathom {

// Opens those of them that are closed on /dev/null, so that no file that is opened later becomes stdin, stdout or
// stderr. Reading stdin and writing stdout still fail, as nothing is there; what goes to stderr is dropped. Called
// once, by main(), before any file is opened.
void open_closed_streams() noexcept;

}  // namespace fathom
