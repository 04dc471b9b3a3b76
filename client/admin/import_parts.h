#ifndef CLIENT_ADMIN_IMPORT_PARTS_H
#define CLIENT_ADMIN_IMPORT_PARTS_H

#include "client/admin/import_target.h"

/* Writes a value that is too large for one RESTORE by plain commands, many elements each: to a key
 * beside its own, which is renamed in the end, so that nobody sees a part of it. A string is set as
 * it is. Thread: one. */

enum {
    IMPORT_PARTS_SIZE = 2 << 20, /* Payloads from here on are not tried as a whole: a loop would
                                  * be busy with one for long. */
};
/* How the cluster refuses what is smaller and becomes too large. */
#define IMPORT_PARTS_WANTED "ERR the value is longer than 30 MB"

/* Nothing else is under way on the connection. OK: it was counted, or reported as failed.
 * DISCONNECTED: the connection was lost, or the cluster did not answer in time: it can be tried
 * again from the start. */
MUST_USE enum status import_parts_put(struct import_target *target, const struct import_item *item);

#endif
