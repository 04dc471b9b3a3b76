#ifndef REPLICATION_GROUP_H
#define REPLICATION_GROUP_H

#include "common/base/buf.h"
#include "replication/host.h"

/* One replicated group: a raft core with the guards that make it safe, hidden, so that the core can
 * be replaced by changing replication/raft/. All calls and callbacks on the host's loop. No
 * callback runs inside the call that asked for it, unless said so; callbacks may call back in, but
 * for `apply`, which may not.
 *
 * Async contract: a call that returns OK (AGAIN for group_read) calls back exactly once, later; one
 * that returns anything else never does. */

struct group;

enum group_role { GROUP_FOLLOWER, GROUP_CANDIDATE, GROUP_LEADER };

enum { GROUP_MEMBERS_MAX = 8, GROUP_BIRTH_INDEX = 10, GROUP_BIRTH_TERM = 1 };

enum member_role { MEMBER_SPARE, MEMBER_STANDBY, MEMBER_VOTER };

struct group_member {
    uint64_t replica; /* Raft server id, never reused. */
    uint64_t node;
    enum member_role role;
};

struct group_conf {
    unsigned count;
    struct group_member members[GROUP_MEMBERS_MAX];
};

/* Applied state as the store has it: goes into every commit of the store and back into
 * group_open(). */
struct group_state {
    uint64_t index; /* Last applied. */
    uint64_t term;  /* Its term. */
    uint64_t conf_index;
    struct group_conf conf; /* Last committed configuration as of index. */
};

void group_state_encode(const struct group_state *state, struct buf *out);
struct reader;
bool group_state_decode(struct reader *in, struct group_state *state);

/* A write under way. Embedded in the caller's object, which lives until on_done. */
struct proposal {
    void (*on_done)(struct proposal *proposal, enum status status);
};

/* A read that waits for its read point. */
struct group_read {
    void (*on_readable)(struct group_read *read, enum status status);
    struct group_read *next; /* The group's own. */
};

/* What the group asks of the state machine above it. ctx is group_options.ctx. */
struct group_machine {
    /* Every replica, in log order, exactly the indexes above group_options.state.index. `mine`:
     * the proposal of this node that made the entry, or NULL; its on_done follows later. Barriers
     * and configuration changes come with an empty entry. *state is as of this entry: commit it
     * together with the writes. Nothing may be called back from here. */
    void (*apply)(void *ctx,
                  const struct group_state *state,
                  struct slice entry,
                  struct proposal *mine);
    /* role or term or known leader changed. Leader is announced only after the term-start barrier
     * is applied. leader_node 0: unknown. */
    void (*on_role)(void *ctx, enum group_role role, uint64_t term, uint64_t leader_node);
    /* Leader: a follower needs a snapshot. Start one (pre-copy out of band) and answer with
     * group_snapshot_made() exactly once, any time later. */
    void (*on_snapshot_wanted)(void *ctx, const struct group_member *to, uint64_t token);
    /* Follower: install what manifest names (its data has arrived out of band, else fail). The
     * group is passive until group_snapshot_installed(). The log below it is gone once this was
     * called, so that it must succeed in the end; if not, the process stops. */
    void (*on_snapshot_install)(void *ctx, const struct group_state *state, struct slice manifest);
    /* True if the data named by manifest is here and whole. Asked before the library sees the
     * InstallSnapshot; false drops the message. */
    bool (*snapshot_ready)(void *ctx, const struct group_state *state, struct slice manifest);
    /* Leader: a number that goes with a read point to the replica that reads, where the highest so
     * far is kept: the time of the state machine. NULL: 0. */
    uint64_t (*read_stamp)(void *ctx);
};

struct group_options {
    uint64_t id;
    uint64_t replica;
    void *ctx;
    const struct group_machine *machine;
    /* Applied and durable-or-replayable state: {index 10, term 1, conf} for a birth member of a new
     * group; index 0 for a replica that waits for a snapshot. */
    struct group_state state;
    bool campaign; /* Birth: this member stands for election at once. */
    /* The state is that of a group whose majority is lost for good, made one of this replica alone
     * under a new id (docs/decisions/0015-recovery.md). The log goes on behind the applied state
     * with what it has there, but for changes of the configuration. */
    bool reborn;
};

