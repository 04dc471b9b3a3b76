#ifndef COMMON_FRONT_TOPICS_H
#define COMMON_FRONT_TOPICS_H

#include "common/base/chain.h"
#include "common/base/slice.h"
#include "common/proto/topic.h"

/* Which sessions of one part listen to which channel, shard channel or pattern. Thread: the part's
 * loop. */

struct topic {
    struct chain chain;
    enum topic_kind kind;
    struct slice name;
    struct list members; /* struct member */
    uint32_t count;      /* Of members. */
    uint32_t coming;     /* Sessions that will be, once the home of the channel knows. */
    const void *named;   /* While a request's names are read: the request that has it. */
};

/* One session's part in one topic. */
struct member {
    struct list in_topic;
    struct list in_session; /* In the order of joining. */
    struct topic *topic;
    void *session;
};

struct topics {
    struct map by_hash;
    size_t channels;
    size_t patterns;
    size_t shard_channels;
};

void topics_init(struct topics *topics);
/* No members are left. */
void topics_deinit(struct topics *topics);

struct topic *topics_find(const struct topics *topics, enum topic_kind kind, struct slice name);
/* Makes it if it is not there. */
struct topic *topics_get(struct topics *topics, enum topic_kind kind, struct slice name);
/* Frees it if nobody listens and nobody is coming. */
void topics_release(struct topics *topics, struct topic *topic);

/* NULL: the session, which has so many topics in its list, is no member. */
struct member *topics_member(struct topic *topic,
                             const void *session,
                             struct list *of_session,
                             size_t session_count);
void topics_add(struct topic *topic, void *session, struct list *of_session);
/* The topic stays; see topics_release(). */
void topics_remove(struct member *member);

#endif
