# Real clients, unchanged, against a router of a fresh cluster (run_client.py). The packages of npm
# go to the build folder.
set(CLIENT_TESTS redis_cli.sh redis_benchmark.sh redis_py_client.py ioredis_client.mjs
    node_redis_client.mjs frameworks_client.mjs)
find_path(HIREDIS_INCLUDE hiredis/hiredis.h)
find_library(HIREDIS_LIBRARY hiredis)
if(HIREDIS_INCLUDE AND HIREDIS_LIBRARY)
  add_executable(hiredis_client ${CMAKE_CURRENT_LIST_DIR}/hiredis_client.c)
  set_target_properties(hiredis_client PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                        ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(hiredis_client SYSTEM PRIVATE ${HIREDIS_INCLUDE})
  target_link_libraries(hiredis_client PRIVATE ${HIREDIS_LIBRARY})
else()
  message(WARNING "libhiredis-dev is missing: the test client_hiredis_client will fail")
endif()
list(APPEND CLIENT_TESTS ${PROJECT_BINARY_DIR}/tests/hiredis_client)

foreach(script ${CLIENT_TESTS})
  get_filename_component(stem ${script} NAME_WE)
  add_test(NAME client_${stem}
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/run_client.py
                   --bin ${PROJECT_BINARY_DIR}/bin --build ${PROJECT_BINARY_DIR}/clients ${script})
  set_tests_properties(client_${stem} PROPERTIES LABELS clients TIMEOUT 300 RESOURCE_LOCK cluster)
endforeach()
# npm writes to one folder.
set_tests_properties(client_ioredis_client client_node_redis_client client_frameworks_client PROPERTIES
                     RESOURCE_LOCK "cluster;npm")
