#ifndef SERVER_MACHINE_MACHINE_H
#define SERVER_MACHINE_MACHINE_H

#include "common/base/buf.h"
#include "common/base/sha1.h"
#include "common/base/status.h"
#include "common/proto/command.h"
#include "server/store/store.h"

/* The replicated state machine of one shard: a function of (state, command) to (writes, reply).
 * Same state, same command: same writes and same reply, on every replica. So: no clock, no
 * randomness, no logging, no threads in this folder; time and seeds enter once, in struct
 * machine_plan_input, and travel in the entry.
 *
 * plan   leader only, before the log: checks the arguments, turns relative times into absolute
 *        ones, writes the command in the form that apply reads.
 * apply  every replica, after commit, in log order.
 * read   leader (or a replica allowed to), on a txn that sees the applied state.
 *
 * Replies are one RESP value each in the machine's form: RESP3, but a null array is "*-1\r\n";
 * resp_convert() makes RESP2 or RESP3 of it at the session. */

/* What a machine may know of its shard. */
struct machine_scope {
    uint64_t shard;
    uint64_t start; /* First token. */
    uint64_t last;  /* Last token. */
};

/* State that every txn commit carries along with the applied index; part of the shard's state row
 * and of its snapshots. Zero in a new shard. */
enum { MACHINE_DATABASES = 16 };
struct machine_state {
    uint64_t time_ms;                 /* Stamp of the newest entry: the shard's own time. */
    uint64_t keys[MACHINE_DATABASES]; /* Keys per database, the expired but not yet removed too. */
    uint64_t version;       /* Grows by one for every command applied: versions of keys. */
    uint64_t expiry_ms;     /* No key expires before; 0: none expires. */
    uint64_t sweep_ms;      /* When sessions are looked through next; 0: there are none. */
    uint64_t sweep_session; /* Where that goes on; 0: at the first. */
    uint64_t garbage;       /* Removed collections whose elements are still there. */
    uint32_t notify;        /* Keyspace events that are published: common/proto/notify.h. */
    uint64_t expires[MACHINE_DATABASES]; /* Of the keys, those with a time to live. */
    /* When the keys of database 0 are counted on; until then its counters are estimates. 0: they
     * are exact. See recount.h. */
    uint64_t recount_ms;
};

void machine_state_encode(const struct machine_state *state, struct buf *out);
struct reader;
bool machine_state_decode(struct reader *in, struct machine_state *state);

/* A value that is too large for one entry. Pieces of it come first, in order, each planned as a SET
 * of its own whose value is the piece; at last the command itself, whose value is empty then. All
 * under one session. */
struct machine_stage {
    uint64_t id;     /* Of the value, unique in its session. */
    uint64_t size;   /* Of the value. */
    uint64_t offset; /* Of the piece. */
    bool piece;
};

/* How a command that may wait (CMD_BLOCKING) is to behave when there is nothing for it to take. */
enum machine_wait {
    MACHINE_WAIT_NEVER, /* As if its time were over: in transactions and scripts. */
    MACHINE_WAIT_FIRST, /* Nothing is recorded, so that it may be applied again. */
    MACHINE_WAIT_AGAIN, /* It waits already: besides, keys of other types are passed over. */
    MACHINE_WAIT_LAST,  /* It has waited: as AGAIN, but what comes of it is recorded. */
};
/* Keys of other types are passed over. */
static inline bool machine_wait_passes(uint64_t wait)
{
    return wait == MACHINE_WAIT_AGAIN || wait == MACHINE_WAIT_LAST;
}
/* If there is nothing for it, nothing is recorded. */
static inline bool machine_wait_goes_on(uint64_t wait)
{
    return wait == MACHINE_WAIT_FIRST || wait == MACHINE_WAIT_AGAIN;
}

struct machine_plan_input {
    const struct command *command;
    struct args args;
    uint8_t db;
    enum machine_wait wait;
    uint64_t now_ms;                   /* The shard's time. */
    uint64_t seed;                     /* For commands that choose at random. */
    const struct machine_stage *stage; /* NULL: the value stands among the arguments. */
    bool nested;                       /* In a transaction: nobody may be made to wait. */
    bool script;                       /* A script calls it. */
};

/* Appends the planned command to *planned and returns OK; or appends an error reply to *reply
 * and returns BAD_ARGUMENT: nothing is to be proposed. */
MUST_USE enum status machine_plan(const struct machine_plan_input *input,
                                  struct buf *planned,
                                  struct buf *reply);

