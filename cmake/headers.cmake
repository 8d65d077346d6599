# Headers of others, compiled once for all layers and once for all tests: reading them again in every file took half of the time of a build.
set(FATHOM_HEADERS <algorithm> <array> <chrono> <cmath> <cstring> <filesystem> <fstream> <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <thread>
  <unordered_map> <vector> <fmt/format.h> <boost/json.hpp>)

# gcc 12 sees strings that these headers hold written past their ends (gcc bugs 105329, 105651).
set(FATHOM_HEADER_OPTIONS)
foreach(warning array-bounds restrict stringop-overflow stringop-overread)
  list(APPEND FATHOM_HEADER_OPTIONS $<$<CXX_COMPILER_ID:GNU>:-Wno-${warning}>)
endforeach()

# fathom_headers(NAME HEADERS h1 h2 LIBS l1 l2 OPTIONS o1): what target_precompile_headers(... REUSE_FROM NAME) takes. Who takes it is compiled with the same options.
function(fathom_headers name)
  cmake_parse_arguments(H "" "" "HEADERS;LIBS;OPTIONS" ${ARGN})
  set(empty ${CMAKE_BINARY_DIR}/generated/${name}.cpp)
  file(CONFIGURE OUTPUT ${empty} CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${empty})
  target_link_libraries(${name} PRIVATE fathom_flags fmt::fmt Threads::Threads Boost::headers ${H_LIBS})
  target_compile_options(${name} PRIVATE ${FATHOM_HEADER_OPTIONS} ${H_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${FATHOM_HEADERS} ${H_HEADERS})
endfunction()