/* Loads the group's log from the wal, or starts it there (wal_port_reset) if the wal has never
 * heard of it. CORRUPT: wal and state contradict each other; also if a snapshot was being installed
 * that the state does not hold yet: ask group_pending_install() first. */
MUST_USE enum status group_open(struct host *host,
                                const struct group_options *options,
                                struct group **group);
/* Ask before group_open() of a group that may have a past. True: the process ended while a snapshot
 * was being installed; the log below it is gone and the store, which has applied_index (0:
 * nothing), does not hold it. The caller repeats the installation of *manifest so that the store
 * holds *state, and then opens with *state. *manifest is valid while the wal is open. It is empty
 * if what is missing is the group's birth state and not a snapshot. */
bool group_pending_install(struct host *host,
                           uint64_t id,
                           uint64_t applied_index,
                           struct group_state *state,
                           struct slice *manifest);
/* Fails everything pending with CLOSED (the callbacks run before this returns), frees. The group's
 * records stay in the wal. */
void group_close(struct group *group);

/* Copies the entry. NOT_LEADER; BUSY: too much is uncommitted, wait for a completion. on_done:
 * OK after the entry was applied here; LEADERSHIP_LOST: outcome unknown; CLOSED. */
MUST_USE enum status group_propose(struct group *group,
                                   struct slice entry,
                                   struct proposal *proposal);
/* True if group_propose() would not be BUSY. */
bool group_can_propose(const struct group *group);

/* Linearizable read point (docs/replication.md, Reads). OK: the applied state is readable right
 * now, no callback. AGAIN: on_readable comes later with OK, NOT_LEADER or CLOSED. NOT_LEADER. */
MUST_USE enum status group_read(struct group *group, struct group_read *read);

/* The same at any replica: one that does not lead asks the leader what is to be applied.
 * NOT_LEADER: no leader is known, or it does not answer. */
MUST_USE enum status group_read_replica(struct group *group, struct group_read *read);

/* What a replica that does not lead knows of its age: its applied state holds all that was
 * acknowledged before since_ns (clock_now_ns() of this node; 0: nothing is known). warm: it is
 * asked anew in the background. */
struct group_freshness {
    uint64_t since_ns;
    uint64_t stamp; /* The leader's read_stamp of then or later. */
};
void group_freshness(struct group *group, bool warm, struct group_freshness *freshness);

/* Membership, leader only, one at a time (BUSY). on_done: OK when the change is committed;
 * LEADERSHIP_LOST: look again at the configuration; TIMEOUT: a promotion did not catch up. */
MUST_USE enum status group_add(struct group *group,
                               uint64_t replica,
                               uint64_t node,
                               struct proposal *done);
MUST_USE enum status group_assign(struct group *group,
                                  uint64_t replica,
                                  enum member_role role,
                                  struct proposal *done);
MUST_USE enum status group_remove(struct group *group, uint64_t replica, struct proposal *done);
/* Hands leadership to a voter that has everything. on_done: OK or TIMEOUT. */
MUST_USE enum status group_transfer(struct group *group, uint64_t replica, struct proposal *done);

/* Answer to on_snapshot_wanted. status != OK: it failed, try again. state is the applied state
 * that the data holds (committed configuration only), manifest at most 64 KiB. */
void group_snapshot_made(struct group *group,
                         uint64_t token,
                         enum status status,
                         const struct group_state *state,
                         struct slice manifest);
/* Answer to on_snapshot_install. */
void group_snapshot_installed(struct group *group);

/* The state up to index is durable in the store: the log below may go. */
void group_flushed(struct group *group, uint64_t index);

struct group_info {
    uint64_t id, replica;
    enum group_role role; /* GROUP_LEADER only once announced. */
    uint64_t term;
    uint64_t leader_node; /* 0: unknown. */
    uint64_t commit_index, applied_index, last_index;
    uint64_t last_term; /* Of the last entry. */
    bool quiesced, lease;
    bool installing;                   /* A snapshot was accepted and is not installed yet. */
    struct group_conf conf;            /* In force. */
    uint64_t match[GROUP_MEMBERS_MAX]; /* Leader: acknowledged index per member of conf. */
};
void group_info(const struct group *group, struct group_info *info);

#endif
