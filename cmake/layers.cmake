# fathom_layer(NAME LAYERS a b LIBS x y): the library of src/NAME. Includes are written from src/.
function(fathom_layer name)
  cmake_parse_arguments(L "" "" "LAYERS;LIBS" ${ARGN})
  list(TRANSFORM L_LAYERS PREPEND fathom_)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(sources)
    add_library(fathom_${name} STATIC ${sources})
    target_include_directories(fathom_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(fathom_${name} PUBLIC ${L_LAYERS} ${L_LIBS} PRIVATE fathom_flags)
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
    set_source_files_properties(${isa}/tables_portable.cpp PROPERTIES HEADER_FILE_ONLY ON)
  else()
    set_source_files_properties(${isa}/avx2.cpp ${isa}/avx512.cpp ${isa}/tables_x86.cpp PROPERTIES HEADER_FILE_ONLY ON)
  endif()
  # gcc 12 warns about its own header avx512fintrin.h (gcc bug 105593). Kernels throw nothing: no tables for unwinding either.
  set(shared "-mavx2;-mfma;-mf16c;-mbmi2;-fno-exceptions")
  set_source_files_properties(${isa}/avx2.cpp PROPERTIES COMPILE_OPTIONS "${shared}")
  set_source_files_properties(${isa}/avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${shared};-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mprefer-vector-width=512;$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
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
  gtest_discover_tests(${name}_tests TEST_PREFIX ${name}/ DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
