#include "common/cluster/shard_map_take.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/cluster/session_number.h"
#include "common/cluster/shard_news.h"
#include "tests/support/test.h"

enum { NODES = 3, HISTORY_MAX = 512, RUNS = 200, CHANGES = 40, LOOKS = 200 };

static struct shard_desc desc_of(uint64_t id, uint64_t start, uint64_t last, uint64_t ver)
{
    struct shard_desc desc = {.id = id, .start = start, .last = last, .ver = ver, .conf_ver = 1};
    desc.replica_count = NODES;
    for (unsigned i = 0; i < NODES; i++) {
        desc.replicas[i] = (struct replica_desc){.id = id * 10 + i, .node = 1 + i};
    }
    return desc;
}

static void map_make(struct shard_map *map, const struct shard_desc *shards, size_t count)
{
    shard_map_init(map);
    map->version = 7;
    map->node_count = NODES;
    map->nodes = calloc(NODES, sizeof(*map->nodes));
    map->shard_count = count;
    map->shards = calloc(count, sizeof(*map->shards));
    CHECK(map->nodes != NULL && map->shards != NULL);
    for (uint64_t i = 0; i < NODES; i++) {
        map->nodes[i].id = 1 + i;
    }
    memcpy(map->shards, shards, count * sizeof(*shards));
    CHECK_EQ(shard_map_check(map), STATUS_OK);
}

static void expect(const struct shard_map *map, const struct shard_desc *shards, size_t count)
{
    CHECK_EQ(shard_map_check(map), STATUS_OK);
    CHECK_EQ(map->shard_count, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(map->shards[i].id, shards[i].id);
        CHECK_EQ(map->shards[i].ver, shards[i].ver);
        CHECK_EQ(map->shards[i].conf_ver, shards[i].conf_ver);
        CHECK_EQ(map->shards[i].last, shards[i].last);
    }
}

TEST(shard_map_take, takes_a_split_as_a_whole)
{
    const struct shard_desc before[] = {desc_of(2, 0, 99, 1), desc_of(3, 100, UINT64_MAX, 1)};
    const struct shard_desc after[] = {desc_of(2, 0, 49, 2), desc_of(4, 50, 99, 2),
                                       desc_of(3, 100, UINT64_MAX, 1)};
    struct shard_map map;
    map_make(&map, before, 2);
    CHECK(!shard_map_take(&map, &after[0], 1));
    CHECK(!shard_map_take(&map, &after[1], 1));
    expect(&map, before, 2);
    CHECK(shard_map_take(&map, after, 2));
    expect(&map, after, 3);
    CHECK_EQ(map.version, 7);
    CHECK(!shard_map_take(&map, after, 3));
    CHECK(!shard_map_take(&map, before, 2)); /* Older. */
    expect(&map, after, 3);
    shard_map_deinit(&map);
}

TEST(shard_map_take, follows_a_split_a_merge_and_a_split_at_the_same_token)
{
    const struct shard_desc before[] = {desc_of(2, 0, UINT64_MAX, 1)};
    const struct shard_desc once[] = {desc_of(2, 0, 49, 2), desc_of(3, 50, UINT64_MAX, 2)};
    const struct shard_desc merged[] = {desc_of(2, 0, UINT64_MAX, 3)};
    const struct shard_desc again[] = {desc_of(2, 0, 49, 4), desc_of(4, 50, UINT64_MAX, 4)};
    struct shard_map map;
    map_make(&map, before, 1);
    CHECK(shard_map_take(&map, once, 2));
    CHECK(shard_map_take(&map, merged, 1));
    expect(&map, merged, 1);
    CHECK(!shard_map_take(&map, once, 2));
    CHECK(shard_map_take(&map, again, 2));
    CHECK(!shard_map_take(&map, once, 2));
    CHECK(!shard_map_take(&map, merged, 1));
    expect(&map, again, 2);
    shard_map_deinit(&map);
}

TEST(shard_map_take, takes_the_newest_of_what_is_told_at_once)
{
    const struct shard_desc before[] = {desc_of(2, 0, UINT64_MAX, 1)};
    const struct shard_desc told[] = {desc_of(2, 0, 49, 2), desc_of(3, 50, UINT64_MAX, 2),
                                      desc_of(4, 20, 49, 3), desc_of(2, 0, 19, 3)};
    const struct shard_desc after[] = {desc_of(2, 0, 19, 3), desc_of(4, 20, 49, 3),
                                       desc_of(3, 50, UINT64_MAX, 2)};
    struct shard_map map;
    map_make(&map, before, 1);
    CHECK(shard_map_take(&map, told, 4));
    expect(&map, after, 3);
    shard_map_deinit(&map);
    /* One half of the second split is missing: the first one counts. */
    map_make(&map, before, 1);
    CHECK(shard_map_take(&map, told, 3));
    expect(&map, told, 2);
    shard_map_deinit(&map);
}

