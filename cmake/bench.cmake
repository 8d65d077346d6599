# Benchmarks: built with the rest, run by hand on a quiet machine (bench/kernels_bench.cpp says how).
set(bench ${CMAKE_SOURCE_DIR}/bench)
add_executable(kernels_bench ${bench}/kernels_bench.cpp ${bench}/kernels_peak.cpp)
target_link_libraries(kernels_bench PRIVATE fathom_kernels fathom_flags benchmark::benchmark)
add_executable(linear_bench ${bench}/linear_bench.cpp)
target_link_libraries(linear_bench PRIVATE fathom_kernels fathom_flags)
add_executable(attention_bench ${bench}/attention_bench.cpp)
target_link_libraries(attention_bench PRIVATE fathom_model fathom_flags benchmark::benchmark)
