#include "router/channels.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "router/backend.h"
#include "router/core_state.h"

enum {
    LOOK_MS = 50,
    REJOINS_MAX = 1024, /* Per look: so many at once leave room for the others' requests. */
    PATTERN = 'p',
};

struct channel {
    struct chain chain;
    struct list in_all;
    uint8_t kind;
    bool everywhere;
    struct slice name;
    uint32_t count;
    uint32_t asking;
    uint64_t joined; /* Mark of its home when it was last joined there; 0: it is not. */
};

/* A join under way. */
struct asking {
    struct core_request request;
    struct list link;
    struct core *core;
    struct channel *channel;
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

static void drop(struct channels *channels, struct channel *channel)
{
    chain_remove(&channels->by_hash, &channel->chain);
    list_remove(&channel->in_all);
    free(channel);
}

void channels_deinit(struct channels *channels)
{
    for (struct list *at; (at = list_pop_front(&channels->asking)) != NULL;) {
        free(list_entry(at, struct asking, link));
    }
    while (!list_empty(&channels->all)) {
        drop(channels, list_entry(channels->all.next, struct channel, in_all));
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
    return kind == PATTERN || begins(name, "__keyspace@") || begins(name, "__keyevent@");
}

static struct channel *get(struct channels *channels, uint8_t kind, struct slice name)
{
    uint64_t hash = hash_bytes_seeded(name, kind);
    for (struct chain *at = chain_first(&channels->by_hash, hash); at != NULL; at = at->next) {
        struct channel *channel = chain_entry(at, struct channel, chain);
        if (channel->kind == kind && slice_equal(channel->name, name)) {
            return channel;
        }
    }
    struct channel *channel = malloc(sizeof(*channel) + name.len);
    assert(channel != NULL);
    uint8_t *copy = (uint8_t *)(channel + 1);
    if (name.len > 0) {
        memcpy(copy, name.data, name.len);
    }
    *channel = (struct channel){
        .kind = kind, .everywhere = is_everywhere(kind, name), .name = slice_of(copy, name.len)};
    chain_add(&channels->by_hash, &channel->chain, hash);
    list_push_back(&channels->all, &channel->in_all);
    return channel;
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

static uint64_t mark_of(const struct core *core, const struct channel *channel, uint64_t all)
{
    if (channel->everywhere) {
        return all;
    }
    const struct shard_desc *shard = shard_map_find(&core->map, token_of_key(channel->name));
    const struct lane *lane = shard == NULL ? NULL : map_get(&core->by_shard, shard->id);
    return lane == NULL ? 0 : mark_lane(core, lane, 1);
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct asking *asking = list_entry(request, struct asking, request);
    struct core *core = asking->core;
    struct channel *channel = asking->channel;
    bool joined = reply.data[0] == '+';
    void (*done)(void *ctx, bool joined) = asking->done;
    void *ctx = asking->ctx;
    channel->asking--;
    channel->joined = joined ? asking->mark : 0;
    core->channels.behind = true; /* Whether it is, the next look says. */
    list_remove(&asking->link);
    free(asking);
    if (channel->count == 0 && channel->asking == 0) {
        drop(&core->channels, channel);
    }
    if (done != NULL) {
        done(ctx, joined);
    }
}

static void ask(struct core *core,
                struct channel *channel,
                uint64_t mark,
                const struct core_join *join)
{
    struct asking *asking = calloc(1, sizeof(*asking));
    assert(asking != NULL);
    asking->core = core;
    asking->channel = channel;
    asking->mark = mark;
    asking->kind = channel->kind;
    if (join != NULL) {
        asking->done = join->done;
        asking->ctx = join->ctx;
    }
    const struct command *command =
        command_at(channel->everywhere ? CMD_hub_join_all : CMD_hub_join);
    asking->argv[0] = slice_str(command->name);
    asking->argv[1] = channel->name;
    asking->argv[2] = slice_of(&asking->kind, 1);
    asking->argv[3] = slice_of(asking->number, number_format_u64(channel->count, asking->number));
    asking->request.command = command;
    asking->request.args = (struct args){.argv = asking->argv, .argc = 4};
    asking->request.on_done = on_done;
    channel->asking++;
    core->channels.joins++;
    list_push_back(&core->channels.asking, &asking->link);
    core_execute(core, &asking->request);
}

void channels_join(struct core *core, const struct core_join *join)
{
    struct channel *channel = get(&core->channels, join->kind, join->name);
    channel->count = join->count;
    core_wake_at(core, core_now(core) + LOOK_MS);
    uint64_t all = channel->everywhere ? mark_all(core) : 0;
    ask(core, channel, mark_of(core, channel, all), join);
}

static void look(struct core *core, uint64_t all)
{
    struct channels *channels = &core->channels;
    size_t left = REJOINS_MAX;
    channels->behind = false;
    struct list *next = NULL;
    for (struct list *at = channels->all.next; at != &channels->all; at = next) {
        next = at->next;
        struct channel *channel = list_entry(at, struct channel, in_all);
        uint64_t mark = mark_of(core, channel, all);
        if (channel->joined == mark) {
            continue;
        }
        if (channel->asking > 0) {
            continue; /* Its end makes us look again. */
        }
        if (left == 0) {
            channels->behind = true;
            return;
        }
        left--;
        ask(core, channel, mark, NULL);
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
