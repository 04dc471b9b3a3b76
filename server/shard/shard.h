#ifndef SERVER_SHARD_SHARD_H
#define SERVER_SHARD_SHARD_H

#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/cluster/shard_map.h"
#include "replication/group.h"
#include "server/machine/machine.h"
#include "server/script/trial.h"
#include "server/shard/shard_meter.h"
#include "server/store/store.h"

/* One replica of one shard: where its raft group, its machine and the store meet. Writes that
 * arrive in one turn of the loop become one log entry; every replica applies entries through the
 * loop's txn; reads ask the group for a read point first.
 *
 * Order: two ops of one sender on the same key take effect in the order in which they were
 * submitted: writes by their place in the log; a read waits for the writes before it whose keys
 * it might touch.
 *
 * Thread: the loop that the shard was given. No callback runs inside the call that asked for it,
 * but op->on_done may run inside shard_submit(). */

struct shard;
struct shard_state;
struct op;

/* What runs on a shard: the data machine, or the meta group's. */
struct shard_machine {
    bool divides; /* Its range may be split and merged: divide.h. */
    enum status (*plan)(const struct machine_plan_input *, struct buf *planned, struct buf *reply);
    enum status (*apply)(struct txn *,
                         struct machine_state *,
                         const struct machine_apply_input *,
                         struct buf *reply);
    enum status (*advance)(struct txn *,
                           struct machine_state *,
                           struct machine_scope,
                           uint64_t now_ms,
                           struct buf *events);
    bool (*advance_wanted)(struct txn *,
                           const struct machine_state *,
                           struct machine_scope,
                           uint64_t now_ms);
    enum status (*read)(struct txn *,
                        const struct machine_state *,
                        const struct machine_read_input *,
                        struct buf *reply);
    /* Of machines that have commands that wait. */
    enum status (*ready)(struct txn *,
                         const struct machine_state *,
                         const struct machine_read_input *,
                         bool first,
                         uint64_t *count);
};

/* What an op needs that may wait until there is something for it to take. */
struct op_wait {
    bool wanted;       /* It may; else there is nothing more in here. */
    bool retry;        /* An earlier try may have been applied: its record is asked first. */
    bool parked;       /* It has waited, here or elsewhere. */
    uint64_t until_ms; /* clock_now_ms(); UINT64_MAX: for ever. Then it is answered with nothing. */
    struct slice known; /* What its arguments meant when it came first, if it waited elsewhere. */
    /* It waits now, for the first time here. May be NULL. */
    void (*on_parked)(struct op *op);

    /* The shard's own. */
    bool told;
    bool cancelled;
    bool gone;     /* Its sender is, too: what it is told nobody hears. */
    bool replaced; /* The same request came again. */
    bool repeated; /* Other tries of it may be on their way to a log. */
    bool last; /* That it ends in vain is to be recorded, so that no other try takes anything. */
    bool nothing;
    struct waiter *waiter;
    struct buf frozen; /* Of a read, see struct machine_read_input. */
};

/* One command on its way. Embedded by whoever sent it; everything it points to lives until
 * on_done, which comes exactly once: OK with one RESP value in the machine's form (valid during
 * the call), or a status as in struct frame_reply. */
struct op {
    struct list link; /* The shard's own, as the next three. */
    struct shard *shard;
    struct group_read read;
    size_t reply_end;
    uint64_t barrier; /* Number of a write; of a read: of the newest write before it. */
    enum status status;
    bool counted;
    size_t reply_size;   /* Of a read that is to be slow: about, 0: not known. */
    bool trial;          /* A script, or a transaction that holds one. */
    bool slow;           /* A script that takes too long for a loop. */
    struct tried *tried; /* What came of it elsewhere, or its long reply. */

    const struct command *command; /* NULL for commands of the meta group. */
    bool write;
    uint8_t db;
    struct args args;
    uint64_t ver; /* Not 0: NOT_OWNER unless the descriptor has it, see REQUEST_EXACT. */
    uint64_t session, seq, first_unacked; /* Of writes. */
    bool sought; /* A script that is unknown here is so everywhere: NOSCRIPT, not NO_SCRIPT. */
    bool staged; /* Its value comes, or came, in pieces: */
    struct machine_stage stage;
    bool replica;        /* A read that a replica may answer which does not lead. */
    uint64_t bound_ms;   /* Of one: how old what it sees may be; 0: it is linearizable. */
    uint64_t replica_ms; /* The shard's own: the time of the machine that it sees, at least. */
    uint64_t expires_ms; /* clock_now_ms() after which nobody waits: not started any more. */
    struct op_wait wait;
    void (*on_done)(struct op *op, enum status status, struct slice reply);
};

/* The scripts of a loop that run off it. SCRIPT KILL ends them all: it may come by way of any
 * shard, as the way to the one that is busy may be blocked by what is busy. */
struct script_desk {
    size_t slow;
    atomic_bool killed; /* Until all have ended. */
};

