#ifndef SERVER_CONTROL_AGENT_LINKS_H
#define SERVER_CONTROL_AGENT_LINKS_H

#include "server/control/agent_state.h"

/* The peers that the agent knows and those that it wants to be linked to: the nodes of the meta
 * group and all that share a shard with this one; until it has joined, and when it is alone, the
 * seeds. */

/* Made if it is not known. */
struct agent_link *agent_links_get(struct agent *agent, uint64_t peer);
bool agent_links_is_up(const struct agent *agent, uint64_t peer);
/* The env was told to keep a link there. */
bool agent_links_is_asked(const struct agent *agent, uint64_t peer);
/* Asks the env for what is wanted now. */
void agent_links_update(struct agent *agent);
void agent_links_subscribe(struct agent *agent, uint64_t peer);
/* From time to time, asks one peer at random for its map again. */
void agent_links_refresh(struct agent *agent);

#endif
