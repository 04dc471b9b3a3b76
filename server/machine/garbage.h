#ifndef SERVER_MACHINE_GARBAGE_H
#define SERVER_MACHINE_GARBAGE_H

#include "server/machine/keyspace.h"

/* Elements of collections that were removed, overwritten or have expired: the metadata row is gone,
 * so nothing reads them, and they are taken away in small steps, by one log entry after the other.
 * Which ones, and when, follows from the log alone, so all replicas hold the same rows. Very many
 * are removed at once by a range delete instead: one costs reads a little, thousands a lot. Pure.
 */

/* Notes the elements of a collection whose metadata row goes. Nothing, if it is packed. */
void garbage_add(struct call *call, const struct row *row);
/* Removes at most count elements. IO, CORRUPT. */
MUST_USE enum status garbage_sweep(struct call *call, size_t count);

#endif
