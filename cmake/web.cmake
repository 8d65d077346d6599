# The files of web/dist as one C++ file of string literals, build/.../generated/page_files.cpp, compiled into the layer web_page. It is written
# again when a file of web/dist changes. As a script (cmake -DDIST= -DOUTPUT= -P) this file writes it; included, it adds the rule.
#
# Literals rather than `.incbin` or `ld -r -b binary`: they need no assembler, carry no path of this machine (so that a compiler cache serves
# every clone), and a megabyte of them compiles in a second.

if(CMAKE_SCRIPT_MODE_FILE)
  cmake_policy(SET CMP0007 NEW)
  set(type_html "text/html; charset=utf-8")
  set(type_js "text/javascript; charset=utf-8")
  set(type_css "text/css; charset=utf-8")
  set(type_txt "text/plain; charset=utf-8")
  set(type_svg "image/svg+xml")
  set(type_woff2 "font/woff2")

  file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${DIST} ${DIST}/*)
  list(SORT files COMPARE STRING)
  set(rows)
  foreach(file ${files})
    string(REGEX REPLACE "^[A-Za-z0-9_/-]+\\.([a-z0-9]+)$" "\\1" ending "${file}")
    if(NOT DEFINED type_${ending})
      message(FATAL_ERROR "web/dist/${file}: a name of letters, digits, - and _ with an ending that cmake/web.cmake knows is needed.")
    endif()
    set(type ${type_${ending}})
    set(cache no-cache)
    if(file MATCHES "^assets/")
      set(cache "public, max-age=31536000, immutable")
    endif()
    file(SHA256 ${DIST}/${file} hash)
    string(SUBSTRING ${hash} 0 32 hash)
    file(SIZE ${DIST}/${file} size)
    file(READ ${DIST}/${file} bytes HEX)
    # "\x3c\x21...", broken into lines, as compilers and readers of a diff prefer
    string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${bytes}")
    string(REPLACE "\n" "\"\n\"" bytes "${bytes}")
    string(APPEND rows "{\"/${file}\", \"${type}\", {\"${bytes}\", ${size}}, \"\\\"${hash}\\\"\", \"${cache}\"},\n")
  endforeach()
  file(WRITE ${OUTPUT} "// Written by cmake/web.cmake.
#include \"web_page/page_files.h\"

namespace fathom {
namespace {
constexpr PageFile kFiles[] = {
${rows}};
}  // namespace

std::span<const PageFile> page_files() {
  return kFiles;
}

}  // namespace fathom
")
  return()
endif()

set(page_cpp ${CMAKE_BINARY_DIR}/generated/page_files.cpp)
file(GLOB_RECURSE page_dist CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/dist/*)
if(NOT page_dist)
  message(FATAL_ERROR "web/dist is empty; the chat page belongs to the repository. Try: git checkout web/dist, or web/check.sh --write with Node.")
endif()
add_custom_command(OUTPUT ${page_cpp}
  COMMAND ${CMAKE_COMMAND} -DDIST=${CMAKE_SOURCE_DIR}/web/dist -DOUTPUT=${page_cpp} -P ${CMAKE_SOURCE_DIR}/cmake/web.cmake
  DEPENDS ${page_dist} ${CMAKE_SOURCE_DIR}/cmake/web.cmake
  COMMENT "The chat page as C++" VERBATIM)
set_source_files_properties(${page_cpp} PROPERTIES SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS -Wno-overlength-strings)
target_sources(fathom_web_page PRIVATE ${page_cpp})
