# Random schemas and texts for tests/clients/schemas/validate.mjs; no test by itself, built on request.
add_executable(schema_samples EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/clients/schemas/samples.cpp)
target_link_libraries(schema_samples PRIVATE fathom_grammar fathom_flags)
