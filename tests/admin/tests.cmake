# sherd-admin as its users see it: against a server that is played, and `demo` with programs that
# are played. Needs nothing but python3.
find_package(Python3 COMPONENTS Interpreter REQUIRED)
if(TARGET sherd-admin)
  foreach(name admin demo)
    add_test(NAME test_${name}_program
             COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/admin/test_${name}_program.py
                     $<TARGET_FILE:sherd-admin>)
    set_tests_properties(test_${name}_program PROPERTIES LABELS unit TIMEOUT 120)
  endforeach()
endif()
