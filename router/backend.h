#ifndef ROUTER_BACKEND_H
#define ROUTER_BACKEND_H

#include "router/core_state.h"

/* Nodes and the links to them: one per node of the map, and seeds while no node of the map can be
 * reached. Thread: the core's. */

/* NULL: the map has no such node and no seed turned out to be it. */
struct backend *backend_of(const struct core *core, uint64_t node);
/* NULL for a number that is not in use. */
struct backend *backend_at(const struct core *core, unsigned link);
/* Up, and not known to say nothing. */
bool backend_usable(const struct core *core, const struct backend *backend);
void backend_suspect(struct core *core, struct backend *backend);

/* Dials what the map names, marks what it no longer does; backend_drop_unwanted() ends that, once
 * no lane points there any more. */
void backend_follow_map(struct core *core);
void backend_drop_unwanted(struct core *core);
/* Seeds are dialled while nothing of the map is up. */
void backend_dial_seeds(struct core *core);

/* Returns the backend, or NULL if the link is of no use and was ended: another cluster's, another
 * node than expected, or a second one to the same. */
struct backend *backend_up(struct core *core, unsigned link, const struct frame_hello *hello);
/* What was sent there and not answered has an unknown outcome from now on. */
void backend_down(struct core *core, struct backend *backend);

/* Asks for a newer map and the leaders; not more often than every SUBSCRIBE_MS. */
void backend_subscribe(struct core *core, struct backend *backend);
void backend_tick(struct core *core);
void backend_free_all(struct core *core);

#endif
