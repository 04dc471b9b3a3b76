#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any names, patterns and orders: nobody gets more than he joined, and what is forgotten is gone.
 * Each step is: what to do, of which kind, which link, how many clients, length of the name. */

enum { LINKS = 3, SHARDS = 2, NAMES_SIZE_MAX = 1 << 24 };

struct tally {
    const struct hub_link *gone; /* Nothing goes there. */
    struct slice channel;
    enum topic_kind kind;
};

static void visit(void *ctx, const struct hub_link *link, enum topic_kind kind, struct slice topic)
{
    const struct tally *tally = ctx;
    assert(link->number != tally->gone->number);
    assert(kind == tally->kind || (kind == TOPIC_PATTERN && tally->kind == TOPIC_CHANNEL));
    assert(kind == TOPIC_PATTERN || slice_equal(topic, tally->channel));
}

static void step(struct hub *hub, struct reader *in, struct hub_link *gone)
{
    static const enum topic_kind kinds[] = {TOPIC_CHANNEL, TOPIC_PATTERN, TOPIC_SHARD};
    uint8_t what = reader_u8(in);
    enum topic_kind kind = kinds[what / 8 % 3];
    struct hub_place place = {.shard = 2 + what / 32 % SHARDS, .term = 1 + what / 128};
    struct hub_link link = {.number = 1 + reader_u8(in) % LINKS};
    uint32_t count = reader_u8(in) % 4;
    struct slice name = reader_raw(in, reader_u8(in));
    if (in->failed) {
        return;
    }
    struct buf names;
    buf_init(&names, NAMES_SIZE_MAX);
    struct tally tally = {.gone = gone, .channel = name, .kind = kind};
    struct hub_visit all = {.visit = visit, .ctx = &tally};
    switch (what % 8) {
    case 0:
        if (kind != TOPIC_PATTERN) {
            (void)hub_publish(hub, &place, kind, name, &all);
        }
        break;
    case 1: (void)hub_list(hub, &place, kind, &name, &names); break;
    case 2:
        hub_forget(hub, &link);
        *gone = link;
        break;
    case 3: hub_drop(hub, place.shard); break;
    case 4: (void)hub_wants_events(hub, &place); break;
    default:
        gone->number = gone->number == link.number ? 0 : gone->number;
        if (hub_join(hub, &place, kind, name, &link, count) == STATUS_OK) {
            assert(hub_count(hub, &place, kind, name) >= count);
        }
        break;
    }
    buf_deinit(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub hub;
    struct hub_link gone = {.number = 0};
    struct reader in = reader_of(slice_of(data, size));
    hub_init(&hub);
    while (in.rest.len > 0 && !in.failed) {
        step(&hub, &in, &gone);
    }
    for (uint64_t number = 1; number <= LINKS; number++) {
        hub_forget(&hub, &(struct hub_link){.number = number});
    }
    assert(hub.topic_count == 0);
    hub_deinit(&hub);
    return 0;
}
