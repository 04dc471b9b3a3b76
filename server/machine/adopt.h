#ifndef SERVER_MACHINE_ADOPT_H
#define SERVER_MACHINE_ADOPT_H

#include "server/machine/handlers.h"

/* Rows of DATA as another cluster's shard had them become rows of this one: a restore of a backup.
 * They keep their versions, so that elements and chunks stay with their keys. That is safe as long
 * as nothing here has, or gets, the same version under the same token: the shard is emptied first,
 * and its own version is lifted over all that come. Bringing the same rows again changes nothing.
 *
 * Rows: any number of times u32 length, key | u32 length, value. Pure. */

/* True if the tokens of all rows are the shard's. The call is of an `adopt` that was planned. */
bool adopt_owned(const struct call *call);

#endif
