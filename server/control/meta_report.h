#ifndef SERVER_CONTROL_META_REPORT_H
#define SERVER_CONTROL_META_REPORT_H

#include "server/control/meta_change.h"
#include "server/control/meta_order.h"

/* META.REPORT: what shards say of their ranges, which their own logs decide. The descriptors are
 * taken together, or none: if each of them is newer than every shard of the map that it overlaps,
 * and the ring stays covered. Replicas are the map's to say: of a shard that it knows only the
 * range is taken; one that it does not know must be a child, of ids that were given out, on nodes
 * that exist. Shards that are covered by others have been merged, and vanish.
 *
 * Replies the version of the map. What is known already changes nothing. */
void meta_report_take(struct meta_change *change, const struct meta_order *order);

#endif
