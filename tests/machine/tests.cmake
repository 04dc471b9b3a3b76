# Scripts of commands and replies against the machine of one shard (runner.c), on both engines, and
# seeded random commands against it and a real redis-server at once (differential.py).
foreach(world sherd_world sherd_sim_world)
  if(NOT TARGET ${world})
    continue()
  endif()
  set(name machine_runner)
  if(world STREQUAL "sherd_sim_world")
    set(name machine_runner_sim)
  endif()
  add_executable(${name} ${CMAKE_CURRENT_LIST_DIR}/runner.c)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  sherd_link(${name} ${world} sherd_test_check ${SHERD_TEST_SUPPORT})
  file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.txt)
  foreach(script ${scripts})
    get_filename_component(stem ${script} NAME_WE)
    foreach(writes 1 5)
      set(test ${name}_${stem}_${writes})
      add_test(NAME ${test} COMMAND ${name} ${script} ${writes}
               WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
      set_tests_properties(${test} PROPERTIES LABELS machine TIMEOUT 60)
    endforeach()
  endforeach()
  find_package(Python3 COMPONENTS Interpreter)
  if(Python3_FOUND)
    add_test(NAME ${name}_differential
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/differential.py
                     $<TARGET_FILE:${name}> --seeds 20
             WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    set_tests_properties(${name}_differential PROPERTIES LABELS machine TIMEOUT 300
                         SKIP_RETURN_CODE 77)
    add_test(NAME ${name}_script_differential
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/script_differential.py
                     $<TARGET_FILE:${name}>
             WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    set_tests_properties(${name}_script_differential PROPERTIES LABELS machine TIMEOUT 300
                         SKIP_RETURN_CODE 77)
    foreach(part stream bits)
      add_test(NAME ${name}_differential_${part}
               COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/differential_${part}.py
                       $<TARGET_FILE:${name}> --seeds 10
               WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
      set_tests_properties(${name}_differential_${part} PROPERTIES LABELS machine TIMEOUT 300
                           SKIP_RETURN_CODE 77)
    endforeach()
    add_test(NAME ${name}_dump_exchange
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/dump_exchange.py
                     $<TARGET_FILE:${name}> --seeds 5
             WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    set_tests_properties(${name}_dump_exchange PROPERTIES LABELS machine TIMEOUT 300
                         SKIP_RETURN_CODE 77)
  endif()
endforeach()

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME machine_commands_page
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/commands_page.py
                   ${PROJECT_SOURCE_DIR})
  set_tests_properties(machine_commands_page PROPERTIES LABELS machine)
endif()
