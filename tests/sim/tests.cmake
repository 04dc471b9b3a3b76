# The cluster simulator. The full run takes the seeds in two halves, one per core.
file(GLOB simulator CONFIGURE_DEPENDS tests/sim/sim*.c)
add_executable(sim ${simulator})
set_target_properties(sim PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
sherd_link(sim sherd_sim_world sherd_test_check ${SHERD_TEST_SUPPORT})
add_test(NAME sim_quick COMMAND sim --seeds 1 21 --jobs 2)
set_tests_properties(sim_quick PROPERTIES LABELS "sim;quick" TIMEOUT 300)
add_test(NAME sim_seeds COMMAND sim --seeds 1000 2000 --jobs 2)
add_test(NAME sim_elastic COMMAND sim --merges --seeds 3000 3200 --jobs 2)
set_tests_properties(sim_elastic PROPERTIES LABELS "sim" TIMEOUT 3600 PROCESSORS 2)
set_tests_properties(sim_seeds PROPERTIES LABELS "sim" TIMEOUT 3600 PROCESSORS 2)
add_test(NAME sim_moves COMMAND sim --moves --seeds 2 42 --jobs 2)
set_tests_properties(sim_moves PROPERTIES LABELS "sim" TIMEOUT 1800 PROCESSORS 2)
# Stale reads at replicas show.
add_test(NAME sim_without_read_points COMMAND sim --seeds 1 8 --jobs 2 --stale)
set_tests_properties(sim_without_read_points PROPERTIES LABELS "sim" TIMEOUT 300 WILL_FAIL TRUE)
# A crashed process is dropped on the floor, as the operating system would: its memory is not freed.
set_tests_properties(sim_quick sim_seeds sim_elastic sim_moves sim_without_read_points PROPERTIES ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
