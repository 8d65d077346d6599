# fathom_layer(NAME LAYERS a b LIBS x y): the library of src/NAME. Includes are written from src/.
function(fathom_layer name)
  cmake_parse_arguments(L "" "" "LAYERS;LIBS" ${ARGN})
  list(TRANSFORM L_LAYERS PREPEND fathom_)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(sources)
    add_library(fathom_${name} STATIC ${sources})
    target_include_directories(fathom_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(fathom_${name} PUBLIC ${L_LAYERS} ${L_LIBS} PRIVATE fathom_flags)
    if(NOT name STREQUAL kernels)  # compiled for several instruction sets, and of no headers that cost time
      target_precompile_headers(fathom_${name} REUSE_FROM fathom_layer_headers)
    endif()
  else()
    add_library(fathom_${name} INTERFACE)
    target_include_directories(fathom_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(fathom_${name} INTERFACE ${L_LAYERS} ${L_LIBS})
  endif()
endfunction()

# Only these files are compiled for more than the baseline; tools/check_isa_symbols.py proves that nothing of them leaks. On other machines
# than x86-64 they are left out, and tables_portable.cpp says so to the dispatcher.
function(fathom_isa_flags)
  set(isa ${CMAKE_SOURCE_DIR}/src/kernels/isa)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set_source_files_properties(${isa}/tables_portable.cpp ${isa}/gemm_tables_portable.cpp ${isa}/int16_tables_portable.cpp PROPERTIES HEADER_FILE_ONLY ON)
  else()
    file(GLOB x86_only ${isa}/avx*.cpp ${isa}/amx.cpp ${isa}/gemm_avx*.cpp ${isa}/gemm_amx.cpp ${isa}/int16_avx*.cpp ${isa}/int16_amx.cpp ${isa}/*tables_x86.cpp)
    set_source_files_properties(${x86_only} PROPERTIES HEADER_FILE_ONLY ON)
  endif()
  # gcc 12 warns about its own header avx512fintrin.h (gcc bug 105593). Kernels throw nothing: no tables for unwinding either.
  set(shared "-mavx2;-mfma;-mf16c;-mbmi2;-fno-exceptions")
  set(avx512 "${shared};-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mprefer-vector-width=512;$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
  set_source_files_properties(${isa}/avx2.cpp PROPERTIES COMPILE_OPTIONS "${shared}")
  set_source_files_properties(${isa}/avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512}")
  set_source_files_properties(${isa}/avx512_vnni.cpp ${isa}/int16_avx512_vnni.cpp PROPERTIES COMPILE_OPTIONS "${avx512};-Wno-unused-function;-mavx512vnni")
  set_source_files_properties(${isa}/amx.cpp ${isa}/int16_amx.cpp PROPERTIES COMPILE_OPTIONS "${avx512};-Wno-unused-function;-mavx512vnni;-mamx-tile;-mamx-int8")
  # The gemm kernels use a part of their register type alone.
  set_source_files_properties(${isa}/gemm_avx2.cpp ${isa}/int16_avx2.cpp PROPERTIES COMPILE_OPTIONS "${shared};-Wno-unused-function")
  set_source_files_properties(${isa}/gemm_avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512};-Wno-unused-function")
  set_source_files_properties(${isa}/gemm_avx512_bf16.cpp PROPERTIES COMPILE_OPTIONS "${avx512};-Wno-unused-function;-mavx512bf16")
  set_source_files_properties(${isa}/gemm_amx.cpp PROPERTIES COMPILE_OPTIONS "${avx512};-mavx512bf16;-mamx-tile;-mamx-bf16")
endfunction()

# One test program a layer, from tests/NAME/*_test.cpp, linked with that layer alone.
function(fathom_tests name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_tests ${sources})
  target_include_directories(${name}_tests PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name}_tests PRIVATE fathom_${name} fathom_flags GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name}_tests PRIVATE FATHOM_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
  target_precompile_headers(${name}_tests REUSE_FROM fathom_test_headers)
  target_compile_options(${name}_tests PRIVATE ${FATHOM_TEST_OPTIONS})
  # gcc 12 sees sums of strings write past their ends (gcc bugs 105329, 105651), in one file with all its warnings of that kind.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/tests/plot/run_figure_test.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON
    COMPILE_OPTIONS "$<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>")
  if(FATHOM_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # the same, in more files
    target_compile_options(${name}_tests PRIVATE -Wno-stringop-overflow)
  endif()
  gtest_discover_tests(${name}_tests TEST_PREFIX ${name}/ DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
