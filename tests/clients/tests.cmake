# Real clients and frameworks, unchanged, against the routers of a fresh cluster (run_client.py). The
# packages of npm go to the build folder.
set(CLIENT_TESTS redis_cli.sh redis_benchmark.sh redis_py_client.py ioredis_client.mjs
    node_redis_client.mjs)
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

# Each through two routers at once.
set(FRAMEWORK_TESTS connect_redis.mjs express_rate_limit.mjs rate_limiter_flexible.mjs redlock.mjs
    keyv.mjs ioredis_examples.mjs node_redis_examples.mjs socket_io.mjs bullmq.mjs bull.mjs
    bee_queue.mjs celery_queue.py rq_queue.py sidekiq_queue.rb phpredis_sessions.py
    django_cache.py)
# These write many keys of database 0 in one transaction, and do not mind if it is several.
set(BEST_EFFORT_TESTS keyv.mjs django_cache.py)

function(add_client_test name script)
  add_test(NAME ${name}
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/run_client.py
                   --bin ${PROJECT_BINARY_DIR}/bin --build ${PROJECT_BINARY_DIR}/clients ${ARGN}
                   ${script})
  set_tests_properties(${name} PROPERTIES LABELS clients TIMEOUT 300)
  # npm writes to one folder.
  if(script MATCHES "[.]mjs$")
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK "cluster;npm")
  else()
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK cluster)
  endif()
endfunction()

foreach(script ${CLIENT_TESTS})
  get_filename_component(stem ${script} NAME_WE)
  add_client_test(client_${stem} ${script})
endforeach()
foreach(script ${FRAMEWORK_TESTS})
  get_filename_component(stem ${script} NAME_WE)
  set(flags --routers 2)
  if(script IN_LIST BEST_EFFORT_TESTS)
    list(APPEND flags --flag=--multi-across-shards --flag=best-effort)
  endif()
  add_client_test(framework_${stem} frameworks/${script} ${flags})
  set_tests_properties(framework_${stem} PROPERTIES LABELS frameworks)
endforeach()
