#include "common/front/topics.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"

void topics_init(struct topics *topics)
{
    *topics = (struct topics){0};
    map_init(&topics->by_hash);
}

void topics_deinit(struct topics *topics)
{
    assert(topics->by_hash.count == 0);
    map_deinit(&topics->by_hash);
}

static size_t *counter(struct topics *topics, enum topic_kind kind)
{
    if (kind == TOPIC_PATTERN) {
        return &topics->patterns;
    }
    return kind == TOPIC_SHARD ? &topics->shard_channels : &topics->channels;
}

struct topic *topics_find(const struct topics *topics, enum topic_kind kind, struct slice name)
{
    uint64_t hash = hash_bytes_seeded(name, (uint64_t)kind);
    for (struct chain *at = chain_first(&topics->by_hash, hash); at != NULL; at = at->next) {
        struct topic *topic = chain_entry(at, struct topic, chain);
        if (topic->kind == kind && slice_equal(topic->name, name)) {
            return topic;
        }
    }
    return NULL;
}

struct topic *topics_get(struct topics *topics, enum topic_kind kind, struct slice name)
{
    struct topic *topic = topics_find(topics, kind, name);
    if (topic != NULL) {
        return topic;
    }
    topic = malloc(sizeof(*topic) + name.len);
    assert(topic != NULL);
    uint8_t *copy = (uint8_t *)(topic + 1);
    if (name.len > 0) {
        memcpy(copy, name.data, name.len);
    }
    *topic = (struct topic){.kind = kind, .name = slice_of(copy, name.len)};
    list_init(&topic->members);
    chain_add(&topics->by_hash, &topic->chain, hash_bytes_seeded(name, (uint64_t)kind));
    (*counter(topics, kind))++;
    return topic;
}

void topics_release(struct topics *topics, struct topic *topic)
{
    if (topic->count > 0 || topic->coming > 0) {
        return;
    }
    chain_remove(&topics->by_hash, &topic->chain);
    (*counter(topics, topic->kind))--;
    free(topic);
}

struct member *topics_member(struct topic *topic,
                             const void *session,
                             struct list *of_session,
                             size_t session_count)
{
    /* The shorter of the two lists that a member is in. */
    if (session_count < topic->count) {
        for (struct list *at = of_session->next; at != of_session; at = at->next) {
            struct member *member = list_entry(at, struct member, in_session);
            if (member->topic == topic) {
                return member;
            }
        }
        return NULL;
    }
    for (struct list *at = topic->members.next; at != &topic->members; at = at->next) {
        struct member *member = list_entry(at, struct member, in_topic);
        if (member->session == session) {
            return member;
        }
    }
    return NULL;
}

void topics_add(struct topic *topic, void *session, struct list *of_session)
{
    struct member *member = calloc(1, sizeof(*member));
    assert(member != NULL);
    member->topic = topic;
    member->session = session;
    list_push_back(&topic->members, &member->in_topic);
    list_push_back(of_session, &member->in_session);
    topic->count++;
}

void topics_remove(struct member *member)
{
    assert(member->topic->count > 0);
    member->topic->count--;
    list_remove(&member->in_topic);
    list_remove(&member->in_session);
    free(member);
}
