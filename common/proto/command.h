#ifndef COMMON_PROTO_COMMAND_H
#define COMMON_PROTO_COMMAND_H

#include "common/base/slice.h"
#include "common/base/status.h"

/* What the router and the server both know of a command, one row each in command.def. Pure: no
 * I/O, no allocation, any thread. */

enum command_id {
#define READ_COMMAND(id, ...) CMD_##id,
#define WRITE_COMMAND(id, ...) CMD_##id,
#define FRONT_COMMAND(id, ...) CMD_##id,
#define NODE_COMMAND(id, ...) CMD_##id,
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND
    CMD_COUNT,
};

enum command_flag {
    CMD_READ = 1 << 0,
    CMD_WRITE = 1 << 1,
    CMD_FRONT = 1 << 2, /* Answered where the client is connected; goes to no shard. */
    CMD_GROWS = 1 << 3, /* Refused when the disk is nearly full ("denyoom" in COMMAND INFO). */
    CMD_FAST = 1 << 4,  /* O(1) or O(log n). */
    CMD_ADMIN = 1 << 5,
    CMD_NO_AUTH = 1 << 6,  /* Allowed before AUTH. */
    CMD_LARGE = 1 << 7,    /* A read that may take long: runs on the pool, never on a loop. */
    CMD_STREAMS = 1 << 8,  /* Keys are the first half of what follows the word STREAMS. */
    CMD_STORE = 1 << 9,    /* Another key follows the word STORE or STOREDIST: SORT, GEORADIUS. */
    CMD_ANY_KEY = 1 << 10, /* Touches keys that it does not name: EVAL, SORT_RO. */
    CMD_BLOCKING = 1 << 11,
    CMD_PUBSUB = 1 << 12,
    CMD_NO_SCRIPT = 1 << 13, /* Refused in scripts. */
    CMD_NODE = 1 << 14,      /* Routers ask the leader's node itself; no client can name it. */
    /* Bits 16 and 17: CMD_NUMKEYS(). */
    CMD_INTERNAL = 1 << 18, /* Of the machine, but no client can name it. */
    CMD_NO_MULTI = 1 << 19, /* Refused between MULTI and EXEC. */
    CMD_TRIAL = 1 << 20,    /* Runs before the log, which gets what it did: EVAL. */
};

/* The argument n, 1..3, says how many keys follow it: EVAL, ZUNION, LMPOP. */
#define CMD_NUMKEYS(n) ((unsigned)(n) << 16)
enum { CMD_NUMKEYS_SHIFT = 16, CMD_NUMKEYS_MASK = 3 };

/* How the router spreads a command over shards and makes one reply of theirs. */
enum command_merge {
    MERGE_NONE,       /* All keys on one shard, else an error that says so. */
    MERGE_ORDER,      /* One array in the order of the keys: MGET. */
    MERGE_SUM,        /* Keys apart, integers added: DEL, UNLINK, EXISTS, TOUCH. */
    MERGE_OK,         /* Keys apart, +OK if all are: MSET. */
    MERGE_ALL_SUM,    /* Every shard, integers added: DBSIZE. */
    MERGE_ALL_OK,     /* Every shard, +OK if all are: FLUSHDB, FLUSHALL. */
    MERGE_ALL_CONCAT, /* Every shard, arrays joined: KEYS. */
    /* One shard after the other: SCAN. The cursor of a client is the next token to look at, 0 at
     * the start and at the end. The router asks the shard that owns the token; that answers with
     * keys of its range from this token on and with the next token, or with 0 when its range is
     * done: then the router makes it the first token of the next shard, or leaves the 0 after the
     * last. Splits and moves in between lose nothing, as tokens do not change. */
    MERGE_SCAN,
    MERGE_ANY,      /* A shard at random, the next if it has none: RANDOMKEY. */
    MERGE_ALL_SAME, /* Every shard, each with the same reply: SCRIPT LOAD. */
    MERGE_ALL_ONE,  /* Every shard, the first reply that is no error: SCRIPT KILL. */
    /* Every shard that answers soon; of each element of the arrays the first that is neither null
     * nor 0: SCRIPT EXISTS. */
    MERGE_ALL_FOUND,
};

struct command {
    enum command_id id;
    uint16_t code;    /* What log entries and frames call it; never changed, never reused. */
    const char *name; /* Lower case. */
    int arity;        /* Counts the name; negative: at least. */
    unsigned flags;
    int key_first, key_last, key_step; /* As in COMMAND INFO; key_last -1: the last argument. */
    enum command_merge merge;
    const char *group; /* COMMAND DOCS: "string", "generic", ... */
    const char *since;
    const char *summary;
};

/* Arguments as they came, name first. */
struct args {
    const struct slice *argv;
    size_t argc;
};

/* Returns NULL if no command has that name; letter case does not matter. */
const struct command *command_find(struct slice name);
/* NULL for an unknown code. */
const struct command *command_by_code(uint16_t code);
/* All rows in the order of the table; n < CMD_COUNT. */
const struct command *command_at(size_t n);

/* STATUS_BAD_ARITY, or OK. */
MUST_USE enum status command_check(const struct command *command, size_t argc);

/* Returns the argument index of the nth key (0-based), or 0 if there is none:
 * index 0 is the name and so is never a key. Keys at fixed places come first, then those that are
 * counted or follow a word. An argument that should count keys and does not, counts none. */
size_t command_key_at(const struct command *command, struct args args, size_t nth);
/* False if no arguments of the command are ever keys. */
bool command_has_keys(const struct command *command);

/* The database that COPY ... DB n and MOVE write to; db for all others, and if it is none. */
uint8_t command_target_db(const struct command *command, struct args args, uint8_t db);

/* True if the arguments are ASCII-equal without regard to case. */
bool command_word(struct slice arg, const char *word);

#endif
