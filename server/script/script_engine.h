#ifndef SERVER_SCRIPT_SCRIPT_ENGINE_H
#define SERVER_SCRIPT_SCRIPT_ENGINE_H

#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/sha1.h"
#include "common/base/status.h"
#include "common/proto/command.h"

/* Lua 5.1 as Redis 7.0 gives it to scripts: a sandbox with its libraries, redis.*, and the rules by
 * which values become replies and back. What a script does to data goes through one callback; so
 * the engine knows nothing of keys. Only this room includes <lua5.1/lua.h>.
 *
 * A script cannot harm who runs it: memory is counted by the allocator and bounded; time is bounded
 * by a count of instructions (library functions charge for their work) and by the clock; string
 * patterns are matched by our own code, with bounds; nothing of one run is visible to the next.
 *
 * Compiled scripts are kept by their SHA-1, the least recently used go first.
 * Thread: one owner at a time. */

struct script_engine;

enum {
    SCRIPT_SIZE_MAX = 4 << 20,      /* Of a source. */
    SCRIPT_KEPT_MAX = 512,          /* Compiled scripts, */
    SCRIPT_KEPT_SIZE_MAX = 8 << 20, /* and bytes of their sources. */
};

/* What a source says in its first line, "#!lua flags=...". */
enum script_flag {
    SCRIPT_NO_WRITES = 1 << 0,
    SCRIPT_ALLOW_OOM = 1 << 1,
    SCRIPT_ALLOW_STALE = 1 << 2,
    SCRIPT_NO_CLUSTER = 1 << 3,
    SCRIPT_CROSS_SLOT = 1 << 4,
    SCRIPT_PLAIN = 1 << 5, /* There is no such line. */
};

struct script_engine *script_engine_new(size_t memory_max);
void script_engine_free(struct script_engine *engine);

/* sha: SHA1_HEX_SIZE characters of either case. False: it is not kept here. */
bool script_engine_find(struct script_engine *engine, struct slice sha, unsigned *flags);
/* Compiles and keeps a source. BAD_ARGUMENT: *error has the error reply. */
MUST_USE enum status script_engine_load(struct script_engine *engine,
                                        struct slice source,
                                        unsigned *flags,
                                        struct buf *error);
/* What the first line of a source says; SCRIPT_PLAIN also if it is wrong. */
unsigned script_engine_flags(struct slice source);
/* The source of one that is kept; valid until the next call that loads or forgets. */
bool script_engine_source(struct script_engine *engine, struct slice sha, struct slice *source);
/* Forgets all compiled scripts. */
void script_engine_forget(struct script_engine *engine);

/* Which of the caller's places (shards) know a script that is kept here: nobody is to run by its
 * SHA-1 what only others brought. stored: the place has the source on disk, too. */
bool script_engine_knows(struct script_engine *engine,
                         uint64_t place,
                         struct slice sha,
                         bool *stored);
void script_engine_note(struct script_engine *engine,
                        uint64_t place,
                        struct slice sha,
                        bool stored);
/* The place knows none any more. */
void script_engine_forget_place(struct script_engine *engine, uint64_t place);

/* One redis.call() or redis.pcall(). */
struct script_call {
    struct args args; /* Name first. */
    int protocol;     /* 2 or 3: what the script asked for. */
};

struct script_run {
    struct slice sha; /* Of a script that is kept. */
    struct args keys; /* Any count; no name before them. */
    struct args argv;
    uint64_t steps_max;        /* Instructions, about, */
    uint64_t time_ms_max;      /* and time by the clock; 0: no bound. */
    uint64_t seed;             /* Of math.random(). */
    bool slice;                /* When they are used up: AGAIN rather than STOPPED. */
    const atomic_bool *killed; /* Looked at now and then; may be NULL. */
    void *ctx;
    /* Appends one RESP value in the machine's form. AGAIN ends the run, as do IO and CORRUPT. */
    enum status (*call)(void *ctx, const struct script_call *call, struct buf *reply);
};

/* How a run ended. */
enum script_end {
    SCRIPT_DONE,    /* *reply has what the script returned, or the error that ended it. */
    SCRIPT_UNKNOWN, /* There is no such script here; *reply is as it was. */
    SCRIPT_AGAIN,   /* The slice is used up, or the callback said so; *reply is as it was. */
    SCRIPT_STOPPED, /* Killed, out of time or memory: *reply has the error; what was called is to be
                     * dropped. */
    SCRIPT_FAILED,  /* The callback failed: *status says how. */
};
MUST_USE enum script_end script_engine_run(struct script_engine *engine,
                                           const struct script_run *run,
                                           struct buf *reply,
                                           enum status *status);

/* Instructions of the last run, about. */
uint64_t script_engine_spent(const struct script_engine *engine);

struct script_engine_stats {
    uint64_t memory;        /* Bytes, now. */
    uint64_t kept;          /* Compiled scripts, now. */
    uint64_t out_of_memory; /* Runs that ended so. */
};
void script_engine_stats(const struct script_engine *engine, struct script_engine_stats *stats);

#endif
