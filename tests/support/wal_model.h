#ifndef TESTS_SUPPORT_WAL_MODEL_H
#define TESTS_SUPPORT_WAL_MODEL_H

#include "common/base/rand.h"
#include "replication/log/wal.h"

/* What the shared log should hold for the groups of one port: makes random operations, gives them
 * to the port and remembers them; after a crash finds the point in its history that the log came
 * back to. One thread. */

struct wal_model;

/* Groups first_group .. first_group + groups_count - 1. */
struct wal_model *wal_model_new(uint64_t first_group, uint64_t groups_count);
void wal_model_free(struct wal_model *model);

/* Gives a random operation to the port. data_size_max: of an entry. */
void wal_model_step(struct wal_model *model,
                    struct wal_port *port,
                    size_t data_size_max,
                    struct rand *rand);
/* Frees old segments: marks everything of all groups as not needed any more. */
void wal_model_compact_all(struct wal_model *model, struct wal_port *port);

/* True if what wal holds is the state after some operation at or behind lsn `durable`. The history
 * then begins anew from there, as do lsns. Entries that were compacted may be there, with the right
 * bytes, or not. */
bool wal_model_match(struct wal_model *model, struct wal *wal, uint64_t durable);

#endif
