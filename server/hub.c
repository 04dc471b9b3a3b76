#include "server/hub.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/base/hash.h"
#include "common/base/list.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"

struct hub_listener {
    struct hub_link link;
    uint32_t count;
};

/* A name that someone joined. */
struct hub_topic {
    struct chain chain;
    struct list in_shard; /* Patterns in a list of their own. */
    uint64_t shard;
    enum topic_kind kind;
    struct slice name;
    struct hub_listener *listeners;
    size_t count;
    size_t size;
};

struct hub_shard {
    uint64_t id;
    uint64_t term;
    struct list topics;
    struct list patterns;
    size_t event_channels; /* Topics that are channels of keyspace events. */
};

void hub_init(struct hub *hub)
{
    *hub = (struct hub){0};
    map_init(&hub->topics);
    map_init(&hub->shards);
}

static uint64_t hash_of(uint64_t shard, enum topic_kind kind, struct slice name)
{
    return hash_bytes_seeded(name, shard * 256 + (uint64_t)kind);
}

static bool has_events(const struct hub_topic *topic)
{
    static const char prefix[] = "__key";
    return topic->kind == TOPIC_CHANNEL && topic->name.len >= sizeof(prefix) - 1 &&
           memcmp(topic->name.data, prefix, sizeof(prefix) - 1) == 0;
}

static void drop_topic(struct hub *hub, struct hub_topic *topic)
{
    chain_remove(&hub->topics, &topic->chain);
    if (has_events(topic)) {
        struct hub_shard *shard = map_get(&hub->shards, topic->shard);
        assert(shard != NULL && shard->event_channels > 0);
        shard->event_channels--;
    }
    list_remove(&topic->in_shard);
    assert(hub->topic_count > 0);
    hub->topic_count--;
    free(topic->listeners);
    free(topic);
}

static void drop_all(struct hub *hub, struct list *topics)
{
    while (!list_empty(topics)) {
        drop_topic(hub, list_entry(topics->next, struct hub_topic, in_shard));
    }
}

static void clear(struct hub *hub, struct hub_shard *shard)
{
    drop_all(hub, &shard->topics);
    drop_all(hub, &shard->patterns);
}

void hub_drop(struct hub *hub, uint64_t id)
{
    struct hub_shard *shard = map_get(&hub->shards, id);
    if (shard != NULL) {
        clear(hub, shard);
        (void)map_remove(&hub->shards, id);
        free(shard);
    }
}

void hub_keep(struct hub *hub, uint64_t id, uint64_t start, uint64_t last)
{
    struct hub_shard *shard = map_get(&hub->shards, id);
    struct list *next = NULL;
    for (struct list *at = shard == NULL ? NULL : shard->topics.next;
         at != NULL && at != &shard->topics; at = next) {
        next = at->next;
        struct hub_topic *topic = list_entry(at, struct hub_topic, in_shard);
        uint64_t token = token_of_key(topic->name);
        if (token < start || token > last) {
            drop_topic(hub, topic);
        }
    }
}

void hub_deinit(struct hub *hub)
{
    size_t at = 0;
    for (struct hub_shard *shard; (shard = map_next(&hub->shards, &at)) != NULL;) {
        hub_drop(hub, shard->id);
    }
    assert(hub->topic_count == 0);
    map_deinit(&hub->topics);
    map_deinit(&hub->shards);
}

/* What was joined in this term; NULL: nothing. */
static struct hub_shard *current(struct hub *hub, const struct hub_place *place)
{
    struct hub_shard *shard = map_get(&hub->shards, place->shard);
    if (shard != NULL && shard->term != place->term) {
        clear(hub, shard);
        shard->term = place->term;
    }
    return shard;
}

static struct hub_topic *find(const struct hub *hub,
                              uint64_t shard,
                              enum topic_kind kind,
                              struct slice name)
{
    struct chain *at = chain_first(&hub->topics, hash_of(shard, kind, name));
    for (; at != NULL; at = at->next) {
        struct hub_topic *topic = chain_entry(at, struct hub_topic, chain);
        if (topic->shard == shard && topic->kind == kind && slice_equal(topic->name, name)) {
            return topic;
        }
    }
    return NULL;
}

static struct hub_topic *make(struct hub *hub,
                              struct hub_shard *shard,
                              enum topic_kind kind,
                              struct slice name)
{
    struct hub_topic *topic = malloc(sizeof(*topic) + name.len);
    assert(topic != NULL);
    uint8_t *copy = (uint8_t *)(topic + 1);
    if (name.len > 0) {
        memcpy(copy, name.data, name.len);
    }
    *topic = (struct hub_topic){.shard = shard->id, .kind = kind, .name = slice_of(copy, name.len)};
    chain_add(&hub->topics, &topic->chain, hash_of(shard->id, kind, name));
    list_push_back(kind == TOPIC_PATTERN ? &shard->patterns : &shard->topics, &topic->in_shard);
    shard->event_channels += has_events(topic);
    hub->topic_count++;
    return topic;
}

static bool same_link(const struct hub_link *a, const struct hub_link *b)
{
    return a->loop == b->loop && a->number == b->number;
}

static struct hub_listener *listener_of(struct hub_topic *topic, const struct hub_link *link)
{
    for (size_t i = 0; i < topic->count; i++) {
        if (same_link(&topic->listeners[i].link, link)) {
            return &topic->listeners[i];
        }
    }
    return NULL;
}

