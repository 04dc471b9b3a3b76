#include "server/machine/stream_pending.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "tests/support/machine_rig.h"
#include "tests/support/test.h"

enum { IDS = 600, CONSUMERS = 4, STEPS = 800, SEEDS = 2 };

/* Whose each entry is, by id; 0: nobody's. */
struct model {
    uint8_t owner[IDS + 1];
    uint64_t delivered; /* The last id. */
    uint64_t added;
};

static void load(struct machine_rig *rig,
                 const char *key,
                 struct stream *stream,
                 struct stream_group *group)
{
    CHECK_EQ(stream_load(&rig->call, slice_str(key), stream), STATUS_OK);
    CHECK_EQ(stream_group_load(&rig->call, stream, slice_str("g"), group), STATUS_OK);
}

/* What is pending, in order, is what the model says, and the span holds it. consumer 0: of all. */
static void check_walk(struct machine_rig *rig,
                       const struct stream *stream,
                       const struct stream_group *group,
                       const struct model *model,
                       unsigned consumer)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "c%u", consumer);
    struct stream_consumer row = {0};
    if (consumer > 0) {
        CHECK_EQ(stream_group_load_consumer(&rig->call, stream, group, slice_str(name), &row),
                 STATUS_OK);
    }
    struct stream_pending_walk walk;
    struct stream_id id = {0};
    struct slice value;
    stream_pending_open(&rig->call, stream, group, consumer > 0 ? &row : NULL, id, &walk);
    uint64_t count = 0;
    for (uint64_t want = 1; want <= IDS; want++) {
        bool mine = consumer > 0 ? model->owner[want] == consumer : model->owner[want] > 0;
        if (!mine) {
            continue;
        }
        CHECK(stream_pending_next(&walk, &id, &value));
        CHECK_EQ(id.ms, want);
        count++;
    }
    CHECK(!stream_pending_next(&walk, &id, &value));
    CHECK_EQ(stream_pending_close(&walk), STATUS_OK);
    const struct stream_span *span = consumer > 0 ? &row.pending : &group->pending;
    CHECK_EQ(span->count, count);
    CHECK(span->drift < 32 || count == 0);
}

static void check(struct machine_rig *rig, const struct model *model)
{
    struct stream stream;
    struct stream_group group;
    load(rig, "s", &stream, &group);
    for (unsigned consumer = 0; consumer <= CONSUMERS; consumer++) {
        check_walk(rig, &stream, &group, model, consumer);
    }
    struct buf prefix;
    buf_init(&prefix, 1 << 10);
    stream_key(&stream, STREAM_MEMBER, &prefix);
    CHECK_EQ(machine_rig_rows(rig, STORE_DATA, buf_slice(&prefix)),
             group.consumers + 2 * group.pending.count);
    buf_deinit(&prefix);
}

static void deliver(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    unsigned consumer = 1 + (unsigned)rand_below(rand, CONSUMERS);
    uint64_t count = 1 + rand_below(rand, 20);
    machine_rig_do(rig, "XREADGROUP GROUP g c%u COUNT %llu STREAMS s >", consumer,
                   (unsigned long long)count);
    for (; count > 0 && model->delivered < model->added; count--) {
        model->owner[++model->delivered] = (uint8_t)consumer;
    }
}

static void acknowledge(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    uint64_t id = rand_below(rand, IDS);
    uint64_t end = id + (rand_below(rand, 4) == 0 ? 60 : 1);
    for (; id < end && id <= IDS; id++) {
        machine_rig_do(rig, "XACK s g %llu", (unsigned long long)id);
        model->owner[id] = 0;
    }
}

static void claim(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    unsigned consumer = 1 + (unsigned)rand_below(rand, CONSUMERS);
    uint64_t id = 1 + rand_below(rand, IDS);
    bool force = rand_below(rand, 4) == 0;
    machine_rig_do(rig, "XCLAIM s g c%u 0 %llu%s", consumer, (unsigned long long)id,
                   force ? " FORCE" : "");
    if (id <= model->added && (force || model->owner[id] > 0)) {
        model->owner[id] = (uint8_t)consumer;
    }
}

static void step(struct machine_rig *rig, struct model *model, struct rand *rand)
{
    uint64_t kind = rand_below(rand, 100);
    unsigned consumer = 1 + (unsigned)rand_below(rand, CONSUMERS);
    if (kind < 30) {
        deliver(rig, model, rand);
    } else if (kind < 70) {
        acknowledge(rig, model, rand);
    } else if (kind < 90) {
        claim(rig, model, rand);
    } else if (kind < 93) {
        machine_rig_do(rig, "XGROUP DELCONSUMER s g c%u", consumer);
        for (size_t i = 1; i <= IDS; i++) {
            model->owner[i] = model->owner[i] == consumer ? 0 : model->owner[i];
        }
    } else if (kind < 96) {
        model->delivered = rand_below(rand, model->added);
        machine_rig_do(rig, "XGROUP SETID s g %llu", (unsigned long long)model->delivered);
    } else if (model->added + 10 < IDS) {
        for (size_t i = 0; i < 10; i++) {
            machine_rig_do(rig, "XADD s %llu f v", (unsigned long long)++model->added);
        }
    }
}

