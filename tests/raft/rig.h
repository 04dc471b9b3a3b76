#ifndef TESTS_RAFT_RIG_H
#define TESTS_RAFT_RIG_H

#include "replication/raft/group_private.h"
#include "tests/raft/wal_fake.h"
#include "tests/support/test.h"

/* One real host with one group, replica 1 on node 1; the test plays the other members, the disk and
 * the clock. Set up the log, rig_open(), then talk. */
enum { RIG_GROUP = 5, RIG_OUT_MAX = 512, RIG_ELECTION_MS = 600, RIG_HEARTBEAT_MS = 100 };

struct rig {
    struct wal *wal;
    struct wal_port *port;
    struct host *host;
    struct group *group;
    struct group_state state; /* To open with; then as applied. */
    unsigned guards_off;
    bool lease_reads;
    uint32_t quiesce_ms;
    uint64_t entry_bytes_max;
    uint64_t replica; /* 0: 1 */
    bool reborn;
    uint64_t seq[4]; /* Of batches from node i. */
    uint64_t life[4];
    bool connected[4];
    /* What the group said to whom. */
    struct message out[RIG_OUT_MAX];
    uint8_t *out_bytes[RIG_OUT_MAX];
    unsigned out_count;
    /* What the machine was asked. */
    unsigned applied;
    enum group_role role;
    uint64_t token, wanted;
    bool installing, not_ready;
    struct group_state install_state;
    uint8_t manifest[64];
    size_t manifest_len;
};

/* A proposal, change or read and how it ended. */
struct rig_call {
    struct proposal proposal;
    struct group_read read;
    bool called;
    enum status status;
};

/* Three voters 1@1, 2@2, 3@3, applied up to 10 in term 1, an empty log. */
struct rig *rig_new(unsigned guards_off);
void rig_free(struct rig *rig);
/* Durable before the start. */
void rig_put_birth(struct rig *rig, uint64_t term, uint64_t vote);
void rig_put_entries(struct rig *rig, uint64_t first, unsigned count, uint64_t term);
void rig_put_conf(struct rig *rig, uint64_t index, uint64_t term, const struct group_conf *conf);
void rig_open(struct rig *rig);
/* The process dies; what was not synced is lost. Open again afterwards. */
void rig_crash(struct rig *rig);

void rig_turn(struct rig *rig);
/* Syncs and turns until nothing moves. */
void rig_sync(struct rig *rig);
/* Time passes, with ticks; the disk does nothing. */
void rig_wait(struct rig *rig, uint64_t ms);

/* Says something as the replica message->from, which lives on the node of the same number. */
void rig_say(struct rig *rig, struct message *message);
void rig_say_append(struct rig *rig,
                    uint64_t from,
                    uint64_t term,
                    const struct message_append *append,
                    const struct message_entry *entries);
void rig_say_vote(struct rig *rig, uint64_t from, uint64_t term, const struct message_vote *vote);
/* Acknowledges up to index, or rejects. */
void rig_say_result(struct rig *rig, uint64_t from, uint64_t rejected, uint64_t index);

/* The newest message of the kind to replica `to` (0: to anyone), NULL if there is none. */
const struct message *rig_heard(const struct rig *rig, enum message_kind kind, uint64_t to);
unsigned rig_heard_count(const struct rig *rig, enum message_kind kind);
void rig_forget(struct rig *rig);

/* Stands, and wins by the vote of replica 2. Its barrier is not stored yet. */
void rig_elect(struct rig *rig);
/* The same, and the barrier is applied. */
void rig_lead(struct rig *rig);
struct group_info rig_info(const struct rig *rig);
struct rig_call *rig_call_new(void);

/* Runs a scenario without a guard in a process of its own, as the library may crash. True if it
 * crashed or returned true: the violation was seen. */
bool rig_violates(bool (*scenario)(unsigned guards_off), unsigned guards_off);

#endif