static void leave(struct hub *hub, struct hub_topic *topic, const struct hub_link *link)
{
    struct hub_listener *listener = listener_of(topic, link);
    if (listener == NULL) {
        return;
    }
    *listener = topic->listeners[topic->count - 1];
    topic->count--;
    if (topic->count == 0) {
        drop_topic(hub, topic);
    }
}

static struct hub_listener *add_listener(struct hub_topic *topic, const struct hub_link *link)
{
    if (topic->count == topic->size) {
        topic->size = topic->size == 0 ? 2 : topic->size * 2;
        topic->listeners = realloc(topic->listeners, topic->size * sizeof(*topic->listeners));
        assert(topic->listeners != NULL);
    }
    struct hub_listener *listener = &topic->listeners[topic->count++];
    *listener = (struct hub_listener){.link = *link};
    return listener;
}

enum status hub_join(struct hub *hub,
                     const struct hub_place *place,
                     enum topic_kind kind,
                     struct slice name,
                     const struct hub_link *link,
                     uint32_t count)
{
    struct hub_shard *shard = current(hub, place);
    struct hub_topic *topic = shard == NULL ? NULL : find(hub, place->shard, kind, name);
    if (count == 0) {
        if (topic != NULL) {
            leave(hub, topic, link);
        }
        return STATUS_OK;
    }
    if (topic == NULL && hub->topic_count == HUB_TOPICS_MAX) {
        return STATUS_BUSY;
    }
    if (shard == NULL) {
        shard = calloc(1, sizeof(*shard));
        assert(shard != NULL);
        shard->id = place->shard;
        shard->term = place->term;
        list_init(&shard->topics);
        list_init(&shard->patterns);
        (void)map_put(&hub->shards, shard->id, shard);
    }
    topic = topic == NULL ? make(hub, shard, kind, name) : topic;
    struct hub_listener *listener = listener_of(topic, link);
    listener = listener == NULL ? add_listener(topic, link) : listener;
    listener->count = count;
    return STATUS_OK;
}

static void forget_in(struct hub *hub, struct list *topics, const struct hub_link *link)
{
    struct list *next = NULL;
    for (struct list *at = topics->next; at != topics; at = next) {
        next = at->next;
        leave(hub, list_entry(at, struct hub_topic, in_shard), link);
    }
}

void hub_forget(struct hub *hub, const struct hub_link *link)
{
    size_t at = 0;
    for (struct hub_shard *shard; (shard = map_next(&hub->shards, &at)) != NULL;) {
        forget_in(hub, &shard->topics, link);
        forget_in(hub, &shard->patterns, link);
    }
}

static uint64_t visit_all(const struct hub_topic *topic, const struct hub_visit *visit)
{
    uint64_t receivers = 0;
    for (size_t i = 0; i < topic->count; i++) {
        receivers += topic->listeners[i].count;
        visit->visit(visit->ctx, &topic->listeners[i].link, topic->kind, topic->name);
    }
    return receivers;
}

uint64_t hub_publish(struct hub *hub,
                     const struct hub_place *place,
                     enum topic_kind kind,
                     struct slice channel,
                     const struct hub_visit *visit)
{
    assert(kind != TOPIC_PATTERN);
    hub->published++;
    struct hub_shard *shard = current(hub, place);
    if (shard == NULL) {
        return 0;
    }
    struct hub_topic *topic = find(hub, place->shard, kind, channel);
    uint64_t receivers = topic == NULL ? 0 : visit_all(topic, visit);
    for (struct list *at = shard->patterns.next; kind == TOPIC_CHANNEL && at != &shard->patterns;
         at = at->next) {
        const struct hub_topic *pattern = list_entry(at, struct hub_topic, in_shard);
        if (glob_match(pattern->name, channel)) {
            receivers += visit_all(pattern, visit);
        }
    }
    hub->delivered += receivers;
    return receivers;
}

uint64_t hub_count(struct hub *hub,
                   const struct hub_place *place,
                   enum topic_kind kind,
                   struct slice name)
{
    struct hub_shard *shard = current(hub, place);
    const struct hub_topic *topic = shard == NULL ? NULL : find(hub, place->shard, kind, name);
    uint64_t count = 0;
    for (size_t i = 0; topic != NULL && i < topic->count; i++) {
        count += topic->listeners[i].count;
    }
    return count;
}

bool hub_wants_events(struct hub *hub, const struct hub_place *place)
{
    const struct hub_shard *shard = current(hub, place);
    return shard != NULL && (!list_empty(&shard->patterns) || shard->event_channels > 0);
}

size_t hub_list(struct hub *hub,
                const struct hub_place *place,
                enum topic_kind kind,
                const struct slice *pattern,
                struct buf *out)
{
    struct hub_shard *shard = current(hub, place);
    if (shard == NULL) {
        return 0;
    }
    size_t count = 0;
    struct list *topics = kind == TOPIC_PATTERN ? &shard->patterns : &shard->topics;
    for (struct list *at = topics->next; at != topics; at = at->next) {
        const struct hub_topic *topic = list_entry(at, struct hub_topic, in_shard);
        if (topic->kind == kind && (pattern == NULL || glob_match(*pattern, topic->name))) {
            resp_write_bulk(out, topic->name);
            count++;
        }
    }
    return count;
}