static void play(uint64_t seed)
{
    printf("seed %llu\n", (unsigned long long)seed);
    struct rand rand;
    rand_init(&rand, seed);
    struct machine_rig rig;
    struct model model = {0};
    machine_rig_open(&rig, 1 + (unsigned)rand_below(&rand, 20));
    for (model.added = 1; model.added < 100; model.added++) {
        machine_rig_do(&rig, "XADD s %llu f v", (unsigned long long)model.added);
    }
    model.added--;
    machine_rig_do(&rig, "XGROUP CREATE s g 0");
    for (size_t i = 0; i < STEPS; i++) {
        step(&rig, &model, &rand);
        if (i % 8 == 0) {
            check(&rig, &model);
        }
    }
    check(&rig, &model);
    CHECK_EQ(machine_rig_count(&rig, "XGROUP DESTROY s g"), 1);
    struct stream stream;
    struct stream_group group;
    load(&rig, "s", &stream, &group);
    CHECK_EQ(group.number, 0);
    CHECK_EQ(stream.rows, stream.length + stream.middle);
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 1 + stream.rows);
    machine_rig_close(&rig);
}

TEST(stream_pending_walk, meets_what_is_pending_and_nothing_else)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        play(seed);
    }
}

/* A stream of few entries whose group has many rows, all pending for one consumer. */
static void fill(struct machine_rig *rig, int count)
{
    machine_rig_open(rig, 100);
    machine_rig_do(rig, "XADD s 1 f v");
    machine_rig_do(rig, "XGROUP CREATE s g 0");
    for (int i = 1; i <= count; i++) {
        machine_rig_do(rig, "XADD s %d f v", i + 1);
        machine_rig_do(rig, "XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        machine_rig_do(rig, "XTRIM s MAXLEN 1");
    }
}

TEST(garbage_sweep, takes_away_groups_that_are_larger_than_their_stream)
{
    struct machine_rig rig;
    fill(&rig, 20000);
    CHECK_EQ(machine_rig_count(&rig, "XLEN s"), 1);
    CHECK(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)) > 40000);
    CHECK_EQ(machine_rig_count(&rig, "DEL s"), 1);
    CHECK_EQ(machine_rig_sweep(&rig), 79); /* Steps of 512, and the row of the group. */
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 0);
    CHECK_EQ(machine_rig_rows(&rig, STORE_LOCAL, slice_of(NULL, 0)), 0);
    machine_rig_close(&rig);
}

TEST(stream_group_put, tells_the_stream_how_many_rows_there_are)
{
    struct machine_rig rig;
    fill(&rig, 40000);
    struct stream stream;
    struct stream_group group;
    load(&rig, "s", &stream, &group);
    uint64_t rows = machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)) - 1;
    CHECK(rows > 80000 && stream.rows + 5000 > rows && stream.rows < rows + 5000);
    CHECK_EQ(machine_rig_count(&rig, "DEL s"), 1);
    CHECK_EQ(rig.player.state.garbage, 0); /* By range, at once. */
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 0);
    machine_rig_close(&rig);
}

TEST(stream_group_destroy, takes_many_rows_at_once)
{
    struct machine_rig rig;
    fill(&rig, 10000);
    CHECK_EQ(machine_rig_count(&rig, "XGROUP DESTROY s g"), 1);
    struct stream stream;
    struct stream_group group;
    load(&rig, "s", &stream, &group);
    CHECK_EQ(stream.rows, 1);
    CHECK_EQ(machine_rig_rows(&rig, STORE_DATA, slice_of(NULL, 0)), 2);
    machine_rig_do(&rig, "XGROUP CREATE s g 0");
    load(&rig, "s", &stream, &group);
    CHECK_EQ(group.pending.count, 0);
    CHECK_EQ(group.number, 2);
    machine_rig_close(&rig);
}

TEST(stream_pending_drop, takes_those_of_one_consumer)
{
    struct machine_rig rig;
    fill(&rig, 3000);
    machine_rig_do(&rig, "XADD s 5000 f v");
    machine_rig_do(&rig, "XREADGROUP GROUP g d STREAMS s >");
    CHECK_EQ(machine_rig_count(&rig, "XGROUP DELCONSUMER s g c"), 3000);
    struct stream stream;
    struct stream_group group;
    load(&rig, "s", &stream, &group);
    CHECK_EQ(group.pending.count, 2); /* 3001 and 5000. */
    CHECK(group.pending.first.ms <= 3001 && group.pending.first.ms > 2960);
    CHECK_EQ(group.consumers, 1);
    machine_rig_close(&rig);
}
