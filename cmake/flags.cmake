# Flags that every target of ours shares. -ffp-contract=off: an fma happens where the source says fma and nowhere else,
# so that two compilers and two instruction sets round alike.
add_library(fathom_flags INTERFACE)
target_compile_options(fathom_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -Wimplicit-fallthrough -ffp-contract=off
  -fno-math-errno -fvisibility=hidden $<$<BOOL:${FATHOM_WERROR}>:-Werror>)  # -O3 is CMake's for Release
if(FATHOM_SANITIZE)
  target_compile_options(fathom_flags INTERFACE -fsanitize=${FATHOM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(fathom_flags INTERFACE -fsanitize=${FATHOM_SANITIZE})
endif()
# What a layer has besides: coverage for fuzzing, which the command line and the tests need not carry.
set(FATHOM_LAYER_OPTIONS)
if(FATHOM_FUZZ)
  set(FATHOM_LAYER_OPTIONS -fsanitize=fuzzer-no-link)
endif()
# The command line and the tests compute little themselves: -O1 spares a third of the time of compiling them, and under sanitizers -O0 half.
set(FATHOM_OUTER_OPTIONS $<$<CONFIG:Release>:-O1>)
if(FATHOM_SANITIZE)
  set(FATHOM_OUTER_OPTIONS -O0)
endif()
