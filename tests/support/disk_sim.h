#ifndef TESTS_SUPPORT_DISK_SIM_H
#define TESTS_SUPPORT_DISK_SIM_H

#include <stdbool.h>

#include "common/base/rand.h"
#include "common/base/status.h"

/* The simulator's disk, linked in place of common/base/disk.c: files in memory, for several
 * machines at once. A machine is a prefix of paths, e.g. "/sim/node1"; what happens to it does not
 * touch the others. All state is in this one file, like a real disk's; one thread.
 *
 * What a crash does, per machine:
 * - of the 512-byte sectors that were written and not synced, each one has its old or its new
 *   bytes (a sector is never torn in itself), and a file that grew may be short again;
 * - files made, renamed and unlinked without disk_sync_folder() since: all undone, all kept, kept
 *   up to some point, or each one undone or kept;
 * - files that were open are stale: they can only be closed.
 * Folders themselves last. Reading is always right; disk_fill() syncs, as the real one. */

/* Forgets all files and machines. No file may be open. */
void disk_sim_reset(void);

/* The power of the machine goes: see above. If disk_sim_cut() has struck, what was done after it
 * is gone as well. */
void disk_sim_crash(const char *prefix, struct rand *rand);

/* Number of calls so far that changed anything on the machine's disk (writes, syncs, renames ...).
 */
uint64_t disk_sim_changes(const char *machine);
/* The power goes just before the changes-th change from now (0: the next), whatever the code
 * under test does after: that is undone by the next disk_sim_crash(). So a crash can be put
 * between any two steps of a long call. */
void disk_sim_cut(const char *prefix, uint64_t changes, struct rand *rand);
/* True if the cut has struck: whatever the code reports since then never happened. */
bool disk_sim_is_cut(const char *machine);

/* The changes-th (0: the next) write or sync of the machine from now on fails with the status and
 * has no effect; STATUS_OK takes the order back. */
void disk_sim_fail_write(const char *machine, uint64_t changes, enum status status);
void disk_sim_fail_sync(const char *machine, uint64_t changes, enum status status);
/* What disk_free() says; growing files take from it, and fail with DISK_FULL when it is gone.
 * UINT64_MAX, as at the start: no limit. */
void disk_sim_set_free(const char *machine, uint64_t bytes);

/* Flips one bit of a file, behind the back of the code under test. The offset is in the file. */
void disk_sim_flip(const char *path, uint64_t offset, unsigned bit);

#endif