/* What a shard needs of the worker that holds it. */
struct shard_env {
    void *ctx;
    struct host *host;
    struct txn *txn;     /* The loop's. */
    struct buf *entry;   /* The loop's scratch for the entry being built, */
    struct buf *planned; /* for one planned command, */
    struct buf *reply;   /* for a reply, */
    struct buf *events;  /* and for keyspace events. Empty between uses. */
    struct trial *trial; /* Where scripts run; NULL: nowhere. */
    struct trial_limits script_limits;
    struct script_desk *desk; /* Not NULL if trial is not. */
    struct rand *rand;
    /* shard_turn() is wanted before this loop turn ends. */
    void (*wake)(void *ctx, struct shard *shard);
    /* The state row must be written before the loop's next txn_commit(): shard_store_state(). */
    void (*touched)(void *ctx, struct shard *shard);
    /* Role, term or leader changed: see shard_leader(). */
    void (*on_role)(void *ctx, struct shard *shard);
    /* A read needs the disk, or a script (op->write) needs long: run shard_read_slow() with op on a
     * view of the committed state, of a script on one that can be written to, off the loop; then
     * shard_read_done() on it. */
    void (*read_slow)(void *ctx, struct shard *shard, struct op *op);
    /* Who sent op is owed much already: a large reply to it is not made now, but by read_slow. May
     * be NULL: nobody ever is. */
    bool (*crowded)(void *ctx, struct op *op);
    /* An op waits: shard_wait_tick() is wanted. */
    void (*parked)(void *ctx, struct shard *shard);
    size_t *waiters; /* Ops of the loop that wait or have waited, */
    size_t waiters_max;
    /* True while nothing (or, second, nothing that grows) may be written: too little disk. */
    bool (*refuse_writes)(void *ctx, bool grows);
    /* Keyspace events (server/machine/event.h) of a shard that is led here: an entry was applied.
     * May be NULL. */
    void (*happened)(void *ctx, struct shard *shard, struct slice events);
    /* A split is being applied. False: this node may not get that replica of the child, as it had a
     * younger one. */
    bool (*may_bear)(void *ctx, uint64_t child, uint64_t replica);
    /* A split was applied. child: its replica here, whose state is in the txn: it is to be opened
     * once that is durable. NULL: there is none. */
    void (*divided)(void *ctx, struct shard *shard, const struct shard_state *child);
    /* NULL, or why the target, at that version, could not take the shard over: an error's text. */
    const char *(*unfit)(void *ctx, struct shard *shard, uint64_t target, uint64_t target_ver);
    /* The shard was frozen, or is not any more, as of its applied state. */
    void (*frozen)(void *ctx, struct shard *shard);
    /* The shard took the source over, whose replica here is to go: all its rows of STORE_LOCAL are
     * to be deleted now. */
    void (*absorbed)(void *ctx, struct shard *shard, const struct shard_state *source);
    /* Snapshots, see server/shard/transfer.h. */
    void (*snapshot_wanted)(void *ctx,
                            struct shard *shard,
                            const struct group_member *to,
                            uint64_t token);
    void (*snapshot_install)(void *ctx,
                             struct shard *shard,
                             const struct group_state *state,
                             struct slice manifest);
    bool (*snapshot_ready)(void *ctx,
                           struct shard *shard,
                           const struct group_state *state,
                           struct slice manifest);
};

/* The state row of a shard, STORE_LOCAL key: shard (8 bytes, big endian) | 'A'. */
struct shard_state {
    uint64_t replica;
    struct shard_desc desc; /* Range and version as of the applied index. */
    struct group_state group;
    struct machine_state machine;
    /* Frozen: it waits for `target` to absorb it at version target_ver, and does nothing. Its own
     * version, which is above that before, tells this attempt from all others. 0: it is not. */
    uint64_t target, target_ver;
};

void shard_state_key(uint64_t shard, struct buf *out);
void shard_state_encode(const struct shard_state *state, struct buf *out);
MUST_USE enum status shard_state_decode(struct slice bytes, struct shard_state *state);

/* State of a birth member of a new shard; of a member that waits for a snapshot. */
void shard_state_birth(const struct shard_desc *desc, uint64_t replica, struct shard_state *state);
void shard_state_empty(const struct shard_desc *desc, uint64_t replica, struct shard_state *state);

enum shard_start {
    SHARD_GOES_ON,
    SHARD_STANDS, /* For election, at once. */
    SHARD_REBORN, /* As what is left of a group: see group_options.reborn. Stands too. */
};

/* Opens the group behind *state, which the store holds already. */
MUST_USE enum status shard_open(const struct shard_env *env,
                                const struct shard_machine *machine,
                                const struct shard_state *state,
                                enum shard_start start,
                                struct shard **shard);
/* Everything pending is done with CLOSED before this returns. Reads on the pool are over. */
void shard_close(struct shard *shard);

void shard_submit(struct shard *shard, struct op *op);
/* Proposes what was gathered, if the group has room. */
void shard_turn(struct shard *shard);
/* About once a second, leaders: proposes an empty entry if expired keys wait for one. */
void shard_tick(struct shard *shard, uint64_t now_ms);

