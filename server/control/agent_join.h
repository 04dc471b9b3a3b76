#ifndef SERVER_CONTROL_AGENT_JOIN_H
#define SERVER_CONTROL_AGENT_JOIN_H

#include "server/control/agent_state.h"

/* Tells the meta group that this node is there, or asks it for a place: META.INIT, META.JOIN. */

/* Sends the request if it is time. */
void agent_join_step(struct agent *agent);
void agent_join_reply(struct agent *agent, enum status status, struct slice body);
/* The meta group has confirmed this start, and the node's identity is durable. */
void agent_join_confirm(struct agent *agent);

#endif
