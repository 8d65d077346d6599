# One libFuzzer program for every tests/fuzz/fuzz_NAME.cpp, with the seeds of tests/fuzz/corpus/NAME:
#
#     cmake --preset asan && cmake --build --preset asan
#     tools/checks/fuzz.sh [SECONDS]             # each program on a copy of its seeds
#
# The libraries carry coverage and sanitizers through fathom_flags (cmake/flags.cmake).
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "FATHOM_FUZZ needs clang (libFuzzer). Try: cmake --preset asan")
endif()

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.cpp)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE fathom_server fathom_measure fathom_train fathom_packing fathom_data fathom_plot fathom_grammar fathom_http fathom_hub fathom_flags)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
