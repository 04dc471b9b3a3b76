#ifndef COMMON_FRONT_FRONT_CORE_H
#define COMMON_FRONT_FRONT_CORE_H

#include <stdatomic.h>

#include "common/base/list.h"
#include "common/front/session.h"
#include "common/front/topics.h"
#include "common/proto/resp.h"

/* What the files of this room share and nobody else includes. */

struct front;
struct front_part;
struct multi;
struct session;
struct request;

enum {
    FRONT_ERROR_CODES_MAX = 64,
    FRONT_NAME_SIZE_MAX = 4096,   /* Of a client, and of its library. */
    FRONT_LARGE_SIZE = 64 * 1024, /* Requests from this size on keep the memory they came in. */
    FRONT_ALONE_SIZE = 1 << 20,   /* Requests from this size on are a client's only one. */
    FRONT_WINDOW_MIN = 16,        /* Requests in flight of a client nothing is known of. */
    FRONT_FLIGHT_SIZE = 4 << 20,  /* Requests in flight, and replies to be expected, in bytes. */
    FRONT_PENDING_SIZE = 1 << 20, /* Output that waits: above it nothing is parsed. */
    FRONT_AHEAD_SIZE = 1 << 20,   /* Input behind a command that waits: above it nothing is read. */
    FRONT_STRANGER_ARGC_MAX = 10, /* Before AUTH, as in Redis. */
    FRONT_STRANGER_BULK_SIZE_MAX = 16384,
};

/* Counters as they were at CONFIG RESETSTAT; INFO shows what came since. */
struct front_counts {
    uint64_t calls[CMD_COUNT], ns[CMD_COUNT], failed[CMD_COUNT], rejected[CMD_COUNT];
    uint64_t accepted, refused, input, output, errors, evicted;
    char codes[FRONT_ERROR_CODES_MAX][METRICS_LABEL_SIZE];
    uint64_t code_counts[FRONT_ERROR_CODES_MAX];
    size_t code_count;
};

struct front_rate {
    uint64_t at_ms, commands, input, output;
    double commands_per_second, input_per_second, output_per_second;
};

struct front {
    struct front_options options;
    struct front_part **parts;
    char run_id[41];
    uint64_t started_ms;
    _Atomic uint64_t next_client;
    _Atomic uint64_t clients;
    _Atomic uint64_t blocked;   /* Of these: wait for elements. */
    _Atomic uint64_t memory;    /* Of all sessions. */
    _Atomic uint64_t channels;  /* With listeners, counted per part; */
    _Atomic uint64_t patterns;  /* and patterns. */
    _Atomic uint64_t monitors;  /* Clients that said MONITOR. */
    _Atomic uint64_t slow_next; /* Number of the next entry of the slow log. */
    _Atomic uint16_t tcp_port;
    struct front_counts *reset; /* Part 0's. */
    struct front_rate rate;     /* Part 0's. */
};

enum front_reason {
    FRONT_PROTOCOL,
    FRONT_OUTPUT,
    FRONT_QUERY,
    FRONT_MEMORY,
    FRONT_IDLE,
    FRONT_KILLED,
    FRONT_REASON_COUNT,
};

/* LATENCY: the worst of those seconds in which a reply took long. */
enum { FRONT_LATENCY_EVENTS = 2, FRONT_LATENCY_SAMPLES = 160 };
struct front_latency_sample {
    uint64_t unix_s, ms; /* 0: none. */
};
struct front_latency {
    struct front_latency_sample samples[FRONT_LATENCY_SAMPLES];
    size_t next;
    uint64_t max_ms;
};

struct slow_entry;

struct front_part {
    struct front *front;
    unsigned index;
    struct loop *loop; /* NULL in tests. */
    struct metrics_part *metrics;
    struct list sessions;
    size_t session_count;
    size_t in_flight;
    size_t blocked;
    struct resp_parser parser; /* For requests that come whole. */
    struct buf reply;          /* Of the front's own commands. */
    struct timer tick;
    struct topics topics;
    struct slow_entry **slow; /* SLOWLOG, the newest first. */
    size_t slow_count;
    struct front_latency latency[FRONT_LATENCY_EVENTS];
    uint64_t monitor_second, monitor_shown, monitor_left_out;
    size_t duration_labels[CMD_COUNT];
    size_t error_labels[CMD_COUNT];
    size_t rejected_labels[CMD_COUNT];
    size_t reason_labels[FRONT_REASON_COUNT];
    size_t err_label; /* Of the code "ERR". */
};

enum session_reply { SESSION_REPLY_ON, SESSION_REPLY_OFF, SESSION_REPLY_SKIP };

