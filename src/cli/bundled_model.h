// The model that comes with fathom (docs/bundled-model.md): what commands that run a model take when no -m is given.
#pragma once
#include <string>

namespace fathom {

// Its file: $FATHOM_MODEL when set; else ../share/fathom/bundled.gguf from the program's folder (an installed fathom);
// else models/bundled.gguf of the source tree that the program was built from. Empty when none of them is there.
std::string bundled_model();

}  // namespace fathom
