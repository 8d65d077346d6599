# The door of tools/tokenizer/compare.py into the tokenizer; no test by itself, built on request.
add_executable(tokenizer_driver EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/tokenizer/driver.cpp)
target_link_libraries(tokenizer_driver PRIVATE fathom_tokenizer fathom_flags)
