#ifndef SERVER_WORKER_PRIVATE_H
#define SERVER_WORKER_PRIVATE_H

#include <stdatomic.h>

#include "common/base/list.h"
#include "common/base/reader.h"
#include "common/cluster/shard_news.h"
#include "server/control/reconcile.h"
#include "server/hub.h"
#include "server/worker.h"

/* What worker.c, worker_op.c, worker_replica.c, worker_snapshot.c and worker_board.c share. */

/* What the leader of a frozen shard knows of the others. */
struct slot_merge {
    uint64_t deadline_ms; /* When it gives up; 0: not begun. */
    uint64_t next_ms;
    bool voided; /* The target went on without it. */
    unsigned count;
    uint64_t replicas[GROUP_MEMBERS_MAX]; /* That have it on disk that they are frozen. */
};

/* For a flush: the shard is frozen at that version. */
struct merge_mark {
    struct list link;
    uint64_t shard;
    uint64_t ver;
};

/* A replica whose shard was merged into another: to be closed once that is durable. */
struct absorbed {
    struct list link;
    uint64_t shard;
    uint64_t replica;
};

/* A replica that is open here. */
struct slot {
    struct worker *worker;
    struct shard *shard;
    struct list woken;             /* shard_turn() is due. */
    struct list touched;           /* Its state row is due. */
    struct list waiting;           /* Ops wait at it. */
    struct list counting;          /* Its keys are being counted. */
    const struct shard_desc *desc; /* In worker->map; NULL: it is not in there. */
    struct leader_hint told;
    struct reconcile_state reconcile;
    struct proposal step;
    bool stepping;
    bool look;     /* Its members are to be looked at in the next tick. */
    bool short_of; /* Led here, and fewer voters than wanted as of the last look. */
    bool installing;
    bool removing;
    bool sealed;   /* Frozen, and nothing more of it is written here, */
    bool durable;  /* and that is on disk. */
    bool absorbed; /* Another has its rows. */
    bool orphaned; /* Nobody will. */
    struct slot_merge merge;
    struct list merging; /* In worker->merging: frozen. */
    uint64_t bytes;      /* In the store, about, while it is led here. */
};

/* Someone who follows the map and the leaders. */
struct subscriber {
    struct list link;
    uint64_t number;
};

/* A replica being made: its first state must be durable before it says a word. */
struct birth {
    struct list link;
    struct shard_state state;
    bool reborn;  /* It was here before, in a group that is no more. */
    uint64_t lsn; /* Then: its last record in the log. */
    bool campaign;
    bool split;                /* It came with a split; its loop may be another. */
    struct shard_meter *meter; /* Then: what it had to do as a part of its parent. Owned. */
};

struct slow {
    struct list link;
    struct worker *worker;
    struct job job;
    struct slow_read read;
    struct op *op;
    struct shard *shard;
    size_t charged; /* To the gate, while it is read. */
};

