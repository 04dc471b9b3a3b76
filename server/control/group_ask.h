#ifndef SERVER_CONTROL_GROUP_ASK_H
#define SERVER_CONTROL_GROUP_ASK_H

#include "common/base/buf.h"
#include "common/proto/command.h"
#include "replication/group.h"

/* What the control plane asks the leader of a group of any shard, the meta group's too. Answered by
 * the worker that holds the replica, not by the shard's machine:
 *
 *   GROUP.CONF           the replica ids of the committed configuration
 *   GROUP.INFO           struct group_report, as an array of integers
 *   GROUP.LEAD replica   hands leadership over to it, now; OK means that it was begun
 *   GROUP.PACE replica bytes   the snapshot on its way to it goes at so many bytes a second at
 * most; 0: as the node is set
 *
 * Pure. Any thread. */

enum group_ask { GROUP_ASK_NONE, GROUP_ASK_CONF, GROUP_ASK_INFO, GROUP_ASK_LEAD, GROUP_ASK_PACE };

/* NONE: it is none, or its arguments are not right. numbers[0] and [1]: those of LEAD and PACE. */
enum group_ask group_ask_of(struct args args, uint64_t numbers[2]);

struct group_report {
    uint64_t term;
    uint64_t commit_index;
    uint64_t size; /* Of the shard on the leader's disk, about, in bytes. */
    unsigned count;
    struct {
        uint64_t replica;
        uint64_t node;
        uint64_t role; /* enum member_role */
        uint64_t match;
        bool connected;
        uint64_t sent; /* Of a snapshot on its way there, in bytes, */
        uint64_t size; /* and of how many; 0: there is none. */
    } members[GROUP_MEMBERS_MAX];
};

void group_ask_write_report(const struct group_report *report, struct buf *reply);
/* False: it is none. */
bool group_ask_read_report(struct slice reply, struct group_report *report);

#endif