/* A command of command_shard.def: what the control plane asks of the shard's leader. Replies are
 * errors that begin with RETRY (not now), REFUSED (never) or STALE (the shard's version is
 * another), else OK once the change is applied here. BAD_ARGUMENT, NOT_LEADER, LEADERSHIP_LOST: the
 * outcome is unknown, CLOSED. */
void shard_change_submit(struct shard *shard, struct op *op);
/* It waits for another to absorb it: all is refused with BUSY, and nothing is applied. */
bool shard_frozen(const struct shard *shard);
/* A change of its range is in flight. */
bool shard_changing(const struct shard *shard);
/* Proposes the change, if it is the leader, the version is right and there is room. It may come to
 * nothing. */
struct range_change;
void shard_merge_propose(struct shard *shard, const struct range_change *change);
/* The shard's range and version as its log has them, its members as the map wants them. */
void shard_describe(const struct shard *shard, struct shard_desc *desc);
/* Shards that became of tokens that this one had, the latest SHARD_KIN_MAX that this process knows
 * of, as they were then. Returns how many. */
enum { SHARD_KIN_MAX = 16 };
size_t shard_kin(const struct shard *shard, const struct shard_desc **kin);
/* All keys that the op names are the shard's, as of the applied state. */
bool shard_owns(const struct shard *shard, const struct op *op);
/* True while its keys are being counted: shard_count_tick() is wanted at every tick. */
bool shard_counting(const struct shard *shard);
void shard_count_tick(struct shard *shard, uint64_t now_ms);

/* shard_fence.c. A leader begins no new entry until shard_unfence(); what comes is gathered, reads
 * go on. Settled: what was proposed before is applied. It is the caller's to end it soon, whether
 * the shard still leads or not. */
void shard_fence(struct shard *shard);
void shard_unfence(struct shard *shard);
bool shard_settled(const struct shard *shard);

/* An op that may wait is done waiting: answered with nothing, unless it has taken something. Ends
 * it now or soon. */
void shard_cancel(struct shard *shard, struct op *op);
/* Its sender is gone, or will send it again: nothing is decided about it. */
void shard_abandon(struct shard *shard, struct op *op);
/* At every tick: those whose time is over. */
void shard_wait_tick(struct shard *shard, uint64_t now_ms);
/* How many wait. */
size_t shard_waiting(const struct shard *shard);

/* Puts the state row into the loop's txn. */
void shard_store_state(struct shard *shard);
/* The store is durable up to the shard's state as of the mark. */
void shard_flush_mark(struct shard *shard);
void shard_flushed(struct shard *shard);

/* On a pool thread: reads through view into *reply, which shard_read_done() takes back on the
 * loop. Touches nothing of the shard that changes while the read runs. */
struct slow_read {
    struct op *op;
    struct shard *shard;
    struct txn *view;
    struct machine_scope scope;
    uint64_t ver; /* Of the descriptor that scope is of. */
    struct machine_state state;
    const struct shard_machine *machine;
    struct machine_load load;
    uint64_t now_ms;
    uint64_t seed;
    enum status status;
    bool nothing;
    struct buf reply;
    uint64_t spent_ns;         /* Of the pool's thread. */
    const atomic_bool *killed; /* Of a script. */
    struct trial_limits script_limits;
    uint64_t index, term;
    uint64_t installs; /* As of the view, see struct shard. */
    bool refuse_growth;
    struct tried *tried; /* Of a script that may write. */
    struct buf sources;  /* Of scripts that are known here by their SHA-1. */
};
void shard_read_prepare(struct shard *shard, struct op *op, struct slow_read *read);
void shard_read_slow(struct slow_read *read);
void shard_read_done(struct slow_read *read);

/* The follower installed a snapshot: what the store now holds. */
void shard_installed(struct shard *shard, const struct shard_state *state);

struct group *shard_group(struct shard *shard);
const struct shard_state *shard_state(const struct shard *shard);
uint64_t shard_id(const struct shard *shard);
struct leader_hint shard_leader(const struct shard *shard);
bool shard_leads(const struct shard *shard);
/* The descriptor's replicas changed in the map (not the range: that is the log's). */
void shard_want(struct shard *shard, const struct shard_desc *desc);
/* Nothing is gathered, proposed or being read. */
bool shard_quiet(const struct shard *shard);

struct shard_stats {
    uint64_t writes, reads, slow_reads, entries, not_leader, refused;
    uint64_t slow_scripts, killed_scripts;
    uint64_t replica_reads;   /* At a replica, after the leader was asked, */
    uint64_t replica_bounded; /* and without asking it, as it was young enough, */
    uint64_t replica_stale;   /* or asked as it was not; */
    uint64_t replica_refused; /* sent to the leader. */
};
const struct shard_stats *shard_stats(const struct shard *shard);
/* What this replica has to do; the worker shares out the time of its thread. */
struct shard_meter *shard_meter(struct shard *shard);

#endif
