#ifndef TESTS_SUPPORT_ENGINE_MODEL_H
#define TESTS_SUPPORT_ENGINE_MODEL_H

#include "server/store/store.h"

/* Random reads, writes and walks of one txn, in both families, compared with a plain array. Aborts
 * at the first difference, and prints the seed. folder: an empty place for one store of its own. */
void engine_model_run(const char *folder, uint64_t seed);

#endif
