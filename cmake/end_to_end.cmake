# Every tests/end_to_end/NAME.sh is a test of the built program: it gets the path of `fathom` and exits with 0 when all holds.
if(TARGET fathom)
  file(GLOB end_to_end_scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/end_to_end/*.sh)
  foreach(script ${end_to_end_scripts})
    get_filename_component(name ${script} NAME_WE)
    add_test(NAME end_to_end/${name} COMMAND bash ${script} $<TARGET_FILE:fathom>)
    set_tests_properties(end_to_end/${name} PROPERTIES TIMEOUT 300)
  endforeach()
endif()