struct machine_apply_input {
    struct machine_scope scope;
    struct slice planned; /* What machine_plan() wrote. */
    uint64_t now_ms;      /* Stamp of the entry. */
    uint64_t session;     /* 0: not deduplicated. */
    uint64_t seq;
    uint64_t first_unacked;
    struct buf *events; /* Where keyspace events go (event.h); NULL: nowhere. */
    /* What others may be waiting for: lists, sorted sets and streams that this wrote, each u8 type
     * | u32 length, key of the metadata row. KEYSPACE_ANY and no key: a database was flushed. NULL:
     * nobody asks. */
    struct buf *ready;
    bool *nothing; /* Set if it waits, and found nothing. NULL: nobody asks. */
};

/* Appends exactly one RESP value to *reply. A (session, seq) that was applied before changes
 * nothing and gets the reply of that time. Every key is checked against the scope: NOT_OWNER, with
 * nothing changed and nothing recorded, is a result like any other and the caller's to send. Any
 * other status than OK means that this replica is broken (IO, CORRUPT): its node must stop. What
 * the user did wrong is in the reply, never in the status. */
MUST_USE enum status machine_apply(struct txn *txn,
                                   struct machine_state *state,
                                   const struct machine_apply_input *input,
                                   struct buf *reply);

/* What machine_apply() does about repetitions, by itself, for what is tried out before the log:
 * whether (session, seq) was applied, and then its reply; and that it is applied now. */
MUST_USE enum status machine_known(struct txn *txn,
                                   struct machine_state *state,
                                   const struct machine_apply_input *input,
                                   struct buf *reply,
                                   bool *known);
MUST_USE enum status machine_record(struct txn *txn,
                                    struct machine_state *state,
                                    const struct machine_apply_input *input,
                                    struct slice reply);

/* The source of a script that SCRIPT LOAD brought. NOT_FOUND, AGAIN. */
MUST_USE enum status machine_script(struct txn *txn,
                                    struct machine_scope scope,
                                    const uint8_t sha[SHA1_SIZE],
                                    struct buf *source);

/* Once per log entry, before its commands: moves the shard's time, removes a bounded number of
 * expired keys and of sessions not heard of for long. events: as for apply. IO, CORRUPT as above.
 */
MUST_USE enum status machine_advance(struct txn *txn,
                                     struct machine_state *state,
                                     struct machine_scope scope,
                                     uint64_t now_ms,
                                     struct buf *events);
/* True if machine_advance() at now_ms would have work: the leader of an idle shard then proposes
 * an empty entry. */
bool machine_advance_wanted(struct txn *txn,
                            const struct machine_state *state,
                            struct machine_scope scope,
                            uint64_t now_ms);

/* What a leader knows of its shard besides the state. */
struct machine_load {
    uint64_t ops_per_second[MACHINE_DATABASES];
};

struct machine_read_input {
    struct machine_scope scope;
    const struct command *command;
    struct args args;
    uint8_t db;
    uint64_t now_ms; /* The shard's time: not before the newest entry's stamp. */
    uint64_t seed;
    bool script;                     /* A script asks. */
    const struct machine_load *load; /* NULL: not known. */
    bool *nothing;                   /* Set if it waits, and found nothing. NULL: nobody asks. */
    /* Of one that waits: what its arguments meant when it came, such as the "$" of XREAD. Written
     * with the first reply in vain, and read from then on. NULL: it does not wait. */
    struct buf *frozen;
};

/* AGAIN: the txn is cache-only and the disk is needed; *reply is as it was. NOT_OWNER. */
MUST_USE enum status machine_read(struct txn *txn,
                                  const struct machine_state *state,
                                  const struct machine_read_input *input,
                                  struct buf *reply);

/* Whether a command that may wait, as it was sent, would find something now: for *count of its kind
 * there is; UINT64_MAX: for this one, others are to be asked for themselves. first: an error that
 * it would get counts too, as it does before it waits. AGAIN, IO, CORRUPT. */
MUST_USE enum status machine_ready(struct txn *txn,
                                   const struct machine_state *state,
                                   const struct machine_read_input *input,
                                   bool first,
                                   uint64_t *count);
/* True if the command may wait at all; else it is answered at once. */
bool machine_waits(const struct command *command);
/* What it waits for: the type of value, and the nth key of it; 0: no more. */
struct machine_want {
    uint8_t type;
    size_t index; /* Of the argument. */
};
bool machine_wants(const struct command *command,
                   struct args args,
                   size_t nth,
                   struct machine_want *want);
/* How many that wait for the nth key of a planned command it may be something for: about, and at
 * most a few if it cannot be known. */
size_t machine_feeds(const struct command *command, size_t arg_count, size_t nth);

/* The rows of a shard besides its state row: from <= key < to in each family. For export. */
void machine_range(struct machine_scope scope,
                   enum store_family family,
                   struct buf *from,
                   struct buf *to);

#endif
