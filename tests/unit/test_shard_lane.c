#include "router/shard_lane.h"

#include "tests/support/test.h"

enum { PARTS = 6 };

struct bench {
    struct lane lane;
    struct lane_part parts[PARTS];
    char target; /* Something to point to. */
};

/* Part i has order 10 * (i + 1); the even ones are writes. */
static void bench_init(struct bench *bench)
{
    *bench = (struct bench){0};
    lane_init(&bench->lane, 7);
    for (unsigned i = 0; i < PARTS; i++) {
        struct lane_part *part = &bench->parts[i];
        part->order = 10 * (i + 1);
        part->seq = i % 2 == 0 ? part->order : 0;
        part->size = 100;
    }
}

static struct backend *target_of(struct bench *bench)
{
    return (struct backend *)(void *)&bench->target;
}

TEST(lane_insert, sorts_by_order)
{
    struct bench bench;
    bench_init(&bench);
    const unsigned turns[PARTS] = {3, 0, 5, 1, 4, 2};
    for (unsigned i = 0; i < PARTS; i++) {
        lane_insert(&bench.lane, &bench.parts[turns[i]]);
    }
    CHECK_EQ(bench.lane.count, PARTS);
    CHECK_EQ(bench.lane.size, 100 * PARTS);
    unsigned i = 0;
    for (struct lane_part *part = lane_head(&bench.lane); part != NULL;
         part = lane_after(&bench.lane, part)) {
        CHECK(part == &bench.parts[i]);
        CHECK_EQ(part->shard, 7);
        i++;
    }
    CHECK_EQ(i, PARTS);
}

TEST(lane_first_unacked, is_the_oldest_write)
{
    struct bench bench;
    bench_init(&bench);
    for (unsigned i = PARTS; i > 1; i--) { /* All but the first, backwards. */
        lane_insert(&bench.lane, &bench.parts[i - 1]);
    }
    CHECK_EQ(lane_first_unacked(&bench.lane, &bench.parts[4]), 30);
    lane_remove(&bench.lane, &bench.parts[2]);
    CHECK_EQ(lane_first_unacked(&bench.lane, &bench.parts[4]), 50);
    lane_insert(&bench.lane, &bench.parts[0]); /* One that came back. */
    CHECK_EQ(lane_first_unacked(&bench.lane, &bench.parts[4]), 10);
}

TEST(lane_learn, takes_newer_terms_only)
{
    struct bench bench;
    bench_init(&bench);
    CHECK(lane_learn(&bench.lane, 1, 5));
    CHECK(!lane_learn(&bench.lane, 1, 5));
    CHECK(!lane_learn(&bench.lane, 2, 5));
    CHECK(!lane_learn(&bench.lane, 2, 4));
    CHECK(!lane_learn(&bench.lane, 0, 9));
    CHECK_EQ(bench.lane.leader, 1);
    lane_forget(&bench.lane, 2);
    CHECK_EQ(bench.lane.leader, 1);
    lane_forget(&bench.lane, 1);
    CHECK_EQ(bench.lane.leader, 0);
    CHECK(!lane_learn(&bench.lane, 2, 4));
    CHECK(lane_learn(&bench.lane, 2, 5));
}

TEST(lane_probe, begins_with_the_head_and_opens_with_its_answer)
{
    struct bench bench;
    bench_init(&bench);
    struct lane *lane = &bench.lane;
    CHECK(lane_probe(lane, target_of(&bench)) == NULL);
    CHECK_EQ(lane->state, LANE_SHUT);
    lane_shut(lane, 0);
    lane_insert(lane, &bench.parts[0]);
    lane_insert(lane, &bench.parts[1]);
    CHECK(lane_probe(lane, target_of(&bench)) == &bench.parts[0]);
    CHECK_EQ(lane->state, LANE_PROBE);
    bench.parts[0].run = lane->run;
    lane_confirm(lane, &bench.parts[0]);
    CHECK_EQ(lane->state, LANE_OPEN);
    lane_remove(lane, &bench.parts[0]);
    CHECK(lane->next == &bench.parts[1]);
}

TEST(lane_pause, goes_on_with_what_was_refused)
{
    struct bench bench;
    bench_init(&bench);
    struct lane *lane = &bench.lane;
    lane_insert(lane, &bench.parts[0]);
    CHECK(lane_probe(lane, target_of(&bench)) == &bench.parts[0]);
    bench.parts[0].run = lane->run;
    lane_confirm(lane, &bench.parts[0]);
    for (unsigned i = 1; i < 4; i++) {
        lane_insert(lane, &bench.parts[i]);
        bench.parts[i].run = lane->run;
    }
    lane->next = NULL;
    uint32_t run = lane->run;
    bench.parts[2].run = 0; /* Refused. */
    lane_pause(lane, 50);
    CHECK(lane_probe(lane, NULL) == &bench.parts[2]);
    CHECK_EQ(lane->run, run);
    bench.parts[2].run = run;
    lane_confirm(lane, &bench.parts[1]); /* From before the pause. */
    CHECK_EQ(lane->state, LANE_PROBE);
    lane_confirm(lane, &bench.parts[2]);
    CHECK_EQ(lane->state, LANE_OPEN);
    CHECK(lane_unsent(lane) == NULL);
}

TEST(lane_remove, of_the_probe_asks_for_another)
{
    struct bench bench;
    bench_init(&bench);
    struct lane *lane = &bench.lane;
    lane_insert(lane, &bench.parts[0]);
    lane_insert(lane, &bench.parts[1]);
    struct lane_part *probe = lane_probe(lane, target_of(&bench));
    probe->run = lane->run;
    lane_remove(lane, probe);
    CHECK_EQ(lane->state, LANE_SHUT);
    CHECK(lane_probe(lane, NULL) == &bench.parts[1]);
}

TEST(lane_shut, makes_everything_unsent)
{
    struct bench bench;
    bench_init(&bench);
    struct lane *lane = &bench.lane;
    for (unsigned i = 0; i < 3; i++) {
        lane_insert(lane, &bench.parts[i]);
    }
    CHECK(lane_probe(lane, target_of(&bench)) != NULL);
    for (unsigned i = 0; i < 3; i++) {
        bench.parts[i].run = lane->run;
    }
    lane_shut(lane, 10);
    CHECK(lane->target == NULL);
    CHECK(lane_probe(lane, target_of(&bench)) == &bench.parts[0]);
}
