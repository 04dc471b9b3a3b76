#ifndef REPLICATION_RAFT_GROUP_PRIVATE_H
#define REPLICATION_RAFT_GROUP_PRIVATE_H

#include <raft.h>

#include "common/base/assert.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rand.h"
#include "replication/raft/group_conf.h"
#include "replication/raft/guard.h"
#include "replication/raft/message.h"

/* The insides of host and group, shared by the files of this folder and their tests; nobody else
 * includes this. The library's structs are public in 0.15.0 and the guards read and write them, so
 * that their layout is pinned here. */
static_assert(sizeof(struct raft) == 656, "libraft2 0.15.0");
static_assert(sizeof(struct raft_entry) == 40, "libraft2 0.15.0");
static_assert(sizeof(struct raft_progress) == 56, "libraft2 0.15.0");

/* The library's raft_progress.state. */
enum { PROGRESS_PROBE = 0, PROGRESS_PIPELINE = 1, PROGRESS_SNAPSHOT = 2 };

enum {
    GROUP_MAGIC = 0x67727570,
    GROUP_PROPOSALS_MAX = 8,            /* Entries proposed here and not yet applied. */
    GROUP_PROPOSED_BYTES_MAX = 8 << 20, /* A single entry may be larger. */
    GROUP_ENTRY_SIZE_MAX = 32 << 20,
    GROUP_CHUNK_SIZE = 1 << 20, /* An AppendEntries on the wire, unless one entry is larger. */
    GROUP_CONTACTS_MAX = 2 * GROUP_MEMBERS_MAX,
    GROUP_REPLICA_MAX_BITS = 40, /* recv.c:82-86 compares an id with a pointer. */
};

/* One loop of a peer node. */
struct lane {
    struct peer *peer;
    unsigned loop;
    struct buf out; /* The batch of this turn: header and messages, or empty. */
    uint64_t seq_out, seq_in;
    uint64_t sent_ms, received_ms;
    bool used;            /* Some group talks to it: it gets pings. */
    struct list sleepers; /* Quiesced groups that its leaders lead: group.sleeper. */
};

struct peer {
    uint64_t node;
    uint64_t incarnation, incarnation_before;
    unsigned loops; /* Lanes are below. */
    struct lane *lanes[MESSAGE_LOOPS_MAX];
};

/* See early.h. */
struct early {
    struct list messages; /* The oldest first. */
    size_t count;
    size_t size;
};

struct host {
    struct host_options options;
    struct host_env env;
    struct wal *wal;
    struct wal_port *port;
    struct rand rand;
    struct map groups;         /* id -> group */
    struct map peers;          /* node -> peer */
    struct list awake;         /* group.awake: get ticks. */
    struct list storing;       /* group.storing: have records on their way to the disk. */
    struct list dirty;         /* group.dirty: have something to do at the end of the turn. */
    struct list asking;        /* group.asking: want a confirm round at the end of the turn. */
    struct list replica_reads; /* group.replica_read.ticked: reads at replicas are under way. */
    struct early early;
    uint64_t durable;    /* Last looked at wal_port_durable(). */
    uint64_t frozen_ms;  /* Not 0: the library is shown this time, see guard_solo. */
    uint64_t tail_bytes; /* Of all groups: log kept in memory. */
    uint64_t next_token;
    struct buf scratch, chunk; /* Messages being encoded. */
    unsigned guards_off;
    struct host_stats stats;
};

enum op_kind { OP_APPEND, OP_TRUNCATE, OP_INSTALL };

/* A change of the log on its way to the disk, in submission order. */
struct op {
    enum op_kind kind;
    uint64_t lsn;
    uint64_t first; /* Index of the first entry, or of the truncation, or of the snapshot. */
    unsigned count;
    struct raft_io_append *append;
    struct op *next;
};

/* A message that waits until what it rests on is on disk. */
struct parked {
    uint64_t lsn;
    uint64_t node;
    struct slice bytes; /* Behind this struct. */
    struct parked *next;
};

/* A proposal that is in the log and not yet applied, or failed and not yet reported. */
struct pending {
    struct group *group;
    struct raft_apply request;
    struct proposal *proposal;
    uint64_t index, term, size;
    bool in_core; /* The library will call back. */
    struct pending *next;
};

struct done {
    struct proposal *proposal;
    enum status status;
    struct done *next;
};

/* Reads that share one round; oldest first. */
struct read_round {
    uint64_t seq;   /* Valid when a quorum has answered this round or a later one; 0: confirmed. */
    uint64_t index; /* Readable when applied up to here. */
    struct group_read *reads;
    struct read_round *next;
};

/* What the leader said, and the reads that wait until as much is applied. */
struct replica_point {
    uint64_t index, stamp;
    struct message commit; /* What the leader could have sent to say that index is committed; */
    struct lane *lane;     /* from here. */
    uint64_t stored;       /* As of when the library was shown it last. */
    uint64_t asked_ns;     /* When the question left. */
    uint64_t began_ms;
    struct group_read *reads;
    struct replica_point *next;
};

/* Reads at a replica that does not lead: see replica_read.h. */
struct replica_read {
    struct list ticked;
    struct group_read *next;      /* Wait for the next question, */
    struct group_read *asked;     /* for the answer of the one under way, */
    struct replica_point *points; /* until enough is applied; oldest first. */
    bool flying, warm;
    bool refused; /* The leader did not answer, or not as one: those that ask are over, */
    bool late;    /* and those that wait for the point, if it is not applied by now. */
    uint64_t seq, sent_ns, sent_ms;
    uint64_t began_ms; /* When the oldest read that waits for an answer was asked for. */
    uint64_t fresh_ns; /* All that was committed then is applied; 0: nothing is known. */
    uint64_t stamp;    /* The leader's of then. */
};