struct worker {
    struct worker_env env;
    struct worker_options options;
    char *snap_dir;
    struct txn *txn;
    struct trial *trial;
    struct script_desk desk;
    struct wal_port *port;
    struct host *host;
    struct transfer *transfer;
    struct throttle unlimited;
    struct shard_env shard_env;
    struct buf entry, planned, reply, events;
    struct rand rand;
    struct map slots; /* shard id -> struct slot */
    struct list woken;
    struct list touched;
    struct list waiting; /* Shards where ops wait, */
    size_t waiters;      /* and how many. */
    struct map waits; /* struct worker_op from frames and clients that may wait, by who sent it. */
    struct list slow_waiting; /* For the next commit: then a view shows what they may read. */
    struct list slow_queues;  /* Have their view, and wait until their gate is less crowded. */
    struct list outgoing;     /* Large replies that leave in parts. */
    struct map gates;         /* link -> struct gate: connections that asked for something. */
    struct list births;       /* Waiting for the next commit, then for the flush. */
    struct list early;        /* Removals of replicas that are not open yet. */
    struct list installs;     /* Waiting for the next commit. */
    struct list wanted;       /* Snapshots to be sent: waiting for the next commit. */
    struct list held;         /* Replicas to be made once their range is free: struct held. */
    struct list merging;      /* Frozen shards. */
    struct list absorbed;     /* Their ends, for the next commit, then for the flush. */
    struct list counting;     /* Shards whose keys are being counted. */
    struct list removals;
    struct list drops;     /* Removals whose end in the log is not durable yet. */
    struct backup *backup; /* NULL: none is under way. */
    size_t rebirths;       /* Replicas that are being made anew: worker_recover.h. */
    size_t jobs;
    struct shard_map map;
    struct buf map_bytes;
    struct shard_map routes; /* The map with what was heard since; for fronts, not for agents. */
    struct map leaders;     /* shard id -> struct leader_hint *: what this node leads, all loops. */
    struct shard_news news; /* The last that were told, the oldest first. */
    struct map heard;   /* shard id -> struct leader_hint *: what other nodes say that they lead. */
    uint64_t meta_term; /* The highest of a leader of the meta group that asked something here. */
    struct map leavers; /* Ids of nodes that are about to stop; all values are this worker. */
    struct list subscribers;
    struct map refusals; /* struct refusal: see worker_op.c. */
    struct hub hub;
    struct list ops_free;
    size_t ops_free_count;
    bool freezing; /* Some shard was frozen since the last commit. */
    bool flush_wanted;
    bool ranged;     /* Some range may be news to the map. */
    bool quit;       /* There are no replicas here any more. */
    bool leaving;    /* Leadership is being given away. */
    bool commit_due; /* Something has been left in the txn for long enough. */
    uint64_t commit_ms;
    bool meta_due;      /* The meta group's rows changed and the commit stalled. */
    bool overloaded;    /* The engine is behind: nothing is proposed. */
    bool stalled;       /* It refused a commit since the last tick. */
    uint64_t second_ms; /* When the once-a-second work was done. */
    uint64_t look_ms;   /* When the groups that are short were looked at. */
    uint64_t quick_ms;  /* Until then these are looked at often: something changed lately. */
    bool look;          /* Some slot has `look`. */
    bool look_all;      /* The map or a connection changed: all groups led here. */
    uint64_t load_ms;   /* When the loads were measured. */
    uint64_t load_thread_ns;
    uint64_t load_cpu; /* Of the thread, microseconds per second. */
    uint64_t sizes_ms;
    bool sizing;
    struct worker_stats stats;
};

struct slot *worker_slot(struct worker *worker, uint64_t shard);
struct slot *worker_slot_of(struct worker *worker, const struct shard *shard);

/* worker_replica.c */
void replica_open(struct worker *worker, const struct shard_state *state, bool campaign);
void replica_open_reborn(struct worker *worker, const struct shard_state *state);
void replica_after_commit(struct worker *worker);
void replica_after_sync(struct worker *worker);
/* Every tick: removals, and the members of the groups that are led here. */
void replica_tick(struct worker *worker, uint64_t now_ms);
/* The members of a group that is led here are to be looked at soon. */
void replica_look_soon(struct slot *slot);
void replica_drop(struct worker *worker, struct slot *slot);
/* Bit i: the node of member i is connected to this loop and means to stay, or is this one. */
unsigned replica_connected(struct worker *worker, const struct group_info *info);
void worker_free_waiting(struct worker *worker);

/* worker_rows.c */
/* Visits the state rows of all replicas in the store, those of other loops as they committed them.
 */
MUST_USE enum status replica_each_row(struct worker *worker,
                                      void (*visit)(void *arg, struct slice value),
                                      void *arg);
/* The newest replica of the shard that was tombstoned here; 0: none. */
uint64_t replica_tombstone(struct worker *worker, uint64_t shard);

/* The rows of a replica but for those by token, and a tombstone in their place. */
void replica_delete_local(struct worker *worker, const struct shard_state *state);
/* With those by token. */
void replica_delete_rows(struct worker *worker, const struct shard_state *state);
/* What was here as `old` is what state says from the next commit on. */
void replica_rename(struct worker *worker, uint64_t old, const struct shard_state *state);

