# What `cmake --install` gives to programs outside the tree (docs/library.md): the layers that load, tokenize and run a model as one static library, the headers of its
# public surface, and the package by which find_package(fathom) names both fathom::fathom. Component `library`: cmake --install build/release --component library.
set(FATHOM_LIBRARY_LAYERS base tensor jinja grammar tokenizer quant data kvcache kernels checkpoint config model load packing engine)
set(FATHOM_PUBLIC_HEADERS load/load.h load/text.h tokenizer/tokenizer.h tokenizer/chat/chat_template.h tokenizer/stop_strings.h engine/engine.h engine/loaded_engine.h engine/generation.h)

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(objects)
foreach(layer ${FATHOM_LIBRARY_LAYERS})
  get_target_property(type fathom_${layer} TYPE)
  if(type STREQUAL STATIC_LIBRARY)
    list(APPEND objects $<TARGET_OBJECTS:fathom_${layer}>)
  endif()
endforeach()
add_library(fathom_library STATIC ${objects})
set_target_properties(fathom_library PROPERTIES OUTPUT_NAME fathom EXPORT_NAME fathom LINKER_LANGUAGE CXX)
target_compile_features(fathom_library PUBLIC cxx_std_20)
target_link_libraries(fathom_library PUBLIC fmt::fmt Threads::Threads Boost::headers PkgConfig::XXHASH PkgConfig::ZLIB PkgConfig::ZSTD)
target_include_directories(fathom_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/fathom)
install(TARGETS fathom_library EXPORT fathomTargets ARCHIVE COMPONENT library)
install(EXPORT fathomTargets NAMESPACE fathom:: DESTINATION ${package} COMPONENT library)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/fathomConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${CMAKE_SOURCE_DIR}/cmake/fathomConfig.cmake.in ${CMAKE_BINARY_DIR}/generated/fathomConfig.cmake @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/generated/fathomConfig.cmake ${CMAKE_BINARY_DIR}/generated/fathomConfigVersion.cmake DESTINATION ${package} COMPONENT library)
# Public headers include others of src/: those come along, as they are at the time of installing.
install(CODE "
  set(FATHOM_SOURCES \"${CMAKE_SOURCE_DIR}/src\")
  set(FATHOM_STAGED_HEADERS \"${CMAKE_BINARY_DIR}/generated/headers\")
  set(FATHOM_PUBLIC_HEADERS \"${FATHOM_PUBLIC_HEADERS}\")
  set(FATHOM_HEADER_FOLDER \"${CMAKE_INSTALL_INCLUDEDIR}/fathom\")" COMPONENT library)
install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/install_headers.cmake COMPONENT library)
