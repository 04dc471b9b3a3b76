#ifndef COMMON_PROTO_FRAME_H
#define COMMON_PROTO_FRAME_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/proto/command.h"

/* What nodes and routers say to each other: frames on one TCP connection per pair and loop. A
 * node's port takes RESP and frames; the first byte tells them apart (FRAME_MAGIC begins no RESP
 * request and no text).
 *
 *   u8 magic | u8 type | u8 loop | u8 0 | u32 body length | u64 XXH3 of the body seeded with the
 *   first 8 bytes | body
 *
 * loop: index of the receiver's loop that the body is for (FRAME_PEER), else 0. Little endian.
 * The first frame each way is HELLO; everything else before it closes the connection. Pure. */

enum {
    FRAME_MAGIC = 0xF5,
    FRAME_HEADER_SIZE = 16,
    FRAME_BODY_SIZE_MAX = 1 << 30, /* More is PROTOCOL; before HELLO the bound is 4096. */
    FRAME_VERSION = 1,
};

enum frame_type {
    FRAME_HELLO = 1, /* struct frame_hello, both ways */
    FRAME_REFUSED,   /* u8 status, text; then the sender closes */
    FRAME_REQUEST,   /* router or node -> node: struct frame_request */
    FRAME_REPLY,     /* struct frame_reply */
    FRAME_SUBSCRIBE, /* router or node -> node: u64 map version it has; MAP and LEADERS follow */
    FRAME_MAP,       /* node -> subscriber, and meta group -> node: shard_map_encode() */
    FRAME_LEADERS,   /* node -> subscriber: n * leader_hint_encode() */
    FRAME_PEER,      /* node <-> node: one host's messages, see replication/host.h */
    FRAME_BULK,      /* node <-> node: snapshot transfer, see server/shard/transfer.h */
    FRAME_PART,      /* node -> router: struct frame_part, of a large reply */
    FRAME_MESSAGE,   /* node -> router: struct frame_message, of a channel */
    FRAME_PARKED, /* node -> router: struct frame_ref: the request waits there, see REQUEST_WAIT */
    FRAME_CANCEL, /* router -> node: struct frame_ref: the request waits no longer */
    FRAME_DESCS,  /* node -> subscriber: shards that changed their ranges,
                   * common/cluster/shard_news.h
                   */
    FRAME_LOAD,   /* node -> node that leads the meta group: see common/cluster/shard_load.h */
    FRAME_TYPE_COUNT,
};

enum frame_role { FRAME_ROLE_NODE = 1, FRAME_ROLE_ROUTER, FRAME_ROLE_ADMIN };

struct frame_hello {
    uint8_t version;
    uint8_t role;
    uint8_t loops;        /* Of the sender, if a node. */
    uint8_t cluster[16];  /* All zero: has not joined one yet. */
    uint64_t node;        /* Id of the sender, 0 if it has none. */
    uint64_t incarnation; /* Random per process start. */
};

enum {
    REQUEST_RETRY = 1 << 0, /* An earlier attempt may have been applied. */
    /* Begins anew after a refusal: a node that answered a request of this connection for this shard
     * with BUSY, NOT_LEADER, NO_SHARD or LEADERSHIP_LOST answers those that follow it alike until
     * one comes with this flag, so that pipelined commands never overtake one that has to be sent
     * again. */
    REQUEST_FIRST = 1 << 1,
    /* A value too large for one request: the last argument is a stage_ref. PIECE: a SET whose value
     * is a piece of it. STAGED: the command itself; its value is empty and stands for all pieces.
     */
    REQUEST_PIECE = 1 << 2,
    REQUEST_STAGED = 1 << 3,
    /* The command waits until there is something for it to take; the last argument is a wait_ref. A
     * node that lets it wait says PARKED, and need not be asked again as long as it is connected
     * and leads. A session has one such request under way at a time: a newer one takes its place.
     */
    REQUEST_WAIT = 1 << 4,
    /* What it is about is the whole range of the shard: NOT_OWNER if the shard's descriptor does
     * not have just that version when it is read or has been applied. Of writes only such as may be
     * repeated: that one was applied nevertheless. */
    REQUEST_EXACT = 1 << 5,
    /* EVALSHA: the source was looked for on all shards. If this one does not know it either, that
     * is the reply; without the flag it is the status NO_SCRIPT, and nothing was done. */
    REQUEST_SOUGHT = 1 << 6,
    /* A read that a replica may answer which does not lead: seq is not one, but how many
     * milliseconds old at most may be what it sees; 0: it is linearizable. NOT_LEADER: not here. */
    REQUEST_REPLICA = 1 << 7,
};