TEST(shard_map_take, keeps_replicas_that_are_newer_than_the_range)
{
    struct shard_desc before[] = {desc_of(2, 0, 99, 1), desc_of(3, 100, UINT64_MAX, 1)};
    struct shard_desc after[] = {desc_of(2, 0, 49, 2), desc_of(4, 50, 99, 2),
                                 desc_of(3, 100, UINT64_MAX, 1)};
    before[0].conf_ver = 5;
    before[0].replica_count = 1;
    before[0].replicas[0] = (struct replica_desc){.id = 77, .node = 3};
    struct shard_map map;
    map_make(&map, before, 2);
    CHECK(shard_map_take(&map, after, 2));
    after[0].conf_ver = 5;
    expect(&map, after, 3);
    CHECK_EQ(map.shards[0].replica_count, 1);
    CHECK_EQ(map.shards[0].replicas[0].id, 77);
    after[0].conf_ver = 6; /* Replicas alone are news too. */
    CHECK(shard_map_take(&map, after, 1));
    CHECK_EQ(map.shards[0].replicas[0].id, 20);
    CHECK(!shard_map_take(&map, after, 1));
    shard_map_deinit(&map);
}

TEST(shard_map_take, refuses_what_no_map_could_hold)
{
    const struct shard_desc before[] = {desc_of(2, 0, 99, 1), desc_of(3, 100, UINT64_MAX, 1)};
    struct shard_map map;
    map_make(&map, before, 2);
    struct shard_desc bad = desc_of(2, 0, 99, 2);
    bad.replicas[1].node = 44; /* Nobody knows it. */
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(2, 0, 99, 2);
    bad.replica_count = 0;
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(SHARD_META, 0, 99, 2);
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(2, 99, 0, 2);
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(5, 50, 149, 2); /* Leaves gaps. */
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(3, 0, 99, 2); /* The id would be there twice. */
    CHECK(!shard_map_take(&map, &bad, 1));
    bad = desc_of(5, 0, 99, 1); /* Not newer. */
    CHECK(!shard_map_take(&map, &bad, 1));
    expect(&map, before, 2);
    shard_map_deinit(&map);
    shard_map_init(&map);
    CHECK(!shard_map_take(&map, before, 2));
    shard_map_deinit(&map);
}

/* A ring that changes, and all that it ever was. */
struct story {
    struct rand rand;
    struct shard_map ring;
    struct shard_desc history[HISTORY_MAX];
    size_t history_count;
    uint64_t next_id;
};

static void remember(struct story *story, const struct shard_desc *desc)
{
    CHECK(story->history_count < HISTORY_MAX);
    story->history[story->history_count++] = *desc;
}

static void split_at(struct story *story, size_t at)
{
    struct shard_map *ring = &story->ring;
    struct shard_desc *parent = &ring->shards[at];
    if (parent->start == parent->last) {
        return;
    }
    uint64_t token = parent->start + 1 + rand_below(&story->rand, parent->last - parent->start);
    struct shard_desc child = desc_of(story->next_id++, token, parent->last, parent->ver + 1);
    child.parent = parent->id;
    parent->last = token - 1;
    parent->ver++;
    remember(story, parent);
    remember(story, &child);
    ring->shards = realloc(ring->shards, (ring->shard_count + 1) * sizeof(*ring->shards));
    CHECK(ring->shards != NULL);
    memmove(&ring->shards[at + 2], &ring->shards[at + 1],
            (ring->shard_count - at - 1) * sizeof(*ring->shards));
    ring->shards[at + 1] = child;
    ring->shard_count++;
}

/* Either of the two goes on. */
static void merge_at(struct story *story, size_t at)
{
    struct shard_map *ring = &story->ring;
    if (at + 1 == ring->shard_count) {
        return;
    }
    struct shard_desc *low = &ring->shards[at];
    const struct shard_desc *high = &ring->shards[at + 1];
    struct shard_desc all = rand_below(&story->rand, 2) == 0 ? *low : *high;
    all.start = low->start;
    all.last = high->last;
    all.ver = (low->ver > high->ver ? low->ver : high->ver) + 1;
    *low = all;
    remember(story, low);
    memmove(&ring->shards[at + 1], &ring->shards[at + 2],
            (ring->shard_count - at - 2) * sizeof(*ring->shards));
    ring->shard_count--;
}

static void change(struct story *story)
{
    size_t at = rand_below(&story->rand, story->ring.shard_count);
    uint64_t kind = rand_below(&story->rand, 5);
    if (kind < 2) {
        split_at(story, at);
    } else if (kind < 4) {
        merge_at(story, at);
    } else {
        story->ring.shards[at].ver++; /* Frozen, say. */
        remember(story, &story->ring.shards[at]);
    }
    CHECK_EQ(shard_map_check(&story->ring), STATUS_OK);
}

