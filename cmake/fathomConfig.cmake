# find_package(fathom): the target fathom::fathom, and what it is linked with.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(Boost 1.75)
find_dependency(fmt)
find_dependency(PkgConfig)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
include(${CMAKE_CURRENT_LIST_DIR}/fathomTargets.cmake)
