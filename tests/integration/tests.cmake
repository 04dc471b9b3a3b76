# Real processes and real faults. Each file is one test (harness.py); they share the machine with
# other tests but not with each other.
add_executable(lincheck ${CMAKE_CURRENT_LIST_DIR}/lincheck_main.c)
set_target_properties(lincheck PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(lincheck sherd_world ${SHERD_TEST_SUPPORT})

add_library(shim_fault SHARED ${PROJECT_SOURCE_DIR}/tests/support/shim_fault.c)
set_target_properties(shim_fault PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_link_libraries(shim_fault PRIVATE ${CMAKE_DL_LIBS})

set(INTEGRATION_TESTS basic killed_installing pipeline_order kill_leader kill_repeatedly power_cut
    pause disk_full failing_sync wiped_node away_node moved_node moved_meta start_stop two_routers
    bad_input slow_reader big_values stalled_follower idle_connections startup_errors outside_view
    lost_folder stop_under_load pubsub keyspace_events databases blocking transactions scripts
    script_queue grow_and_shrink script_sources slow_transfer move_away_and_back import_redis
    import_large backup split_clients replica_reads recover split_and_merge balance)
foreach(name ${INTEGRATION_TESTS})
  add_test(NAME integration_${name}
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/${name}.py
                   --bin ${PROJECT_BINARY_DIR}/bin --tools ${PROJECT_BINARY_DIR}/tests)
  set_tests_properties(integration_${name} PROPERTIES LABELS integration TIMEOUT 300
                       RESOURCE_LOCK cluster)
endforeach()

# Changes of shards at random, once more with faults between them.
foreach(faults "" "kill,stop,restart")
  string(COMPARE EQUAL "${faults}" "" plain)
  if(plain)
    set(name integration_elastic)
  else()
    set(name integration_elastic_faults)
  endif()
  add_test(NAME ${name}
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/elastic.py --faults "${faults}"
                   --bin ${PROJECT_BINARY_DIR}/bin --tools ${PROJECT_BINARY_DIR}/tests)
  set_tests_properties(${name} PROPERTIES LABELS integration TIMEOUT 400 RESOURCE_LOCK cluster)
endforeach()
