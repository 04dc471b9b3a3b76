# The core in one process: tests/bench/inject.c.
add_executable(inject ${CMAKE_CURRENT_LIST_DIR}/inject.c)
set_target_properties(inject PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(inject sherd_world)
# The state machine of a shard alone, with one queue: tests/bench/queue.c.
add_executable(queue ${CMAKE_CURRENT_LIST_DIR}/queue.c)
set_target_properties(queue PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(queue sherd_world)

# The store alone: tests/bench/store_walk.c.
add_executable(store_walk ${CMAKE_CURRENT_LIST_DIR}/store_walk.c)
set_target_properties(store_walk PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(store_walk sherd_world)
# The state machine of a shard alone, with one stream and a group: tests/bench/stream_cycles.c.
add_executable(stream_cycles ${CMAKE_CURRENT_LIST_DIR}/stream_cycles.c)
set_target_properties(stream_cycles PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(stream_cycles sherd_world)
