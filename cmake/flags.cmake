# Flags that every target of ours shares. -ffp-contract=off: an fma happens where the source says fma and nowhere else,
# so that two compilers and two instruction sets round alike.
add_library(fathom_flags INTERFACE)
target_compile_options(fathom_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -Wimplicit-fallthrough -ffp-contract=off
  -fno-math-errno -fvisibility=hidden $<$<BOOL:${FATHOM_WERROR}>:-Werror>
  $<$<CONFIG:Release>:-O3>)
if(FATHOM_SANITIZE)
  target_compile_options(fathom_flags INTERFACE -fsanitize=${FATHOM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(fathom_flags INTERFACE -fsanitize=${FATHOM_SANITIZE})
endif()
if(FATHOM_FUZZ)
  target_compile_options(fathom_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
