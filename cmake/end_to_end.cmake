# Every tests/end_to_end/NAME.sh, and the NAME.py listed here, is a test of the built program: it gets the path of `fathom` and exits with 0
# when all holds. (Other Python files there need packages; they say how they are run.)
if(TARGET fathom)
  file(GLOB end_to_end_scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/end_to_end/*.sh)
  foreach(script ${end_to_end_scripts} ${CMAKE_SOURCE_DIR}/tests/end_to_end/kill_training.py ${CMAKE_SOURCE_DIR}/tests/end_to_end/train_errors.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/chat_terminal.py ${CMAKE_SOURCE_DIR}/tests/end_to_end/train_begin_and_end.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/options.py ${CMAKE_SOURCE_DIR}/tests/end_to_end/examples.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/trace.py ${CMAKE_SOURCE_DIR}/tests/end_to_end/serve.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/serve_load.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/serve_models.py ${CMAKE_SOURCE_DIR}/tests/end_to_end/serve_systemd.py
          ${CMAKE_SOURCE_DIR}/tests/end_to_end/pull.py)
    get_filename_component(name ${script} NAME_WE)
    if(script MATCHES "\\.py$")
      set(interpreter python3)
    else()
      set(interpreter bash)
    endif()
    set(options)
    if(name STREQUAL kill_training AND FATHOM_SANITIZE)
      set(options --kills 6)  # a sanitised program takes seconds to start
    endif()
    if(name STREQUAL serve_load AND FATHOM_SANITIZE)
      set(options --sanitized)
    endif()
    if(name STREQUAL examples AND FATHOM_SANITIZE)
      continue()  # a hundred runs of programs that the other scripts run as well
    endif()
    if(name STREQUAL library AND FATHOM_SANITIZE)
      continue()  # what is installed for others is not sanitised, nor would their programs be
    endif()
    add_test(NAME end_to_end/${name} COMMAND ${interpreter} ${script} $<TARGET_FILE:fathom> ${options})
    set_tests_properties(end_to_end/${name} PROPERTIES TIMEOUT 600)
  endforeach()
endif()