/* worker_merge.c */
enum { NOTE_BULK = 64 }; /* First byte of a FRAME_BULK that is for merge_receive(). */
const char *merge_unfit(void *ctx, struct shard *shard, uint64_t target, uint64_t target_ver);
void merge_frozen(void *ctx, struct shard *shard);
void merge_opened(struct worker *worker, struct slot *slot);
void merge_after_commit(struct worker *worker);
/* What a flush that begins now makes durable, and that it did. */
void merge_note_durable(struct worker *worker, struct list *marks);
void merge_durable(struct worker *worker, const struct merge_mark *mark);
void merge_receive(struct worker *worker, struct slice body);
void merge_tick(struct worker *worker, uint64_t now_ms);
void merge_absorbed(void *ctx, struct shard *shard, const struct shard_state *source);
/* False while the rows of a frozen shard may be the target's. */
bool merge_may_fill(struct worker *worker, const struct shard *shard);
/* Nobody will ever take over a frozen shard here: the target has left this node. */
bool merge_orphaned(struct worker *worker, struct slot *slot);
/* The source is a part of what the target has become. */
bool merge_covers(const struct shard_desc *target, const struct shard_state *source);
/* A snapshot of a target was installed: sources that it has absorbed end here. */
void merge_installed(struct worker *worker, const struct shard_desc *target);
/* That is durable now; frees absorbed. */
void merge_end(struct worker *worker, struct absorbed *absorbed);

/* worker_change.c */
/* Tells everyone what the shard has become, and what of it became others. */
void change_tell(struct worker *worker, struct shard *shard);
/* Nothing here holds tokens of the shard's range but the shard itself. */
bool change_may_fill(struct worker *worker, const struct shard_desc *desc);
/* A replica that was let go before its shard was absorbed, which the agent did not hear of in time,
 * or while this node was down: the map has no such shard, and nothing here needs the rows. */
bool change_left_behind(struct worker *worker, const struct slot *slot);
/* False: nothing stands against making the replica. Else it is made once that is so, or never if it
 * comes with a split or did already. */
bool change_hold(struct worker *worker, const struct shard_desc *desc, uint64_t replica);
/* It shall not be made any more. False: it is not held. */
bool change_drop_held(struct worker *worker, uint64_t shard, uint64_t replica);
/* second: once a second. */
void change_tick(struct worker *worker, bool second);
void change_free(struct worker *worker);
bool change_may_bear(void *ctx, uint64_t child, uint64_t replica);
void change_divided(void *ctx, struct shard *shard, const struct shard_state *child);
void change_after_commit(struct worker *worker);
/* Another loop may write the rows of these tokens, and of the shard, from now on. */
void change_forget(struct worker *worker, const struct shard_desc *desc);
/* A child whose first state is durable, on whichever loop. Takes meter, which may be NULL. */
void change_open(struct worker *worker,
                 const struct shard_state *state,
                 bool campaign,
                 struct shard_meter *meter);
/* A snapshot has made the shard smaller: the rest's rows, which nobody owns here, go. */
void change_shrink(struct worker *worker,
                   const struct shard_state *before,
                   const struct shard_desc *now);
/* The body of the reply NOT_OWNER: shards that have, or had, what op asks for. */
void change_write_owners(struct worker *worker, const struct op *op, struct buf *out);

/* worker_group.c. GROUP.INFO of a group that is led here. */
void worker_group_report(struct worker *worker, struct shard *shard, struct buf *reply);
/* GROUP.LEAD, GROUP.PACE. BUSY: a step of its membership is under way. BAD_ARGUMENT. */
MUST_USE enum status worker_group_obey(struct worker *worker,
                                       struct slot *slot,
                                       const struct worker_op *op);

/* worker_snapshot.c */
void snapshot_wanted(void *ctx, struct shard *, const struct group_member *to, uint64_t token);
void snapshot_install(void *ctx, struct shard *, const struct group_state *, struct slice manifest);
bool snapshot_ready(void *ctx, struct shard *, const struct group_state *, struct slice manifest);
void snapshot_after_commit(struct worker *worker);
void snapshot_sent(
    void *ctx, uint64_t shard, uint64_t token, enum status status, const struct manifest *manifest);
