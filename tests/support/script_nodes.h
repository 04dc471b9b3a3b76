#ifndef TESTS_SUPPORT_SCRIPT_NODES_H
#define TESTS_SUPPORT_SCRIPT_NODES_H

#include "router/core.h"

/* Nodes played by the test for a router core: takes what the core sends, answers what the script
 * says. Time stands still unless script_advance() moves it. Node n (from 1) has the address
 * "n<n>:1"; shard s (from SHARD_FIRST) has replicas on nodes 1, 2, 3, turned by one from shard to
 * shard. */

enum { SCRIPT_LINKS_MAX = 32, SCRIPT_ARGS_MAX = 16, SCRIPT_TEXT_SIZE = 64 };

struct script_link {
    bool used;
    bool up;
    bool full; /* The core gets NULL to append to. */
    uint64_t node;
    char address[SCRIPT_TEXT_SIZE];
    struct buf out;
};

struct script {
    struct core *core;
    uint64_t now_ms;
    struct shard_map map;
    struct buf saved;
    unsigned saves;
    struct script_link links[SCRIPT_LINKS_MAX];
};

struct script_setup {
    uint64_t nodes;
    uint64_t shards;
    bool map_saved; /* The core starts with the map. */
    bool seeds;     /* Node 1 is a seed. */
    size_t lane_parts_max;
};

void script_open(struct script *script, const struct script_setup *setup);
void script_close(struct script *script);

/* The usual: three nodes, all up, map known, node 1 leads every shard in term 5. */
void script_open_led(struct script *script, uint64_t shards);

/* The core's link to that node; fails the test if it has none. */
struct script_link *script_link(struct script *script, uint64_t node);
bool script_dials(const struct script *script, uint64_t node);
void script_up(struct script *script, uint64_t node);
void script_down(struct script *script, uint64_t node);
/* Ticks whenever the core asks for it. */
void script_advance(struct script *script, uint64_t ms);

/* What the core sent to a node, oldest first. args borrow from text. */
struct script_request {
    struct frame_request frame;
    struct slice argv[SCRIPT_ARGS_MAX];
    uint8_t text[1024];
};
/* False if there is none. SUBSCRIBE is skipped. */
bool script_take(struct script *script, uint64_t node, struct script_request *request);
/* Takes one, which must be there. */
void script_expect(struct script *script, uint64_t node, struct script_request *request);
bool script_subscribed(struct script *script, uint64_t node);

void script_answer(struct script *script,
                   uint64_t node,
                   const struct script_request *request,
                   enum status status,
                   const char *body);
void script_answer_bytes(struct script *script,
                         uint64_t node,
                         const struct script_request *request,
                         enum status status,
                         struct slice body);
/* PARKED: it waits there. */
void script_park(struct script *script, uint64_t node, const struct script_request *request);
/* The same, and says what its arguments meant when it came. */
void script_park_as(struct script *script,
                    uint64_t node,
                    const struct script_request *request,
                    struct slice frozen);
/* Takes a CANCEL; false if that is not what the core sent next. */
bool script_cancelled(struct script *script, uint64_t node, struct frame_ref *ref);
/* NOT_LEADER with a hint. */
void script_redirect(struct script *script,
                     uint64_t node,
                     const struct script_request *request,
                     uint64_t term,
                     uint64_t leader);
/* FRAME_LEADERS; three voters. */
void script_lead(struct script *script, uint64_t via, uint64_t shard, uint64_t term, uint64_t node);
void script_lead_with(struct script *script,
                      uint64_t via,
                      uint64_t shard,
                      uint64_t term,
                      uint64_t node,
                      uint64_t voters);
void script_send_map(struct script *script, uint64_t via);
/* Cuts the shard at that position in the middle; the upper half gets the id. */
void script_split(struct script *script, size_t position, uint64_t id);
/* The shard at that position and the next become one, which has the id of one of them. */
void script_merge(struct script *script, size_t position, uint64_t id);
/* NOT_OWNER or NO_SHARD, with what is on the ring from one position of today's map to another. */
void script_disown(struct script *script,
                   uint64_t node,
                   const struct script_request *request,
                   enum status status,
                   const size_t positions[2]);
/* FRAME_DESCS, likewise. */
void script_send_descs(struct script *script, uint64_t via, size_t from, size_t to);

/* A client's command. Words are copied. */
struct script_client {
    struct core_request request;
    struct slice argv[SCRIPT_ARGS_MAX];
    char words[SCRIPT_ARGS_MAX][SCRIPT_TEXT_SIZE];
    unsigned done;
    uint64_t done_order; /* 1, 2, ... over all clients of this script. */
    struct buf reply;
};
/* line: words with one blank between. Made, to be changed and executed; or executed, too. */
void script_make(struct script_client *client, const char *line);
void script_run(struct script *script, struct script_client *client, const char *line);
void script_client_free(struct script_client *client);
bool script_replied(const struct script_client *client, const char *reply);
/* The reply begins with that. */
bool script_failed(const struct script_client *client, const char *code);

/* The nth key "k<number>" that lies on the shard at that position of the map. */
void script_key(const struct script *script, size_t position, int nth, char *text);

#endif