static void check_step(struct story *story, const struct shard_map *was, const struct shard_map *is)
{
    CHECK_EQ(shard_map_check(is), STATUS_OK);
    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t token = rand_u64(&story->rand);
        const struct shard_desc *then = shard_map_find(was, token);
        const struct shard_desc *now = shard_map_find(is, token);
        CHECK(now->ver >= then->ver);
        CHECK(now->ver > then->ver || now->id == then->id);
        CHECK(now->ver <= shard_map_find(&story->ring, token)->ver);
    }
    for (size_t i = 0; i < is->shard_count; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK(is->shards[i].id != is->shards[j].id);
        }
    }
}

static void run_story(uint64_t seed)
{
    struct story *story = calloc(1, sizeof(*story));
    CHECK(story != NULL);
    rand_init(&story->rand, seed);
    const struct shard_desc whole = desc_of(2, 0, UINT64_MAX, 1);
    map_make(&story->ring, &whole, 1);
    story->next_id = 3;
    remember(story, &whole);
    struct shard_map map;
    struct shard_map was;
    shard_map_init(&map);
    shard_map_init(&was);
    shard_map_copy(&map, &story->ring);
    for (unsigned i = 0; i < CHANGES; i++) {
        change(story);
        struct shard_desc told[8];
        size_t count = rand_below(&story->rand, 8);
        for (size_t j = 0; j < count; j++) {
            told[j] = story->history[rand_below(&story->rand, story->history_count)];
        }
        shard_map_copy(&was, &map);
        bool changed = shard_map_take(&map, told, count);
        CHECK(changed || map.shard_count == was.shard_count);
        check_step(story, &was, &map);
        CHECK(!shard_map_take(&map, was.shards, was.shard_count));
        if (rand_below(&story->rand, 8) == 0) { /* A whole map of today over what was learned. */
            struct shard_map fresh;
            shard_map_init(&fresh);
            shard_map_copy(&fresh, &story->ring);
            CHECK(!shard_map_take(&fresh, map.shards, map.shard_count));
            (void)shard_map_take(&map, fresh.shards, fresh.shard_count);
            expect(&map, story->ring.shards, story->ring.shard_count);
            shard_map_deinit(&fresh);
        }
    }
    (void)shard_map_take(&map, story->history, story->history_count);
    expect(&map, story->ring.shards, story->ring.shard_count);
    shard_map_deinit(&map);
    shard_map_deinit(&was);
    shard_map_deinit(&story->ring);
    free(story);
}

static uint64_t seed_now;

static void print_seed(int number)
{
    (void)number;
    fprintf(stderr, "failed with seed %" PRIu64 "\n", seed_now);
}

TEST(shard_map_take, never_goes_back_and_arrives_whatever_is_told_in_whatever_order)
{
    (void)signal(SIGABRT, print_seed);
    for (seed_now = 1; seed_now <= RUNS; seed_now++) {
        run_story(seed_now);
    }
}

TEST(shard_news, are_read_as_they_were_written)
{
    struct shard_news news = {0};
    struct shard_news read;
    struct shard_desc desc = desc_of(9, 5, 6, 7);
    struct leader_hint hint = {.shard = 9, .term = 4, .node = 2, .voters = 3};
    CHECK(shard_news_decode(slice_of(NULL, 0), &read));
    CHECK_EQ(read.count, 0);
    for (unsigned i = 0; i < SHARD_NEWS_MAX + 2; i++) {
        shard_news_add(&news, &desc, i == 0 ? &hint : NULL);
    }
    CHECK_EQ(news.count, SHARD_NEWS_MAX);
    struct buf body;
    buf_init(&body, 1 << 20);
    shard_news_encode(&news, &body);
    CHECK(shard_news_decode(buf_slice(&body), &read));
    CHECK_EQ(read.count, SHARD_NEWS_MAX);
    CHECK_EQ(read.descs[0].last, 6);
    CHECK_EQ(read.hints[0].node, 2);
    CHECK_EQ(read.hints[1].node, 0);
    CHECK_EQ(read.hints[1].shard, 9);
    CHECK(!shard_news_decode(slice_of(body.data, body.len - 1), &read));
    CHECK_EQ(read.count, 0);
    body.data[0] = SHARD_NEWS_MAX + 1;
    CHECK(!shard_news_decode(buf_slice(&body), &read));
    buf_deinit(&body);
}

TEST(session_number_inherited, is_another_number_and_stays)
{
    uint64_t session = session_number_own(UINT64_MAX);
    uint64_t heir = session_number_inherited(session, 5);
    CHECK(heir != session && session_number_inherited(session, 6) != heir);
    CHECK_EQ(session_number_inherited(heir, 6), heir);
    CHECK_EQ(session_number_own(session), session);
    CHECK(session_number_own(heir) != heir);
    CHECK(session_number_own(0) != 0 && session_number_own(SESSION_NUMBER_INHERITED) != 0);
}
