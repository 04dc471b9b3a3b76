#ifndef SERVER_CONTROL_AGENT_LINKS_H
#define SERVER_CONTROL_AGENT_LINKS_H

#include "server/control/agent_state.h"

/* The peers that the agent knows and those that it wants to be linked to: the nodes of the meta
 * group and all that share a shard with this one, or all if it has a replica of the meta group;
 * until it has joined, and when it is alone, the seeds. */

/* Made if it is not known. */
struct agent_link *agent_links_get(struct agent *agent, uint64_t peer);
/* It is linked, and part of a cluster: requests to it make sense. */
bool agent_links_answers(const struct agent *agent, uint64_t peer);
/* The env was told to keep a link there. */
bool agent_links_is_asked(const struct agent *agent, uint64_t peer);
/* Asks the env for what is wanted now. */
void agent_links_update(struct agent *agent);
void agent_links_subscribe(struct agent *agent, uint64_t peer);
/* Gives the map to a peer, or to all (0), if this node has a replica of the meta group: those that
 * the others know it from may be gone, or it may have moved. */
void agent_links_push(struct agent *agent, uint64_t peer);
/* The node answers at the address of --join with that number. */
void agent_links_found(struct agent *agent, unsigned seed, uint64_t node);
/* Somebody else answers where the node was found. */
void agent_links_lost(struct agent *agent, uint64_t node);
/* From time to time, asks one peer at random for its map again. */
void agent_links_refresh(struct agent *agent);

#endif
