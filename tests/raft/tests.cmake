# The replication core against the real library, with its disk, network and clock in the test's hands
# (clock_fake, wal_fake). rig: one replica, the test plays the others. cluster: some nodes.
add_library(sherd_raft_fakes STATIC tests/raft/rig.c tests/raft/cluster.c tests/raft/workload.c)
target_include_directories(sherd_raft_fakes PUBLIC ${PROJECT_SOURCE_DIR})

file(GLOB raft_tests CONFIGURE_DEPENDS tests/raft/test_*.c)
foreach(source ${raft_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source} tests/raft/clock_fake.c tests/raft/wal_fake.c)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  sherd_link(${name} sherd_raft_fakes sherd_test sherd_test_check)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
endforeach()

# Random faults. A failure prints its seed: fuzz_cluster --seed N runs it again.
add_executable(fuzz_cluster tests/raft/fuzz_cluster.c tests/raft/clock_fake.c tests/raft/wal_fake.c)
set_target_properties(fuzz_cluster PROPERTIES
                      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(fuzz_cluster sherd_raft_fakes sherd_test_check)
add_test(NAME raft_faults_quick COMMAND fuzz_cluster --seeds 1 21)
set_tests_properties(raft_faults_quick PROPERTIES LABELS quick TIMEOUT 300)
add_test(NAME raft_faults COMMAND fuzz_cluster --seeds 1000 1300)
set_tests_properties(raft_faults PROPERTIES LABELS sim TIMEOUT 600)
# The fuzzer notices a missing guard: CLAMP, BARRIER, SNAP, TRIM, CONF, SOLO, VOTE, POINT (guard.h). Each
# begins where the first failing seed is near.
foreach(pair 1:220 2:1 16:1 64:1 512:1 1024:1 2048:1 8192:1)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 mask)
  list(GET pair 1 seed)
  math(EXPR seed_end "${seed} + 300")
  add_test(NAME raft_faults_without_guard_${mask}
           COMMAND fuzz_cluster --seeds ${seed} ${seed_end} --first-failure --guards-off ${mask})
  set_tests_properties(raft_faults_without_guard_${mask} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
