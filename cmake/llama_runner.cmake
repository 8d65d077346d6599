# The program that times llama.cpp is carried as text: it is compiled by `fathom bench --against llama.cpp`, against the headers of the release
# that it finds (src/measure/peer.h).
set(runner ${CMAKE_SOURCE_DIR}/src/measure/peer/llama_runner.c)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${runner})
file(READ ${runner} FATHOM_LLAMA_RUNNER)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/llama_runner.cpp @ONLY CONTENT
"#include \"measure/peer.h\"

namespace fathom {

const char* const kLlamaRunnerSource = R\"runner(@FATHOM_LLAMA_RUNNER@)runner\";

}  // namespace fathom
")
target_sources(fathom_measure PRIVATE ${CMAKE_BINARY_DIR}/generated/llama_runner.cpp)
