#include "server/control/agent_report.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "server/control/agent_call.h"
#include "server/control/agent_replicas.h"
#include "server/control/meta_order.h"

enum {
    REPORT_MS_MIN = 50, /* Between attempts; doubles. */
    REPORT_MS_MAX = 2000,
    REPORT_PATIENCE_MS = 5000, /* Until those tell that do not lead. */
};

struct news {
    struct shard_desc desc;
    uint64_t since_ms;
    bool led;
};

static bool is_news(const struct agent *agent, const struct shard_desc *desc)
{
    const struct shard_desc *mapped = shard_map_shard(&agent->map, desc->id);
    if (mapped != NULL) {
        return desc->ver > mapped->ver;
    }
    /* One that the map does not have: a child, or what was merged long ago. */
    for (size_t i = 0; i < agent->map.shard_count; i++) {
        const struct shard_desc *other = &agent->map.shards[i];
        if (other->start <= desc->last && desc->start <= other->last && other->ver >= desc->ver) {
            return false;
        }
    }
    return true;
}

static void forget(struct agent *agent, struct news *news)
{
    (void)map_remove(&agent->news, news->desc.id);
    free(news);
}

void agent_report_take(struct agent *agent, const struct agent_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct shard_desc *desc = &ranges[i].desc;
        struct news *news = map_get(&agent->news, desc->id);
        if (agent->map.shard_count == 0 || !is_news(agent, desc)) {
            continue;
        }
        if (news == NULL) {
            news = calloc(1, sizeof(*news));
            assert(news != NULL);
            news->since_ms = agent->now_ms;
            (void)map_put(&agent->news, desc->id, news);
        }
        if (news->desc.ver < desc->ver) {
            agent->report.next_ms = 0; /* It may be what was missing. */
            agent->report.retry_ms = 0;
        }
        if (news->desc.ver <= desc->ver) {
            news->desc = *desc;
        }
        news->led = ranges[i].led;
    }
}

/* Appends the encoded descriptors; false: it is not for this node to tell, or not yet. */
static bool collect(struct agent *agent, struct buf *text, struct slice *argv, size_t *argc)
{
    size_t ends[META_REPORT_MAX];
    size_t count = 0;
    bool due = false;
    size_t at = 0;
    for (struct news *news; (news = map_next(&agent->news, &at)) != NULL;) {
        if (!is_news(agent, &news->desc)) {
            forget(agent, news);
            continue;
        }
        due = due || news->led || agent->now_ms - news->since_ms >= REPORT_PATIENCE_MS;
        if (count < META_REPORT_MAX) {
            shard_desc_encode(&news->desc, text);
            ends[count++] = text->len;
        }
    }
    for (size_t i = 0; i < count; i++) {
        size_t begin = i == 0 ? 0 : ends[i - 1];
        argv[(*argc)++] = slice_of(text->data + begin, ends[i] - begin);
    }
    return due && count > 0;
}

void agent_report_send(struct agent *agent)
{
    if (agent->news.count == 0 || !agent->confirmed || agent_call_waits(agent, &agent->report)) {
        return;
    }
    struct slice argv[1 + META_REPORT_MAX] = {slice_str("META.REPORT")};
    size_t argc = 1;
    struct buf text;
    buf_init(&text, 1 << 20);
    if (collect(agent, &text, argv, &argc)) {
        bool self = agent_replicas_has(agent, SHARD_META);
        uint64_t peer = agent_call_target(agent, &agent->report, &agent->map.meta, self);
        if (peer != 0) {
            agent_call_send(agent, &agent->report, peer, SHARD_META,
                            (struct args){.argv = argv, .argc = argc});
        }
    }
    buf_deinit(&text);
}

void agent_report_reply(struct agent *agent, enum status status, struct slice body)
{
    /* Also when it was taken: the new map is under way, and until it is here nothing is known of
     * it. */
    agent_report_lost(agent);
    if (status != STATUS_OK) {
        agent_call_hint(&agent->report, status, body);
    }
}

void agent_report_lost(struct agent *agent)
{
    agent_call_again(agent, &agent->report, REPORT_MS_MIN, REPORT_MS_MAX);
}

void agent_report_free(struct agent *agent)
{
    size_t at = 0;
    for (struct news *news; (news = map_next(&agent->news, &at)) != NULL;) {
        free(news);
    }
    map_deinit(&agent->news);
}
