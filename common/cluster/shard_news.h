#ifndef COMMON_CLUSTER_SHARD_NEWS_H
#define COMMON_CLUSTER_SHARD_NEWS_H

#include "common/base/buf.h"
#include "common/cluster/shard_map.h"

/* What a node knows of shards whose ranges changed, and who leads them: the body of FRAME_DESCS
 * and of the replies NOT_OWNER and NO_SHARD.
 *
 *   u8 count | count * (shard_desc_encode(), leader_hint_encode())
 *
 * An empty body is count 0. Pure. Any thread. */

enum { SHARD_NEWS_MAX = 64 };

struct shard_news {
    size_t count;
    struct shard_desc descs[SHARD_NEWS_MAX];
    struct leader_hint hints[SHARD_NEWS_MAX]; /* node 0: unknown. */
};

/* One more; what has no room is left out. hint may be NULL. */
void shard_news_add(struct shard_news *news,
                    const struct shard_desc *desc,
                    const struct leader_hint *hint);
void shard_news_encode(const struct shard_news *news, struct buf *out);
/* False if malformed; *news has none then. */
bool shard_news_decode(struct slice body, struct shard_news *news);

#endif
