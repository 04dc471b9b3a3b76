#include "common/cluster/shard_news.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

void shard_news_add(struct shard_news *news,
                    const struct shard_desc *desc,
                    const struct leader_hint *hint)
{
    if (news->count == SHARD_NEWS_MAX) {
        return;
    }
    news->descs[news->count] = *desc;
    news->hints[news->count] = hint == NULL ? (struct leader_hint){.shard = desc->id} : *hint;
    news->count++;
}

void shard_news_encode(const struct shard_news *news, struct buf *out)
{
    assert(news->count <= SHARD_NEWS_MAX);
    buf_append_u8(out, (uint8_t)news->count);
    for (size_t i = 0; i < news->count; i++) {
        shard_desc_encode(&news->descs[i], out);
        leader_hint_encode(&news->hints[i], out);
    }
}

bool shard_news_decode(struct slice body, struct shard_news *news)
{
    news->count = 0;
    if (body.len == 0) {
        return true;
    }
    struct reader in = reader_of(body);
    size_t count = reader_u8(&in);
    if (count > SHARD_NEWS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!shard_desc_decode(&in, &news->descs[i]) || !leader_hint_decode(&in, &news->hints[i])) {
            return false;
        }
    }
    if (!reader_done(&in)) {
        return false;
    }
    news->count = count;
    return true;
}
