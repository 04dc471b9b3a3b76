#ifndef COMMON_FRONT_REQUEST_H
#define COMMON_FRONT_REQUEST_H

#include "common/base/list.h"
#include "common/net/mailbox.h"
#include "common/proto/command.h"

/* One command of a client, from parsing to reply: one allocation with the arguments inside (a very
 * large command keeps the memory it was read into). Commands of one client may finish in any order;
 * their replies leave in the order of the requests.
 *
 * Ownership: the session makes it and hands it to front_env.execute; whoever has it calls
 * request_finish() exactly once, on the loop of the session, also when the client is gone.
 * Thread: one owner at a time; travels between loops by its mail. */
struct request {
    struct mail mail;    /* For its owner of the moment. */
    struct list waiting; /* For its owner of the moment. */
    void *user;          /* For its owner of the moment; NULL at first. */

    const struct command *command;
    const struct command *named; /* As the client named it: what is counted. NULL: nothing. */
    struct args args;            /* Name first; valid until request_finish(). */
    uint64_t started_ns;         /* clock_now_ns() of the turn in which it was parsed. */
    uint64_t client;             /* Id of the client. */
    unsigned loop;               /* Of the session: where to finish it. */
    uint8_t db;
    bool read_chosen;  /* Its client has said how it reads: */
    bool replica;      /* its client lets replicas answer reads that do not lead, */
    uint64_t bound_ms; /* from what is so old at most; 0: linearizable. */
    uint64_t wait_ms;  /* It may wait for elements so long; BLOCK_FOREVER; 0: it does not. */

    /* The session's. */
    uint8_t protocol;
    bool silent; /* CLIENT REPLY OFF or SKIP. */
    bool done;
    bool held;      /* Begins when the requests before it are done. */
    bool unblocked; /* By CLIENT UNBLOCK ERROR: waited in vain is an error. */
    struct list order;
    struct session *session; /* NULL: the client has gone. */
    struct front_part *part;
    struct slice reply;    /* Owned, if done before its turn. */
    void *memory;          /* Owned: large arguments. */
    size_t size;           /* Bytes of memory that it holds. */
    struct multi_run *run; /* Of an EXEC or WATCH. Owned. */
    struct request *outer; /* The EXEC that it is run within; NULL: it is a client's own. */
};

/* reply: one whole value in the machine's form (resp.h); borrowed, copied. The request is gone
 * afterwards. */
void request_finish(struct request *request, struct slice reply);
/* The same with a large reply in memory from malloc(), which is taken over. */
void request_finish_owned(struct request *request, uint8_t *reply, size_t size);
/* An error reply: text with its code, without '-'. */
void request_fail(struct request *request, const char *text);
/* The client has gone: the work may be left undone if it has not begun. On the session's loop. */
bool request_abandoned(const struct request *request);
/* True: nothing that its client sent behind it is under way, and nothing will be before it is
 * finished. On the session's loop. */
bool request_alone(struct request *request);
/* The same, and nothing that its client sent before it is under way either. */
bool request_solo(struct request *request);
/* Bytes of memory that it holds. */
size_t request_size(const struct request *request);

#endif
