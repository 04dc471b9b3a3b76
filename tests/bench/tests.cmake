# The core in one process: tests/bench/inject.c.
add_executable(inject ${CMAKE_CURRENT_LIST_DIR}/inject.c)
set_target_properties(inject PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(inject sherd_world)
# The state machine of a shard alone: tests/bench/machine_bench.h.
foreach(name queue stream_cycles)
  add_executable(${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.c
                         ${CMAKE_CURRENT_LIST_DIR}/machine_bench.c)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  sherd_link(${name} sherd_world)
endforeach()

# The store alone: tests/bench/store_walk.c.
add_executable(store_walk ${CMAKE_CURRENT_LIST_DIR}/store_walk.c)
set_target_properties(store_walk PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(store_walk sherd_world)
