#ifndef SERVER_CONTROL_META_RECOVER_H
#define SERVER_CONTROL_META_RECOVER_H

#include "server/control/meta_change.h"
#include "server/control/meta_order.h"

/* What the map makes of nodes that will never come back with their data, and of groups that lost
 * their majority with them (docs/decisions/0015-recovery.md). Each appends one reply and a line to
 * the journal; repeating an order changes nothing. */

/* META_NODE, META_LOST: the node is gone, and takes no part in any shard that has another copy. */
void meta_recover_lost(struct meta_change *change, size_t index);

/* META_RECOVER. order->id: shard, value: node of the replica that goes on, parent: that replica,
 * undo_of: what it is called from now on, 0: whatever is free. Replies with the new id. All other
 * replicas get new ids too: the old ones have voted in a group that is no more. */
void meta_recover_shard(struct meta_change *change, const struct meta_order *order);

#endif
