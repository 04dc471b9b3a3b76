#ifndef TESTS_SUPPORT_FRONT_RIG_H
#define TESTS_SUPPORT_FRONT_RIG_H

#include "common/front/session.h"

/* A front without sockets, and one client of it. Commands for shards are answered at once (reads
 * with their first key, writes with OK), or held so that a test finishes them in any order. */

enum { FRONT_RIG_HELD_MAX = 4096 };

struct front_rig {
    struct config config;
    struct metrics *metrics;
    struct front *front;
    struct session *session;
    bool hold;
    struct request *held[FRONT_RIG_HELD_MAX];
    size_t held_count;
    /* Joins: done at once, or held. */
    bool hold_joins;
    struct front_join joins[FRONT_RIG_HELD_MAX];
    size_t join_count;
    struct buf asked;          /* What the front asked of the shards, as an inline request. */
    struct request *cancelled; /* The last. */
    size_t cancel_count;
    enum config_id changed; /* Of the last CONFIG SET; CONFIG_COUNT: none. */
    struct buf got;         /* What the client has got, since the last ask. */
};

void front_rig_start(struct front_rig *rig);
void front_rig_stop(struct front_rig *rig);
/* Sends bytes and returns everything that came back. Valid until the next call. */
struct slice front_rig_ask(struct front_rig *rig, const char *text);
struct slice front_rig_feed(struct front_rig *rig, struct slice bytes);
/* Finishes held[n] with that reply. */
void front_rig_reply(struct front_rig *rig, size_t n, const char *reply);
/* What came meanwhile. */
struct slice front_rig_take(struct front_rig *rig);
/* Finishes held[n] with a bulk string of its first key. */
void front_rig_finish(struct front_rig *rig, size_t n);
/* Ends the held join n. */
void front_rig_joined(struct front_rig *rig, size_t n, bool joined);
/* Another client in place of the old one. */
void front_rig_reconnect(struct front_rig *rig);
/* True if text contains part. */
bool front_rig_has(struct slice text, const char *part);

#endif
