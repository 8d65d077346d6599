# The unit file, with the path of the program as it is installed.
install(CODE "
  set(FATHOM_PROGRAM \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/fathom\")
  set(unit \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/fathom.service\")
  configure_file(\"${CMAKE_SOURCE_DIR}/packaging/fathom.service.in\" \"\${unit}\" @ONLY)
  message(STATUS \"Installing: \${unit}\")
" COMPONENT service)
