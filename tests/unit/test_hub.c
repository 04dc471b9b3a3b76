#include "server/hub.h"

#include <stdio.h>

#include "tests/support/test.h"

/* What was visited: "loop.number:kind topic;" for each. */
static void note(void *ctx, const struct hub_link *link, enum topic_kind kind, struct slice topic)
{
    struct buf *out = ctx;
    buf_append_format(out, "%u.%u:%c ", link->loop, (unsigned)link->number, (char)kind);
    buf_append_slice(out, topic);
    buf_append_text(out, ";");
}

struct world {
    struct hub hub;
    struct hub_place place;
    struct buf seen;
};

static void begin(struct world *world)
{
    *world = (struct world){.place = {.shard = 2, .term = 5}};
    hub_init(&world->hub);
    buf_init(&world->seen, 1 << 16);
}

static void end(struct world *world)
{
    hub_deinit(&world->hub);
    buf_deinit(&world->seen);
}

static void join(
    struct world *world, enum topic_kind kind, const char *name, uint64_t number, uint32_t count)
{
    struct hub_link link = {.loop = 1, .number = number};
    CHECK_EQ(hub_join(&world->hub, &world->place, kind, slice_str(name), &link, count), STATUS_OK);
}

static uint64_t publish(struct world *world, enum topic_kind kind, const char *channel)
{
    struct hub_visit visit = {.visit = note, .ctx = &world->seen};
    buf_clear(&world->seen);
    return hub_publish(&world->hub, &world->place, kind, slice_str(channel), &visit);
}

TEST(hub_publish, reaches_channels_and_patterns_of_the_same_shard)
{
    struct world world;
    begin(&world);
    join(&world, TOPIC_CHANNEL, "news", 1, 3);
    join(&world, TOPIC_CHANNEL, "news", 2, 1);
    join(&world, TOPIC_PATTERN, "n*", 1, 2);
    join(&world, TOPIC_PATTERN, "x*", 1, 9);
    join(&world, TOPIC_SHARD, "news", 3, 7);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "news"), 6);
    CHECK_BYTES(buf_slice(&world.seen), "1.1:c news;1.2:c news;1.1:p n*;");
    CHECK_EQ(publish(&world, TOPIC_SHARD, "news"), 7);
    CHECK_BYTES(buf_slice(&world.seen), "1.3:s news;");
    world.place.shard = 3;
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "news"), 0);
    end(&world);
}

TEST(hub_join, sets_the_number_and_leaves_with_none)
{
    struct world world;
    begin(&world);
    join(&world, TOPIC_CHANNEL, "a", 1, 3);
    join(&world, TOPIC_CHANNEL, "a", 1, 1);
    CHECK_EQ(hub_count(&world.hub, &world.place, TOPIC_CHANNEL, slice_str("a")), 1);
    join(&world, TOPIC_CHANNEL, "a", 2, 1);
    join(&world, TOPIC_CHANNEL, "a", 1, 0);
    join(&world, TOPIC_CHANNEL, "a", 1, 0);
    join(&world, TOPIC_CHANNEL, "never", 1, 0);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 1);
    CHECK_BYTES(buf_slice(&world.seen), "1.2:c a;");
    join(&world, TOPIC_CHANNEL, "a", 2, 0);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 0);
    CHECK_EQ(world.hub.topic_count, 0);
    end(&world);
}

TEST(hub_forget, takes_a_connection_out_of_everything)
{
    struct world world;
    begin(&world);
    for (uint64_t number = 1; number <= 2; number++) {
        join(&world, TOPIC_CHANNEL, "a", number, 1);
        join(&world, TOPIC_PATTERN, "*", number, 1);
    }
    struct hub_link other_loop = {.loop = 0, .number = 1};
    hub_forget(&world.hub, &other_loop);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 4);
    struct hub_link link = {.loop = 1, .number = 1};
    hub_forget(&world.hub, &link);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 2);
    CHECK_BYTES(buf_slice(&world.seen), "1.2:c a;1.2:p *;");
    end(&world);
}

TEST(hub_publish, knows_nothing_of_an_earlier_term)
{
    struct world world;
    begin(&world);
    join(&world, TOPIC_CHANNEL, "a", 1, 1);
    join(&world, TOPIC_PATTERN, "*", 1, 1);
    world.place.term++;
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 0);
    CHECK_EQ(world.hub.topic_count, 0);
    join(&world, TOPIC_CHANNEL, "a", 1, 1);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 1);
    hub_drop(&world.hub, 2);
    CHECK_EQ(publish(&world, TOPIC_CHANNEL, "a"), 0);
    end(&world);
}

TEST(hub_list, names_what_matches)
{
    struct world world;
    begin(&world);
    join(&world, TOPIC_CHANNEL, "ab", 1, 1);
    join(&world, TOPIC_CHANNEL, "b", 1, 1);
    join(&world, TOPIC_PATTERN, "a*", 1, 1);
    join(&world, TOPIC_SHARD, "a", 1, 1);
    struct slice pattern = slice_str("a*");
    CHECK_EQ(hub_list(&world.hub, &world.place, TOPIC_CHANNEL, &pattern, &world.seen), 1);
    CHECK_BYTES(buf_slice(&world.seen), "$2\r\nab\r\n");
    buf_clear(&world.seen);
    CHECK_EQ(hub_list(&world.hub, &world.place, TOPIC_CHANNEL, NULL, &world.seen), 2);
    buf_clear(&world.seen);
    CHECK_EQ(hub_list(&world.hub, &world.place, TOPIC_PATTERN, NULL, &world.seen), 1);
    CHECK_BYTES(buf_slice(&world.seen), "$2\r\na*\r\n");
    end(&world);
}

TEST(hub_wants_events, if_a_pattern_or_such_a_channel_was_joined)
{
    struct world world;
    begin(&world);
    CHECK(!hub_wants_events(&world.hub, &world.place));
    join(&world, TOPIC_CHANNEL, "__ke", 1, 1);
    join(&world, TOPIC_SHARD, "__keyevent@0__:del", 1, 1);
    CHECK(!hub_wants_events(&world.hub, &world.place));
    join(&world, TOPIC_CHANNEL, "__keyevent@0__:del", 1, 1);
    CHECK(hub_wants_events(&world.hub, &world.place));
    join(&world, TOPIC_CHANNEL, "__keyevent@0__:del", 1, 0);
    CHECK(!hub_wants_events(&world.hub, &world.place));
    join(&world, TOPIC_PATTERN, "*", 1, 1);
    CHECK(hub_wants_events(&world.hub, &world.place));
    world.place.term++;
    CHECK(!hub_wants_events(&world.hub, &world.place));
    end(&world);
}
