#ifndef REPLICATION_RAFT_MESSAGE_H
#define REPLICATION_RAFT_MESSAGE_H

#include "common/base/reader.h"
#include "replication/group.h"
#include "replication/raft/group_conf.h"

/* What hosts say to each other (docs/replication.md draws the bytes). Pure: bytes <-> meaning. A
 * batch is a header and then messages until its end; all numbers little endian. Everything that a
 * peer sent is bounded here, so that what passes message_next() may be given to the core.
 * Thread: any. */

enum {
    MESSAGE_FORMAT = 1,
    MESSAGE_BATCH_HEADER_SIZE = 18,
    MESSAGE_MANIFEST_SIZE_MAX = 64 << 10,
    MESSAGE_ENTRY_SIZE_MAX = 64 << 20,
    MESSAGE_ENTRIES_MAX = 1 << 20,
    MESSAGE_LOOPS_MAX = 64,
};

enum message_kind {
    MESSAGE_APPEND = 1,    /* Entries, or none: a heartbeat. */
    MESSAGE_APPEND_RESULT, /* Also the answer to MESSAGE_INSTALL. */
    MESSAGE_VOTE,          /* From the candidate. */
    MESSAGE_VOTE_RESULT,
    MESSAGE_INSTALL,     /* Snapshot: the manifest; the data came out of band. */
    MESSAGE_TIMEOUT_NOW, /* Stand for election: leadership is handed over. */
    MESSAGE_CONFIRM,     /* Leader: am I still the leader of this term? */
    MESSAGE_CONFIRM_RESULT,
    MESSAGE_QUIESCE,    /* Leader: everything is replicated, stop ticking. */
    MESSAGE_WAKE,       /* Tick again. */
    MESSAGE_NO_INSTALL, /* The snapshot at this index was not taken: do not wait for it. */
    MESSAGE_ASK_POINT,  /* To the leader: what is to be applied for a read that began just now? */
    MESSAGE_READ_POINT,
};

struct message_append {
    uint64_t prev_index, prev_term, commit;
    uint64_t sent_ns; /* Sender's clock, echoed: leases. */
    uint32_t count;
    struct slice entries; /* As message_append_entry() wrote them. */
};

struct message_append_result {
    uint64_t rejected, last_index;
    uint64_t echo_ns; /* 0: none. */
};

struct message_vote {
    uint64_t last_index, last_term;
    bool disrupt, pre_vote;
};

struct message_vote_result {
    bool granted, pre_vote;
};

struct message_install {
    struct group_state state;
    struct slice manifest;
};

struct message_timeout_now {
    uint64_t last_index, last_term;
};

struct message_confirm {
    uint64_t seq, sent_ns;
};

struct message_confirm_result {
    uint64_t seq, echo_ns;
    bool follows; /* The sender follows the asker and reset its election timer. */
};

struct message_ask_point {
    uint64_t seq;
};

struct message_read_point {
    uint64_t seq;
    uint64_t index;      /* 0: the sender does not lead. Else it is committed, */
    uint64_t index_term; /* as an entry of this term. */
    uint64_t stamp;      /* Of the sender's machine. */
};

struct message_point {
    uint64_t index, index_term;
};

struct message {
    enum message_kind kind;
    uint64_t group;
    uint64_t from, to; /* Replica ids. */
    uint64_t term;
    union {
        struct message_append append;
        struct message_append_result append_result;
        struct message_vote vote;
        struct message_vote_result vote_result;
        struct message_install install;
        struct message_timeout_now timeout_now;
        struct message_confirm confirm;
        struct message_confirm_result confirm_result;
        struct message_ask_point ask_point;
        struct message_read_point read_point;
        struct message_point point; /* QUIESCE; NO_INSTALL: index only. */
    };
};

struct message_entry {
    uint64_t term;
    uint8_t type;
    struct slice data;
};

struct message_header {
    unsigned loop; /* Of the sender. */
    uint64_t incarnation;
    uint64_t seq; /* Per pair of loops, from 1, rising. */
};

void message_put_header(const struct message_header *header, struct buf *out);
bool message_take_header(struct reader *in, struct message_header *header);

void message_put(const struct message *message, struct buf *out);
/* Bytes that one entry takes in message_append.entries. */
size_t message_entry_size(size_t data_len);
void message_put_entry(const struct message_entry *entry, struct buf *out);

/* Takes the next message; slices borrow from the input. False: at the end, or malformed, which
 * reader_done() tells apart. */
bool message_next(struct reader *in, struct message *message);
/* Walks the entries of a message that message_next() has accepted. */
bool message_next_entry(struct reader *entries, struct message_entry *entry);

#endif