struct wait_ref {
    uint64_t left_ms; /* How long it may wait from now on; 0: for ever. */
    bool parked;      /* It has waited before. */
    /* What its arguments meant when it came, as the node said that it was parked at first. */
    struct slice frozen;
};
enum { WAIT_REF_SIZE = 8 + 1 };
/* All but the last, which follows at once. */
void wait_ref_encode(const struct wait_ref *ref, uint8_t out[WAIT_REF_SIZE]);
/* False unless it is one; frozen borrows. */
bool wait_ref_decode(struct slice bytes, struct wait_ref *ref);

struct stage_ref {
    uint64_t id; /* Chosen by the sender, unique in its session. */
    uint64_t size;
    uint64_t offset;
};
enum { STAGE_REF_SIZE = 3 * 8 };
/* The error begins so if pieces are missing where they should be: nothing was changed, the sender
 * may begin anew under another id. */
#define STAGE_MISSING "TRYAGAIN a piece of this value is missing"
void stage_ref_encode(const struct stage_ref *ref, uint8_t out[STAGE_REF_SIZE]);
/* False unless it is one. */
bool stage_ref_decode(struct slice bytes, struct stage_ref *ref);

/* One command for one shard. Writes carry session and seq (RIFL, Ousterhout 2015): the shard's
 * machine answers a repeated (session, seq) from its record. All seqs of the session for this
 * shard below first_unacked have been answered. Reads have session 0. */
struct frame_request {
    uint64_t id; /* Chosen by the sender, echoed in the reply; unique per connection. */
    uint64_t shard;
    uint64_t session;
    uint64_t seq;
    uint64_t first_unacked;
    uint32_t deadline_ms; /* Time left when sent. */
    uint8_t flags;        /* REQUEST_* */
    uint8_t db;
    struct args args; /* Name first. */
    uint64_t ver;     /* EXACT: of the descriptor; stands behind the arguments. */
};

/* OK: body is one RESP value in the machine's form (see resp_convert()). NOT_LEADER: body is one
 * leader_hint (node 0: unknown). NOT_OWNER, NO_SHARD: body is what the node knows of shards
 * that took over (common/cluster/shard_news.h), or empty: the map must be newer. Any other: text of
 * the reason. */
struct frame_reply {
    uint64_t id;
    enum status status;
    struct slice body;
};

/* A piece of the body of a reply with status OK. The pieces of one reply come in order, from offset
 * 0 to size; other frames may come between them. */
struct frame_part {
    uint64_t id;
    uint64_t size; /* Of the whole body; at most FRAME_BODY_SIZE_MAX. */
    uint64_t offset;
    struct slice bytes; /* At least one. */
};

/* A message of a channel, to a connection that joined topic. */
struct frame_message {
    uint8_t kind;       /* enum topic_kind: what topic is. */
    struct slice topic; /* As joined: the channel, or a pattern. */
    struct slice channel;
    struct slice payload;
};

/* A request that a node has. CANCEL: it is answered as if its time were over, unless it has taken
 * something by then. */
struct frame_ref {
    uint64_t shard;
    uint64_t id;         /* Of the request. */
    struct slice frozen; /* PARKED: see struct wait_ref. */
};

struct frame {
    enum frame_type type;
    uint8_t loop;
    struct slice body; /* Borrows from the input. */
};

/* Takes one frame off the front of input. AGAIN: more is needed (*size_used is then how many bytes
 * the whole frame has, or 0 if not known yet). PROTOCOL: bad magic, type or checksum. TOO_BIG. */
MUST_USE enum status frame_parse(struct slice input,
                                 size_t body_size_max,
                                 struct frame *frame,
                                 size_t *size_used);

/* begin/end enclose the body: returns the offset that end needs. */
size_t frame_begin(struct buf *out, enum frame_type type, uint8_t loop);
void frame_end(struct buf *out, size_t offset);

void frame_write_hello(struct buf *out, const struct frame_hello *hello);
void frame_write_refused(struct buf *out, enum status status, const char *text);
void frame_write_request(struct buf *out, const struct frame_request *request);
void frame_write_reply(struct buf *out, const struct frame_reply *reply);

MUST_USE enum status frame_read_hello(struct slice body, struct frame_hello *hello);
/* argv has argc_max entries; TOO_BIG if the request has more arguments. */
MUST_USE enum status frame_read_request(struct slice body,
                                        struct frame_request *request,
                                        struct slice *argv,
                                        size_t argc_max);
/* How many entries of argv frame_read_request() needs, 0 if malformed. */
size_t frame_request_argc(struct slice body);
void frame_write_message(struct buf *out, const struct frame_message *message);
MUST_USE enum status frame_read_message(struct slice body, struct frame_message *message);
void frame_write_part(struct buf *out, const struct frame_part *part);
/* PROTOCOL also if the piece does not lie within the body. */
MUST_USE enum status frame_read_part(struct slice body, struct frame_part *part);
MUST_USE enum status frame_read_reply(struct slice body, struct frame_reply *reply);
void frame_write_ref(struct buf *out, enum frame_type type, const struct frame_ref *ref);
MUST_USE enum status frame_read_ref(struct slice body, struct frame_ref *ref);

#endif
