# The sources as text: rules of our own (tidy.py), layout (clang-format), scripts (bash -n).
find_package(Python3 COMPONENTS Interpreter REQUIRED)
add_test(NAME tidy COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/lint/tidy.py
         ${PROJECT_SOURCE_DIR})
add_test(NAME test_tidy COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/lint/test_tidy.py)
add_test(NAME scripts COMMAND ${PROJECT_SOURCE_DIR}/tests/lint/scripts)
set_tests_properties(tidy test_tidy scripts PROPERTIES LABELS lint TIMEOUT 60)
find_program(SHERD_CLANG_FORMAT NAMES clang-format-14 clang-format)
if(SHERD_CLANG_FORMAT)
  add_test(NAME format COMMAND ${PROJECT_SOURCE_DIR}/tests/lint/format ${SHERD_CLANG_FORMAT})
  set_tests_properties(format PROPERTIES LABELS lint TIMEOUT 120)
endif()
