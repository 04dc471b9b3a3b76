#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include "common/base/buf.h"
#include "common/base/chain.h"
#include "common/base/status.h"
#include "common/proto/topic.h"

/* Who wants the messages of which channel. A channel has its home at the leader of the shard that
 * owns its name's token, so that a message goes to one node and not to all; patterns are joined at
 * every shard. A connection of a router joins a topic once, with the number of its clients that
 * listen.
 *
 * Nothing of this is replicated: what was joined holds for one term of the shard's leader. The next
 * leader begins with nothing, and routers join again. Messages are delivered at most once.
 *
 * Sans-IO. Thread: the loop's. */

enum {
    HUB_TOPICS_MAX = 1 << 20, /* Names joined, per loop; more are refused. */
};

struct hub {
    struct map topics; /* Hash -> chain of struct hub_topic. */
    struct map shards; /* Shard -> struct hub_shard. */
    size_t topic_count;
    uint64_t published;
    uint64_t delivered;
};

/* The leader's place. */
struct hub_place {
    uint64_t shard;
    uint64_t term;
};

/* A connection: its loop, and its number there. */
struct hub_link {
    unsigned loop;
    uint64_t number;
};

void hub_init(struct hub *hub);
void hub_deinit(struct hub *hub);

/* So many clients of the connection listen from now on; 0: none. BUSY: too many names. */
MUST_USE enum status hub_join(struct hub *hub,
                              const struct hub_place *place,
                              enum topic_kind kind,
                              struct slice name,
                              const struct hub_link *link,
                              uint32_t count);
/* The connection is gone. */
void hub_forget(struct hub *hub, const struct hub_link *link);
/* The shard has only these tokens any more: names of others are dropped, patterns stay. */
void hub_keep(struct hub *hub, uint64_t shard, uint64_t start, uint64_t last);
/* The shard is gone. */
void hub_drop(struct hub *hub, uint64_t shard);

/* Visits every connection that wants a message of the channel, once per joined name that fits:
 * kind and topic say which. Returns how many clients will get it. */
struct hub_visit {
    void (*visit)(void *ctx, const struct hub_link *link, enum topic_kind kind, struct slice topic);
    void *ctx;
};
uint64_t hub_publish(struct hub *hub,
                     const struct hub_place *place,
                     enum topic_kind kind,
                     struct slice channel,
                     const struct hub_visit *visit);

uint64_t hub_count(struct hub *hub,
                   const struct hub_place *place,
                   enum topic_kind kind,
                   struct slice name);
/* False: no message to a channel of keyspace events ("__key...") would reach anyone. */
bool hub_wants_events(struct hub *hub, const struct hub_place *place);
/* Appends the names of the kind that match the pattern (NULL: all) as bulk strings; their number.
 */
size_t hub_list(struct hub *hub,
                const struct hub_place *place,
                enum topic_kind kind,
                const struct slice *pattern,
                struct buf *out);

#endif