bool snapshot_is_current(void *ctx, const struct shard_desc *desc);
void snapshot_free_waiting(struct worker *worker);
/* At start: finishes an installation that a crash interrupted. */
enum status snapshot_resume(struct worker *worker, struct shard_state *state);

/* worker_board.c */
void board_subscribe(struct worker *worker, uint64_t link, uint64_t version);
void board_role(void *ctx, struct shard *shard);
void board_forget(struct worker *worker, uint64_t link);
/* How many voters a shard that is led here has, see struct leader_hint. Told if it is news. */
void board_voters(struct worker *worker, struct slot *slot, uint64_t voters);
/* Tells everyone that this node is about to stop. */
void board_leave(struct worker *worker);
/* Shards here changed their ranges: on all loops, and to all who follow. */
void board_descs(struct worker *worker, const struct shard_news *news);
bool board_is_leaving(const struct worker *worker, uint64_t node);
void board_free(struct worker *worker);

/* worker_op.c */
enum status op_request(struct worker *worker, uint64_t link, struct slice body);
/* The connection is gone, with everything that was refused on it. */
void op_forget(struct worker *worker, unsigned loop, uint64_t link);
void op_free_waiting(struct worker *worker);
/* FRAME_CANCEL. */
enum status op_cancel(struct worker *worker, uint64_t link, struct slice body);
void op_parked(void *ctx, struct shard *shard);

/* worker_hub.c. A NODE_COMMAND at its shard, op->op.shard: appends one reply. NOT_LEADER,
 * BAD_ARGUMENT. */
MUST_USE enum status worker_hub_run(struct worker *worker,
                                    const struct worker_op *op,
                                    struct buf *reply);

/* Keyspace events of a shard that is led here. */
void worker_hub_happened(void *ctx, struct shard *shard, struct slice events);

/* worker_slow.c */
bool slow_crowded(void *ctx, struct op *op);
void slow_begin(void *ctx, struct shard *shard, struct op *op);
void slow_after_commit(struct worker *worker);
void slow_tick(struct worker *worker);
/* No job is running: ends what was not begun, while the shards are still there. */
void slow_close(struct worker *worker);
/* worker_load.c */
void load_tick(struct worker *worker, uint64_t now_ms);
/* The part of a shard's load that goes to its child: to be given to load_adopt(), or freed with
 * load_drop(). */
struct shard_meter *load_divide(struct shard *shard, const struct shard_desc *child);
void load_adopt(struct shard *shard, struct shard_meter *meter);
void load_drop(struct shard_meter *meter);

/* worker_backup.c. Makes the commit due if that is what a backup waits for. */
void backup_turn(struct worker *worker);
void backup_after_commit(struct worker *worker);
/* The replica closes. */
void backup_forget(struct worker *worker, uint64_t shard);
void backup_tick(struct worker *worker, uint64_t now_ms);
void backup_close(struct worker *worker);

/* worker_part.c. On the connection's loop. True: the reply is taken, and leaves in parts. */
bool part_begin(struct worker *worker, struct worker_op *op, struct slice reply);
void part_turn(struct worker *worker);
void part_close(struct worker *worker);

/* What a connection is owed. On its own loop: */
struct gate *slow_gate_enter(struct worker *worker, uint64_t link);
void slow_gate_close(struct worker *worker, uint64_t link);
void slow_gate_look(struct worker *worker, struct gate *gate);
void slow_gate_free_all(struct worker *worker);
/* On any loop; gate may be NULL. */
void slow_gate_leave(struct gate *gate);
void slow_gate_charge(struct gate *gate, size_t size);
void slow_gate_settle(struct gate *gate, size_t size);

/* Copies bytes into mail that runs `run` on another loop's worker. */
struct bytes_mail {
    struct worker_mail mail;
    uint64_t node;
    size_t len;
    uint8_t bytes[];
};
void worker_post_bytes(struct worker *worker,
                       unsigned loop,
                       uint64_t node,
                       struct slice bytes,
                       void (*run)(struct worker *to, struct worker_mail *mail));

#endif