struct session {
    uint32_t magic;
    uint8_t protocol;
    uint8_t db;
    uint8_t reply_mode;
    bool authenticated;
    bool ended;   /* Nothing more is parsed; the client goes when its replies have left. */
    bool dead;    /* The conn is being closed. */
    bool stalled; /* Nothing is parsed until replies have left. */
    bool alone;   /* A large request is under way: nothing is started beside it. */
    bool no_evict;
    bool no_touch;
    bool monitor;
    bool read_chosen;  /* How it reads: it has said so. */
    bool replica;      /* Reads may be answered by replicas: READONLY, SHERD READ; */
    uint64_t bound_ms; /* then from what is so old at most; 0: linearizable. */
    struct front_part *part;
    struct conn *conn; /* NULL in tests. */
    struct list in_part;
    struct list requests;     /* In the order of their replies. */
    struct request *blocking; /* The last of these, if it waits: nothing is started behind it. */
    struct list members;      /* What it listens to: struct member. */
    uint32_t channels, patterns, shard_channels;
    size_t in_flight;
    size_t requests_size; /* Memory of requests and of replies that wait for their turn. */
    size_t window;        /* Requests that may be in flight: grows with every reply. */
    size_t reply_size;    /* Of the largest replies of late. */
    size_t memory;        /* As counted in front->memory. */
    uint64_t id;
    uint64_t created_ms;
    uint64_t active_ms;
    const struct command *last;
    char *name;
    char *lib_name;
    char *lib_version;
    struct multi *multi;         /* NULL: neither MULTI nor WATCH was of late. Owned. */
    struct resp_parser *partial; /* Of a request that has not come whole; NULL: none. */
    struct buf out;              /* Without a conn. */
};

uint64_t front_now_ns(const struct front_part *part);
int64_t front_setting(const struct front_part *part, enum config_id id);

/* A command's reply is written here, then front_done(). */
struct buf *front_reply(struct request *request);
void front_done(struct request *request);
void front_ok(struct request *request);

/* request.c. command NULL: only carries an error to its place in the order. */
struct request *request_new(struct session *session,
                            const struct command *command,
                            struct args args,
                            void *memory);
/* A command within an EXEC; args live as long as that. */
struct request *request_new_inner(struct request *outer,
                                  const struct command *command,
                                  struct args args);
void request_free_inner(struct request *request);
/* It holds more memory. */
void request_grow(struct request *request, size_t size);
/* The client has gone. */
void request_abandon(struct request *request);

/* session.c */
/* A command that waits begins, and ends. */
void session_block(struct session *session, struct request *request);
void session_unblock(struct session *session);
void session_end(struct session *session, enum front_reason reason);
void session_account(struct session *session);
/* A reply of this size has come: how many requests may be in flight follows from that. */
void session_note_reply(struct session *session, size_t size);
/* After a reply has left: what waited for that goes on. */
void session_advance(struct session *session);
void session_apply_auth(struct session *session);
void session_tick(struct session *session);
/* One of the front's own commands, arity checked. */
void session_run_front(struct request *request);
/* One line of CLIENT LIST. */
void session_describe(const struct session *session, struct buf *out);

/* Runs a request that was held, now that those before it are done. */
void session_run_held(struct request *request);

/* front_pubsub.c. The session listens to nothing any more. */
void front_unsubscribe_all(struct session *session);
/* A client of RESP2 that listens may do little else. False: the request was refused. */
bool front_pubsub_allows(struct request *request);

/* front_slowlog.c, front_latency.c: a command took so long. */
void front_slowlog_note(const struct request *request, uint64_t spent_ns);
void front_slowlog_free(struct front_part *part);
void front_latency_note(const struct request *request, uint64_t spent_ns);
/* front_monitor.c */
void front_monitor_show(struct session *session, const struct command *command, struct args args);
void front_monitor_end(struct session *session);

/* front_client.c. False if the name has spaces or other special bytes. */
extern const char front_client_bad_name[];
bool front_client_rename(struct session *session, struct slice name);

/* Subcommands of a container. */
struct front_subcommand {
    const char *name;
    int arity; /* Counts both names. */
    void (*run)(struct request *request);
};
/* help: its lines, NULL at the end; NULL: the container has none. */
void front_run_subcommand(struct request *request,
                          const struct front_subcommand *table,
                          size_t count,
                          const char *const *help);

/* The internal command that SCRIPT LOAD, FLUSH or EXISTS becomes; NULL: it is none of these, or it
 * is wrong. Its arguments: without the first name, and as many as its arity says if that is fixed.
 */
const struct command *front_script_local(const struct command *command, struct args args);

/* Visits every part on its loop, part 0 first, and then comes home to the request's loop. */
struct front_tour {
    struct mail mail;
    struct front *front;
    struct request *request;
    unsigned next;
    unsigned end; /* Parts to visit: all, or only part 0. */
    void (*visit)(struct front_tour *tour, struct front_part *part);
    void (*home)(struct front_tour *tour); /* Finishes the request; frees the tour. */
};
void front_tour_start(struct front_tour *tour, struct request *request, unsigned end);

/* Counts as they are, without what RESETSTAT took away. */
void front_count(struct front *front, struct front_counts *counts);
/* Numbers that are read off rather than counted. */
void front_refresh(struct front_part *part);

/* One per row of the command table: a row without a handler does not link. */
#define READ_COMMAND(id, ...)
#define WRITE_COMMAND(id, ...)
#define FRONT_COMMAND(id, ...) void front_##id(struct request *request);
#define NODE_COMMAND(id, ...)
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND

#endif
