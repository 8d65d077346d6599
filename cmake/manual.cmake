# Manual pages and completion scripts: made at install time by the program itself, from its table of options, and put where man and shells look.
install(CODE "
  set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share\")
  execute_process(COMMAND \"$<TARGET_FILE:fathom>\" manual -o \"\${share}/man/man1\" COMMAND_ERROR_IS_FATAL ANY)
  foreach(script bash:bash-completion/completions/fathom zsh:zsh/site-functions/_fathom fish:fish/vendor_completions.d/fathom.fish)
    string(REGEX MATCH \"^([a-z]+):(.*)/\" ignored \"\${script}\")
    set(shell \"\${CMAKE_MATCH_1}\")
    file(MAKE_DIRECTORY \"\${share}/\${CMAKE_MATCH_2}\")
    string(REGEX REPLACE \"^[a-z]+:\" \"\" file \"\${script}\")
    execute_process(COMMAND \"$<TARGET_FILE:fathom>\" completion \${shell} OUTPUT_FILE \"\${share}/\${file}\" COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${share}/\${file}\")
  endforeach()
")
