#ifndef TESTS_SUPPORT_ENGINE_CASES_H
#define TESTS_SUPPORT_ENGINE_CASES_H

#include "server/store/store.h"

/* What every engine behind store.h has to do; each aborts if it does not. folder: an empty place
 * for one store of its own. */
void engine_case_reads_own_writes(const char *folder);
void engine_case_commits_and_reopens(const char *folder);
void engine_case_forgets_unflushed(const char *folder);
void engine_case_deletes_ranges(const char *folder);
void engine_case_marks(const char *folder);
void engine_case_iterates(const char *folder);
void engine_case_walks_backward(const char *folder);
void engine_case_walks_anew(const char *folder);
void engine_case_views(const char *folder);
void engine_case_exports_and_ingests(const char *folder);

#endif
