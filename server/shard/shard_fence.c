#include "common/base/assert.h"
#include "server/shard/shard_private.h"

void shard_fence(struct shard *shard)
{
    assert(shard->magic == SHARD_MAGIC);
    shard->fenced = true;
}

void shard_unfence(struct shard *shard)
{
    assert(shard->magic == SHARD_MAGIC);
    shard->fenced = false;
    if (!list_empty(&shard->gathered)) {
        shard->env->wake(shard->env->ctx, shard);
    }
}

bool shard_settled(const struct shard *shard)
{
    return list_empty(&shard->batches);
}
