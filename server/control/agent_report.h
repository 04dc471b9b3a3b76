#ifndef SERVER_CONTROL_AGENT_REPORT_H
#define SERVER_CONTROL_AGENT_REPORT_H

#include "server/control/agent_state.h"

/* Tells the meta group what shards have become: META.REPORT with all that replicas of this node
 * know by their logs and the map does not, in one report, as the halves of a split are taken
 * together or not at all. At once by the node that leads one of them, by others after a while, lest
 * it be forgotten with the leader that knew. */

void agent_report_take(struct agent *agent, const struct agent_range *ranges, size_t count);
/* If there is something to tell, and it is time. */
void agent_report_send(struct agent *agent);
void agent_report_reply(struct agent *agent, enum status status, struct slice body);
/* Nothing came back. */
void agent_report_lost(struct agent *agent);
void agent_report_free(struct agent *agent);

#endif
