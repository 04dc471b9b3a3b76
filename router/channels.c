#include "router/channels.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "common/proto/topic.h"
#include "router/backend.h"
#include "router/core_state.h"

enum {
    LOOK_MS = 50,
    REJOINS_MAX = 1024, /* Per look: so many at once leave room for the others' requests. */
};

/* A topic that clients of this core listen to. */
struct joined {
    struct chain chain;
    struct list in_all;
    uint8_t kind;
    bool everywhere;
    struct slice name;
    uint32_t count;
    uint32_t asking;
    uint64_t mark; /* Of its home when it was last joined there; 0: it is not. */
};

/* A join under way. */
struct asking {
    struct core_request request;
    struct list link;
    struct core *core;
    struct joined *topic;
    uint64_t mark;
    struct slice argv[4];
    uint8_t kind;
    char number[NUMBER_I64_SIZE_MAX];
    void (*done)(void *ctx, bool joined);
    void *ctx;
};

void channels_init(struct channels *channels)
{
    *channels = (struct channels){0};
    map_init(&channels->by_hash);
    list_init(&channels->all);
    list_init(&channels->asking);
}

static void drop(struct channels *channels, struct joined *topic)
{
    chain_remove(&channels->by_hash, &topic->chain);
    list_remove(&topic->in_all);
    free(topic);
}

void channels_deinit(struct channels *channels)
{
    for (struct list *at; (at = list_pop_front(&channels->asking)) != NULL;) {
        free(list_entry(at, struct asking, link));
    }
    while (!list_empty(&channels->all)) {
        drop(channels, list_entry(channels->all.next, struct joined, in_all));
    }
    map_deinit(&channels->by_hash);
}

static bool begins(struct slice name, const char *prefix)
{
    size_t len = strlen(prefix);
    return name.len >= len && memcmp(name.data, prefix, len) == 0;
}

/* Any shard has keyspace events. */
static bool is_everywhere(uint8_t kind, struct slice name)
{
    return kind == TOPIC_PATTERN || begins(name, "__keyspace@") || begins(name, "__keyevent@");
}

static struct joined *get(struct channels *channels, uint8_t kind, struct slice name)
{
    uint64_t hash = hash_bytes_seeded(name, kind);
    for (struct chain *at = chain_first(&channels->by_hash, hash); at != NULL; at = at->next) {
        struct joined *topic = chain_entry(at, struct joined, chain);
        if (topic->kind == kind && slice_equal(topic->name, name)) {
            return topic;
        }
    }
    struct joined *topic = malloc(sizeof(*topic) + name.len);
    assert(topic != NULL);
    uint8_t *copy = (uint8_t *)(topic + 1);
    if (name.len > 0) {
        memcpy(copy, name.data, name.len);
    }
    *topic = (struct joined){
        .kind = kind, .everywhere = is_everywhere(kind, name), .name = slice_of(copy, name.len)};
    chain_add(&channels->by_hash, &topic->chain, hash);
    list_push_back(&channels->all, &topic->in_all);
    return topic;
}

/* Who leads the shard, in which term, over which connection: changes when what was joined there
 * holds no longer. */
static uint64_t mark_lane(const struct core *core, const struct lane *lane, uint64_t seed)
{
    struct leader_hint hint;
    uint64_t parts[4] = {lane->shard};
    if (core_leader(core, lane->shard, &hint)) {
        const struct backend *backend = backend_of(core, hint.node);
        parts[1] = hint.node;
        parts[2] = hint.term;
        parts[3] = backend == NULL || !backend->up ? 0 : backend->ups;
    }
    return hash_bytes_seeded(slice_of(parts, sizeof(parts)), seed);
}

static uint64_t mark_all(const struct core *core)
{
    uint64_t mark = core->layout;
    for (size_t i = 0; i < core->lane_count; i++) {
        mark = mark_lane(core, core->lanes[i], mark);
    }
    return mark;
}

static uint64_t mark_of(const struct core *core, const struct joined *topic, uint64_t all)
{
    if (topic->everywhere) {
        return all;
    }
    const struct shard_desc *shard = shard_map_find(&core->map, token_of_key(topic->name));
    const struct lane *lane = shard == NULL ? NULL : map_get(&core->by_shard, shard->id);
    return lane == NULL ? 0 : mark_lane(core, lane, 1);
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct asking *asking = list_entry(request, struct asking, request);
    struct core *core = asking->core;
    struct joined *topic = asking->topic;
    bool joined = reply.data[0] == '+';
    void (*done)(void *ctx, bool joined) = asking->done;
    void *ctx = asking->ctx;
    topic->asking--;
    topic->mark = joined ? asking->mark : 0;
    core->channels.behind = true; /* Whether it is, the next look says. */
    list_remove(&asking->link);
    free(asking);
    if (topic->count == 0 && topic->asking == 0) {
        drop(&core->channels, topic);
    }
    if (done != NULL) {
        done(ctx, joined);
    }
}

static void ask(struct core *core,
                struct joined *topic,
                uint64_t mark,
                const struct core_join *join)
{
    struct asking *asking = calloc(1, sizeof(*asking));
    assert(asking != NULL);
    asking->core = core;
    asking->topic = topic;
    asking->mark = mark;
    asking->kind = topic->kind;
    if (join != NULL) {
        asking->done = join->done;
        asking->ctx = join->ctx;
    }
    const struct command *command = command_at(topic->everywhere ? CMD_hub_join_all : CMD_hub_join);
    asking->argv[0] = slice_str(command->name);
    asking->argv[1] = topic->name;
    asking->argv[2] = slice_of(&asking->kind, 1);
    asking->argv[3] = slice_of(asking->number, number_format_u64(topic->count, asking->number));
    asking->request.command = command;
    asking->request.args = (struct args){.argv = asking->argv, .argc = 4};
    asking->request.on_done = on_done;
    topic->asking++;
    core->channels.joins++;
    list_push_back(&core->channels.asking, &asking->link);
    core_execute(core, &asking->request);
}

void channels_join(struct core *core, const struct core_join *join)
{
    struct joined *topic = get(&core->channels, join->kind, join->name);
    topic->count = join->count;
    core_wake_at(core, core_now(core) + LOOK_MS);
    uint64_t all = topic->everywhere ? mark_all(core) : 0;
    ask(core, topic, mark_of(core, topic, all), join);
}

static void look(struct core *core, uint64_t all)
{
    struct channels *channels = &core->channels;
    size_t left = REJOINS_MAX;
    channels->behind = false;
    struct list *next = NULL;
    for (struct list *at = channels->all.next; at != &channels->all; at = next) {
        next = at->next;
        struct joined *topic = list_entry(at, struct joined, in_all);
        uint64_t mark = mark_of(core, topic, all);
        if (topic->mark == mark) {
            continue;
        }
        if (topic->asking > 0) {
            continue; /* Its end makes us look again. */
        }
        if (left == 0) {
            channels->behind = true;
            return;
        }
        left--;
        ask(core, topic, mark, NULL);
    }
}

void channels_tick(struct core *core)
{
    struct channels *channels = &core->channels;
    if (list_empty(&channels->all)) {
        return;
    }
    uint64_t now_ms = core_now(core);
    if (now_ms >= channels->look_ms) {
        channels->look_ms = now_ms + LOOK_MS;
        uint64_t all = mark_all(core);
        if (channels->behind || all != channels->seen) {
            channels->seen = all;
            look(core, all);
        }
    }
    core_wake_at(core, channels->look_ms);
}
