#include "common/cluster/errand.h"

#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/test.h"

/* Errands among nodes that a test plays: who leads is what it says, what is sent is kept. */

struct world {
    struct errands errands;
    struct shard_desc shard;
    uint64_t leader; /* As known here; 0: unknown. */
    uint64_t cut;    /* A node that cannot be reached. */
    uint64_t node;   /* What was sent last: to whom, */
    uint64_t id;     /* under which number, */
    uint64_t term;
    size_t sent; /* and how many there were. */
    size_t done;
    enum status status;
    char reply[64];
};

static bool leader(void *ctx, uint64_t shard, struct leader_hint *hint)
{
    struct world *world = ctx;
    *hint = (struct leader_hint){.shard = shard, .node = world->leader};
    return world->leader != 0;
}

static const struct shard_desc *shard(void *ctx, uint64_t id)
{
    struct world *world = ctx;
    CHECK_EQ(id, 7);
    return &world->shard;
}

static bool send(void *ctx, uint64_t node, const struct frame_request *request)
{
    struct world *world = ctx;
    if (node == world->cut) {
        return false;
    }
    CHECK(errand_owns(request->id) && request->shard == 7 && request->session == 0);
    CHECK_BYTES(request->args.argv[0], "DO");
    CHECK_BYTES(request->args.argv[1], "it");
    world->node = node;
    world->id = request->id;
    world->term = request->seq;
    world->sent++;
    return true;
}

static void done(const struct errand_order *order, enum status status, struct slice reply)
{
    struct world *world = order->ctx;
    CHECK(reply.len < sizeof(world->reply));
    world->done++;
    world->status = status;
    if (reply.len > 0) {
        memcpy(world->reply, reply.data, reply.len);
    }
    world->reply[reply.len] = '\0';
}

static void begin(struct world *world, bool once)
{
    char words[] = "DOit"; /* Not there any more when it is sent. */
    struct slice argv[] = {slice_of(words, 2), slice_of(words + 2, 2)};
    struct errand_order order = {.shard = 7,
                                 .args = {.argv = argv, .argc = 2},
                                 .term = 3,
                                 .once = once,
                                 .ctx = world,
                                 .done = done};
    errands_begin(&world->errands, &order);
    memset(words, 0, sizeof(words));
}

static void world_init(struct world *world)
{
    *world = (struct world){.leader = 2};
    world->shard = (struct shard_desc){.id = 7, .replica_count = 3};
    for (unsigned i = 0; i < 3; i++) {
        world->shard.replicas[i] = (struct replica_desc){.id = 10 + i, .node = 1 + i};
    }
    struct errands_env env = {.ctx = world, .leader = leader, .shard = shard, .send = send};
    errands_init(&world->errands, &env, 1);
}

static void refuse(struct world *world, uint64_t hinted)
{
    struct buf body;
    buf_init(&body, 64);
    struct leader_hint hint = {.shard = 7, .node = hinted};
    leader_hint_encode(&hint, &body);
    errands_reply(&world->errands, world->id, STATUS_NOT_LEADER, buf_slice(&body));
    buf_deinit(&body);
}

TEST(errands_begin, asks_the_leader_that_is_known)
{
    struct world world;
    world_init(&world);
    begin(&world, false);
    errands_tick(&world.errands, 1000);
    CHECK(world.node == 2 && world.term == 3 && world.done == 0);
    errands_reply(&world.errands, world.id, STATUS_OK, slice_str("+OK"));
    CHECK(world.done == 1 && world.status == STATUS_OK && strcmp(world.reply, "+OK") == 0);
    errands_reply(&world.errands, world.id, STATUS_OK, slice_str("+OK")); /* A copy. */
    CHECK(world.done == 1 && world.errands.count == 0);
    errands_deinit(&world.errands);
}

TEST(errands_reply, follows_the_one_that_is_named_at_once)
{
    struct world world;
    world_init(&world);
    begin(&world, true);
    errands_tick(&world.errands, 1000);
    refuse(&world, 3);
    errands_tick(&world.errands, 1000);
    CHECK(world.node == 3 && world.sent == 2);
    errands_deinit(&world.errands);
}

TEST(errands_tick, asks_all_in_turn_when_nobody_is_known)
{
    struct world world;
    uint64_t seen = 0;
    world_init(&world);
    world.leader = 0;
    begin(&world, false);
    for (uint64_t now = 1000; now < 5500; now += 50) {
        errands_tick(&world.errands, now);
        if (world.id != 0) {
            seen |= UINT64_C(1) << world.node;
            refuse(&world, 0);
            world.id = 0;
        }
    }
    CHECK_EQ(seen, 0xe);
    CHECK(world.done == 0);
    errands_tick(&world.errands, 1000 + ERRAND_DEADLINE_MS);
    CHECK(world.done == 1 && world.status == STATUS_NOT_LEADER);
    errands_deinit(&world.errands);
}

TEST(errands_tick, asks_another_when_one_says_nothing)
{
    struct world world;
    world_init(&world);
    begin(&world, false);
    errands_tick(&world.errands, 1000);
    uint64_t first = world.id;
    for (uint64_t now = 1000; world.sent == 1 && now < 5000; now += 100) {
        errands_tick(&world.errands, now);
    }
    CHECK(world.sent == 2 && world.node != 2);
    errands_reply(&world.errands, first, STATUS_OK, slice_str("+OK")); /* Too late. */
    CHECK(world.done == 0);
    errands_deinit(&world.errands);
}

TEST(errands_lost, ends_what_may_have_been_done_if_it_is_for_once)
{
    struct world world;
    world_init(&world);
    begin(&world, true);
    errands_tick(&world.errands, 1000);
    errands_lost(&world.errands, 3);
    CHECK(world.done == 0);
    errands_lost(&world.errands, 2);
    errands_tick(&world.errands, 1001);
    CHECK(world.done == 1 && world.status == STATUS_DISCONNECTED && world.sent == 1);
    begin(&world, false);
    errands_tick(&world.errands, 2000);
    errands_lost(&world.errands, world.node);
    errands_tick(&world.errands, 2800);
    CHECK(world.done == 1 && world.sent == 3);
    errands_deinit(&world.errands);
}

TEST(errands_reply, a_refusal_for_good_is_told)
{
    struct world world;
    world_init(&world);
    begin(&world, false);
    errands_tick(&world.errands, 1000);
    errands_reply(&world.errands, world.id, STATUS_BAD_ARGUMENT, slice_str("no"));
    CHECK(world.done == 1 && world.status == STATUS_BAD_ARGUMENT);
    errands_deinit(&world.errands);
}

TEST(errands_part, joins_the_pieces_of_a_reply)
{
    struct world world;
    world_init(&world);
    begin(&world, false);
    errands_tick(&world.errands, 1000);
    struct frame_part piece = {.id = world.id, .size = 5, .bytes = slice_str("$1\r")};
    errands_part(&world.errands, &piece);
    errands_part(&world.errands, &piece); /* Not what comes next. */
    CHECK(world.done == 0);
    piece.offset = 3;
    piece.bytes = slice_str("\nx");
    errands_part(&world.errands, &piece);
    CHECK(world.done == 1 && strcmp(world.reply, "$1\r\nx") == 0);
    errands_deinit(&world.errands);
}

TEST(errands_expire, ends_all)
{
    struct world world;
    world_init(&world);
    world.cut = 2;
    begin(&world, true);
    begin(&world, false);
    errands_tick(&world.errands, 1000);
    errands_expire(&world.errands);
    CHECK(world.done == 2 && world.errands.count == 0);
    errands_deinit(&world.errands);
}
