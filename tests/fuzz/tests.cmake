# tests/fuzz/fuzz_NAME.c is a fuzz target, corpus/NAME/ what it starts from.
#
# Preset fuzz (clang): bin/fuzz_NAME is a libFuzzer program:
#     build/fuzz/bin/fuzz_resp -max_total_time=60 tests/fuzz/corpus/resp
# Everywhere else it is an ordinary test that runs the corpus and changed inputs (standalone.c).
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "fuzz_" "" corpus ${name})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${corpus})
  if(SHERD_FUZZ)
    add_executable(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set(fuzz_arguments -runs=20000 -max_total_time=20 ${corpus})
  else()
    add_executable(${name} ${source} tests/fuzz/standalone.c)
    set_target_properties(${name} PROPERTIES
                          RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    set(fuzz_arguments ${corpus})
    # Each input starts a whole front, or an engine of scripts.
    if(name MATCHES "^fuzz_(session|script)$")
      list(PREPEND fuzz_arguments -runs=3000)
    endif()
  endif()
  sherd_link(${name} sherd_world sherd_test_check ${SHERD_TEST_SUPPORT})
  add_test(NAME ${name} COMMAND ${name} ${fuzz_arguments}
           WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endforeach()
