# Benchmarks: built with the rest, run by hand on a quiet machine (bench/kernels_bench.cpp says how).
set(bench ${CMAKE_SOURCE_DIR}/bench)
set(bench_sources ${bench}/kernels_bench.cpp ${bench}/kernels_peak.cpp)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND bench_sources ${bench}/kernels_peak_avx2.cpp ${bench}/kernels_peak_avx512.cpp)
  set_source_files_properties(${bench}/kernels_peak_avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-Wno-unused-function")
  set_source_files_properties(${bench}/kernels_peak_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx2;-mfma;-mf16c;-Wno-unused-function;$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
endif()
add_executable(kernels_bench ${bench_sources})
target_link_libraries(kernels_bench PRIVATE fathom_kernels fathom_flags benchmark::benchmark)
