# The core in one process: tests/bench/inject.c.
add_executable(inject ${CMAKE_CURRENT_LIST_DIR}/inject.c)
set_target_properties(inject PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(inject sherd_world)
