#ifndef ROUTER_MAP_WATCH_H
#define ROUTER_MAP_WATCH_H

#include "router/core_state.h"

/* Follows the cluster map: a newer one replaces the old, but for shards of which newer news has
 * come already; lanes and links are made to fit, what waits is sent where it says. Thread: the
 * core's. */

/* Adopts the map if it is newer. CORRUPT: malformed. WRONG_CLUSTER: not ours. May end requests. */
MUST_USE enum status map_watch_take(struct core *core, struct slice bytes, bool save);

/* News of single shards: FRAME_DESCS, and the body of a refusal, which may be empty. False:
 * malformed. *changed: the map did, and whatever waits was sent where it says. May end requests. */
bool map_watch_told(struct core *core, struct slice body, bool *changed);
bool map_watch_descs(struct core *core, struct slice body);

/* A list of struct leader_hint. False: malformed. */
bool map_watch_leaders(struct core *core, struct slice body);

#endif