/* What the leader knows of a member besides the library's progress, in this term. */
struct contact {
    uint64_t replica;
    uint64_t lease_ns; /* Newest own send time that it echoed after resetting its timer. */
    uint64_t confirmed_seq;
    uint64_t held_index; /* BARRIER: newest acknowledgement held back, 0: none. */
    uint64_t probe_prev; /* Entries behind this index were sent as a probe, unanswered. */
    uint64_t probe_ms;
};

/* A snapshot on its way to a follower, from snapshot_get to the end of the SNAPSHOT state. */
struct feed {
    uint64_t token;
    uint64_t replica;
    struct raft_io_snapshot_get *request; /* NULL once answered. */
    uint64_t not_before_ms;               /* Backoff after a failure. */
    bool wanted_told;
    bool made;
    enum status status;
    struct group_state state;
    struct buf manifest;
    uint64_t sent_ms;
    struct feed *next;
};

enum install_stage { INSTALL_NONE, INSTALL_STORING, INSTALL_TELL, INSTALL_TOLD, INSTALL_DONE };

/* InstallSnapshot being received. */
struct install {
    enum install_stage stage;
    struct raft_io_snapshot_put *request;
    struct raft_buffer *bufs; /* The library leaks it if it is closed meanwhile. */
    struct group_state state;
    struct buf manifest;
};

enum change_stage { CHANGE_NONE, CHANGE_IN_CORE };
enum handover_stage { HANDOVER_NONE, HANDOVER_CATCHING_UP, HANDOVER_IN_CORE };

struct sent {
    struct raft_io_send *request;
    raft_io_send_cb cb;
};

struct group {
    uint32_t magic;
    struct host *host;
    uint64_t id, replica;
    void *ctx;
    const struct group_machine *machine;
    char address[GROUP_ADDRESS_SIZE];

    struct list awake, storing, dirty, asking, sleeper;
    unsigned callbacks; /* Depth: the group may be closed inside one. */
    bool closed;
    bool broken;  /* The instance is UNAVAILABLE and waits to be made anew. */
    uint64_t cut; /* Not 0: entries from here on are dropped when the instance is made anew. */

    /* The core. */
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_tracer tracer;
    raft_io_tick_cb tick;
    raft_io_recv_cb receive;
    bool in_library, in_receive, closing;
    struct sent *sent; /* Finished sends whose callbacks are due. */
    size_t sent_count, sent_size;

    /* Durability. */
    uint64_t term_stored, vote_stored; /* As last written to the log. */
    uint64_t meta_lsn;                 /* Of the newest record that messages rest on. */
    uint64_t next_index;               /* Of the next append. */
    struct op *ops, **ops_end;
    struct parked *parked, **parked_end;

    /* What load() hands to the library. */
    struct raft_entry *load_entries;
    size_t load_count;
    uint64_t load_start;

    /* Applied. */
    struct group_state state;
    bool compacting; /* A local snapshot_put waits for its callback. */
    struct raft_io_snapshot_put *compact_request;
    uint64_t tail_bytes;
    uint64_t tail_next; /* Not trimmed again before it has grown to this. */

    /* Role. */
    unsigned short seen_state;
    uint64_t seen_term, seen_leader;
    uint64_t barrier_index; /* Of this leadership; 0: not yet in the log. */
    bool barrier_in_core;
    struct raft_barrier barrier;
    bool announced; /* Leader and told so. */
    enum group_role told_role;
    uint64_t told_term, told_leader;
    uint64_t leader_node; /* Of the leader last heard; 0: unknown. */
    struct lane *leader_lane;
    uint64_t commit_seen; /* Largest commit index heard from a leader. */
    bool yielded;         /* Let better placed members stand first. */

    /* Acknowledgements: guard_clamp. */
    uint64_t verified, verified_term, verify_on_accept;

    /* Proposals. */
    struct pending *pending, **pending_end;
    unsigned pending_count;
    uint64_t pending_bytes;
    struct done *done, **done_end;

    /* Reads and leases. */
    struct contact contacts[GROUP_CONTACTS_MAX];
    uint64_t contacts_term;
    struct read_round *rounds, **rounds_end;
    struct replica_read replica_read;
    uint64_t confirm_seq, confirm_sent_ms;
    uint64_t lease_suspect; /* Replica that was sent TimeoutNow; 0: none. */
    uint64_t lease_suspect_ns;
    uint64_t heard_ns, heard_term, heard_from; /* AppendEntries being received. */
    uint64_t echo_ns, echo_term, echo_to;      /* To be echoed. */
    uint64_t blackout_until_ms;                /* No votes before, see lease.h. */

    /* Membership. */
    enum change_stage change_stage;
    struct raft_change change;
    struct proposal *change_done;
    enum handover_stage handover_stage;
    struct raft_transfer transfer;
    struct proposal *handover_done;
    uint64_t handover_target, handover_deadline_ms;
    bool handover_ended;

    /* Snapshots. */
    struct feed *feeds;
    struct install install;

    /* Quiescence. */
    uint64_t active_ms; /* Last time that something happened. */
    bool quiesced;
    uint64_t last_tick_ms;
};

static inline bool guard_on(const struct group *group, enum guard guard)
{
    return (group->host->guards_off & (unsigned)guard) == 0;
}

#endif
