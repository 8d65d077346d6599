# fathom_layer(NAME LAYERS a b LIBS x y): the library of src/NAME. Includes are written from src/.
function(fathom_layer name)
  cmake_parse_arguments(L "" "" "LAYERS;LIBS" ${ARGN})
  list(TRANSFORM L_LAYERS PREPEND fathom_)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(sources)
    add_library(fathom_${name} STATIC ${sources})
    target_include_directories(fathom_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(fathom_${name} PUBLIC ${L_LAYERS} ${L_LIBS} PRIVATE fathom_flags)
    target_compile_options(fathom_${name} PRIVATE ${FATHOM_LAYER_OPTIONS})
    if(NOT name STREQUAL kernels)  # compiled for several instruction sets, and of no headers that cost time
      target_precompile_headers(fathom_${name} REUSE_FROM fathom_layer_headers)
      target_compile_options(fathom_${name} PRIVATE ${FATHOM_HEADER_OPTIONS})
      # A type with members of an unnamed namespace must be in the main file of its compilation.
      set_source_files_properties(${CMAKE_SOURCE_DIR}/src/tokenizer/train/train_bpe_words.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
      set_target_properties(fathom_${name} PROPERTIES UNITY_BUILD ${FATHOM_UNITY} UNITY_BUILD_BATCH_SIZE 4)
    endif()
  else()
    add_library(fathom_${name} INTERFACE)
    target_include_directories(fathom_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(fathom_${name} INTERFACE ${L_LAYERS} ${L_LIBS})
  endif()
endfunction()

# Only these files are compiled for more than the baseline; tools/checks/check_isa_symbols.py proves that nothing of them leaks. On other machines
# than x86-64 they are left out, and registry_portable.cpp says so to the dispatcher.
function(fathom_isa_flags)
  set(kernels ${CMAKE_SOURCE_DIR}/src/kernels)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    file(GLOB x86_only ${kernels}/isa/*.cpp)
    set_source_files_properties(${x86_only} ${kernels}/registry_x86.cpp PROPERTIES HEADER_FILE_ONLY ON)
    return()
  endif()
  set_source_files_properties(${kernels}/registry_portable.cpp PROPERTIES HEADER_FILE_ONLY ON)
  # What a file is compiled for is the end of its name: isa/avx2.cpp, isa/gemm_avx2.cpp, isa/int16_avx2.cpp. Kernels throw nothing, so no tables for unwinding; each file uses
  # a part of what it includes. gcc 12 warns about its own header avx512fintrin.h (gcc bug 105593).
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2 -fno-exceptions -Wno-unused-function)
  if(FATHOM_SANITIZE MATCHES "undefined")
    # Four checks at every load and store of intrinsics take most of the time of compiling; AddressSanitizer sees the same faults, and the plain twins have all.
    list(APPEND flags_avx2 -fno-sanitize=null,alignment,pointer-overflow,object-size)
  endif()
  if(FATHOM_FUZZ)
    list(APPEND flags_avx2 -fno-sanitize=fuzzer-no-link)  # no input decides what they do
  endif()
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
    $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  set(flags_avx512_bf16 ${flags_avx512} -mavx512bf16)
  set(flags_avx512_vnni ${flags_avx512} -mavx512vnni)
  set(flags_amx ${flags_avx512_vnni} -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16)
  foreach(set avx2 avx512 avx512_bf16 avx512_vnni amx)
    file(GLOB files ${kernels}/isa/${set}.cpp ${kernels}/isa/gemm_${set}.cpp ${kernels}/isa/int16_${set}.cpp
      ${kernels}/isa/bf16_${set}.cpp)
    set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${flags_${set}}")
  endforeach()
endfunction()

# One test program a layer, from tests/NAME/**/*_test.cpp, linked with that layer alone.
function(fathom_tests name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_tests ${sources})
  target_include_directories(${name}_tests PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name}_tests PRIVATE fathom_${name} fathom_flags GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name}_tests PRIVATE FATHOM_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
  target_precompile_headers(${name}_tests REUSE_FROM fathom_test_headers)
  target_compile_options(${name}_tests PRIVATE ${FATHOM_HEADER_OPTIONS} ${FATHOM_OUTER_OPTIONS})
  if(NOT name STREQUAL kernels)  # whose files have the same names for other things
    # Four files at a time, but for those whose helpers have names of another file's.
    foreach(file base/json_test grammar/schema_test tokenizer/chat_template_test)
      set_source_files_properties(${CMAKE_SOURCE_DIR}/tests/${file}.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endforeach()
    set_target_properties(${name}_tests PROPERTIES UNITY_BUILD ${FATHOM_UNITY} UNITY_BUILD_BATCH_SIZE 4)
  endif()
  gtest_discover_tests(${name}_tests TEST_PREFIX ${name}/ DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
