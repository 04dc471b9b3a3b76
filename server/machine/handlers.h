#ifndef SERVER_MACHINE_HANDLERS_H
#define SERVER_MACHINE_HANDLERS_H

#include "common/proto/resp.h"
#include "server/machine/machine.h"

/* What the handlers of commands get, and the prototypes of all of them, made from the table.
 *
 * cmd_<id>_plan  checks what can be checked without the state; on OK it has written the planned
 *                command (plan_begin, then its arguments), else an error reply.
 * cmd_<id>_apply appends one reply; what it returns other than OK or WRONG_TYPE breaks the replica.
 *                Checks come before the first write.
 * cmd_<id>_read  appends one reply; AGAIN, IO, CORRUPT pass through.
 *
 * WRONG_TYPE from apply or read becomes the error reply that says so, TOO_BIG from read that the
 * reply would be too long. */

struct plan {
    struct buf *planned;
    struct buf *reply;
};

/* One command at work. */
struct call {
    struct txn *txn;
    struct machine_state *state;      /* NULL for reads. */
    const struct machine_state *seen; /* The same, for reads too. */
    struct machine_scope scope;
    const struct command *command;
    struct args args; /* apply: keys first, no name. read: as sent, name first. */
    size_t key_count; /* apply only. */
    uint64_t session; /* apply only. */
    uint8_t db;
    uint64_t now_ms;
    uint64_t seed;                   /* read, and apply in a transaction. */
    const struct machine_load *load; /* read only; may be NULL. */
    struct buf *reply;
    struct buf *events; /* NULL: nobody wants them. See event.h. */
    struct buf *ready;  /* NULL: nobody wants it. See struct machine_apply_input. */
    struct buf *frozen; /* See struct machine_read_input. */
    enum status failed; /* apply only. What a step met that has no other way to say so. */
    bool nothing;       /* Set by a command that waits: it found nothing, and its reply says so. */
    bool nested;        /* apply only. In a transaction: nobody may be made to wait. */
    bool script;        /* read only. A script asks. */
};

/* Runs the apply handler of a call; WRONG_TYPE has become its reply. */
MUST_USE enum status call_apply(struct call *call);

/* The txn's scratch buffers, by use. */
enum call_scratch {
    SCRATCH_KEY_A, /* keyspace slots A and B: key and value */
    SCRATCH_VALUE_A,
    SCRATCH_KEY_B,
    SCRATCH_VALUE_B,
    SCRATCH_INDEX, /* A key of the expiry index or of a chunk. */
    SCRATCH_CHUNK, /* A chunk, or a value that is being composed. */
    SCRATCH_WORK,  /* The handler's own. */
    SCRATCH_ARGS,
    SCRATCH_SESSION,
    SCRATCH_ELEMENT, /* The key of an element row. */
    SCRATCH_FIELD,   /* The value of an element row. */
    SCRATCH_BODY,    /* The body of a metadata row that is being composed. */
    SCRATCH_FROM,    /* Bounds of an iterator. */
    SCRATCH_TO,
    SCRATCH_RESULT,    /* Elements of a reply whose count is not known yet. */
    SCRATCH_BODY_B,    /* The body of a second metadata row. */
    SCRATCH_RANK_KEY,  /* rank_index.h: the key of a node, */
    SCRATCH_RANK_FROM, /* bounds of its iterators, */
    SCRATCH_RANK_TO,
    SCRATCH_RANK_NAMES, /* names on the way to a node, */
    SCRATCH_RANK_ROW,   /* a name or sub-keys that are looked at, */
    SCRATCH_RANK_BOUND, /* and a key behind another. */
    SCRATCH_ZSET_FROM,  /* zset.h: ends of an interval of sub-keys, */
    SCRATCH_ZSET_TO,
    SCRATCH_ZSET_SUB,    /* a sub-key, */
    SCRATCH_ZSET_KEYS,   /* and those of elements that are removed. */
    SCRATCH_EFFECT,      /* Arguments of one of several commands, */
    SCRATCH_ANSWER,      /* and its reply, which nobody gets. */
    SCRATCH_RECOUNT_KEY, /* recount.h: its row. */
    SCRATCH_RECOUNT,
};

#define READ_COMMAND(id, ...) MUST_USE enum status cmd_##id##_read(struct call *call);
#define WRITE_COMMAND(id, ...)                                                   \
    MUST_USE enum status cmd_##id##_plan(const struct machine_plan_input *input, \
                                         struct plan *plan);                     \
    MUST_USE enum status cmd_##id##_apply(struct call *call);
#define FRONT_COMMAND(id, ...)
#define NODE_COMMAND(id, ...)
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND

/* All of a command's; NULL: it has none. */
struct handler {
    enum status (*plan)(const struct machine_plan_input *input, struct plan *plan);
    enum status (*apply)(struct call *call);
    enum status (*read)(struct call *call);
};
const struct handler *handler_of(enum command_id id);

/* Texts that several commands share; Redis 7.0 server.c, createSharedObjects(). */
#define ERR_SYNTAX "ERR syntax error"
#define ERR_NOT_INTEGER "ERR value is not an integer or out of range"
#define ERR_WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERR_STRING_SIZE "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

#endif
