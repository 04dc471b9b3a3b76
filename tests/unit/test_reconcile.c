#include "server/control/reconcile.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

/* A shard with wanted replicas 11, 12, 13 on nodes 1, 2, 3, led by 11. */
struct scene {
    struct shard_desc desc;
    struct group_info info;
    struct reconcile_state state;
    unsigned connected;
    uint64_t now_ms;
};

static void want(struct scene *scene, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t ids[] = {a, b, c};
    scene->desc.replica_count = 3;
    for (unsigned i = 0; i < 3; i++) {
        scene->desc.replicas[i] = (struct replica_desc){.id = ids[i], .node = ids[i] - 10};
    }
}

static void add(struct scene *scene, uint64_t replica, enum member_role role, uint64_t match)
{
    unsigned i = scene->info.conf.count++;
    scene->info.conf.members[i] =
        (struct group_member){.replica = replica, .node = replica - 10, .role = role};
    scene->info.match[i] = match;
}

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){.now_ms = 1000, .connected = ~0U};
    scene->desc.id = 7;
    want(scene, 11, 12, 13);
    scene->info = (struct group_info){.id = 7, .replica = 11, .role = GROUP_LEADER, .term = 3};
    scene->info.commit_index = 5000;
    scene->info.last_index = 5000;
}

static void three(struct scene *scene)
{
    scene_init(scene);
    add(scene, 11, MEMBER_VOTER, 5000);
    add(scene, 12, MEMBER_VOTER, 5000);
    add(scene, 13, MEMBER_VOTER, 5000);
}

static struct reconcile_step next(struct scene *scene)
{
    struct reconcile_input input = {.desc = &scene->desc, .info = &scene->info};
    input.connected = scene->connected;
    input.now_ms = scene->now_ms;
    return reconcile_next(&scene->state, &input);
}

#define CHECK_STEP(step_, kind_, replica_)   \
    do {                                     \
        struct reconcile_step got = (step_); \
        CHECK_EQ(got.kind, (kind_));         \
        CHECK_EQ(got.replica, (replica_));   \
    } while (0)

TEST(reconcile_next, has_nothing_to_do_when_all_is_well)
{
    struct scene scene;
    three(&scene);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
        scene.now_ms += 1000;
    }
}

TEST(reconcile_next, leaves_it_to_the_leader)
{
    struct scene scene;
    three(&scene);
    want(&scene, 11, 12, 14);
    scene.info.role = GROUP_FOLLOWER;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
    scene.info.role = GROUP_LEADER;
    scene.desc.replica_count = 0;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
}

TEST(reconcile_next, replaces_a_lost_replica_step_by_step)
{
    struct scene scene;
    three(&scene);
    want(&scene, 11, 12, 14);
    scene.connected = ~(1U << 2); /* 13 is lost. */
    scene.info.match[2] = 100;
    struct reconcile_step step = next(&scene);
    CHECK_STEP(step, RECONCILE_ADD, 14);
    CHECK_EQ(step.node, 4);
    add(&scene, 14, MEMBER_SPARE, 0);
    step = next(&scene);
    CHECK_STEP(step, RECONCILE_ASSIGN, 14);
    CHECK_EQ(step.role, MEMBER_STANDBY);
    scene.info.conf.members[3].role = MEMBER_STANDBY;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0); /* Behind: wait. */
    scene.info.match[3] = 5000 - RECONCILE_LAG_MAX - 1;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
    scene.info.match[3]++;
    step = next(&scene);
    CHECK_STEP(step, RECONCILE_ASSIGN, 14);
    CHECK_EQ(step.role, MEMBER_VOTER);
    scene.info.conf.members[3].role = MEMBER_VOTER;
    CHECK_STEP(next(&scene), RECONCILE_REMOVE, 13);
    scene.info.conf.members[2] = scene.info.conf.members[3];
    scene.info.conf.count = 3;
    scene.connected = ~0U;
    scene.info.match[2] = 5000;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
}

TEST(reconcile_next, does_not_promote_who_is_away)
{
    struct scene scene;
    three(&scene);
    want(&scene, 11, 12, 14);
    add(&scene, 14, MEMBER_STANDBY, 5000);
    scene.connected = ~(1U << 3);
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
}

TEST(reconcile_next, one_that_is_away_does_not_hold_up_the_others)
{
    struct scene scene;
    scene_init(&scene);
    add(&scene, 11, MEMBER_VOTER, 5000);
    add(&scene, 12, MEMBER_STANDBY, 0);
    scene.connected = 1;
    CHECK_STEP(next(&scene), RECONCILE_ADD, 13);
}

TEST(reconcile_next, removes_no_voter_while_the_wanted_ones_are_no_quorum)
{
    struct scene scene;
    three(&scene);
    want(&scene, 11, 12, 14);
    add(&scene, 14, MEMBER_VOTER, 5000);
    scene.connected = ~(1U << 1 | 1U << 3); /* 12 and 14 are away: 11 and 13 carry the group. */
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
    scene.connected = ~(1U << 1);
    CHECK_STEP(next(&scene), RECONCILE_REMOVE, 13);
    scene.info.match[3] = 0; /* Connected but far behind is as good as away. */
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
}

TEST(reconcile_next, removes_one_without_a_vote_at_once)
{
    struct scene scene;
    three(&scene);
    add(&scene, 14, MEMBER_STANDBY, 0);
    scene.connected = 1;
    CHECK_STEP(next(&scene), RECONCILE_REMOVE, 14);
}

TEST(reconcile_next, hands_over_before_it_leaves)
{
    struct scene scene;
    three(&scene);
    want(&scene, 14, 12, 13); /* 11 leads and is to go. */
    add(&scene, 14, MEMBER_VOTER, 4900);
    CHECK_STEP(next(&scene), RECONCILE_TRANSFER, 14);
    scene.connected = ~(1U << 3); /* The preferred leader is away: the one that has most. */
    scene.info.match[1] = 4990;
    CHECK_STEP(next(&scene), RECONCILE_TRANSFER, 13);
    scene.connected = 1;
    CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
}

TEST(reconcile_next, brings_leadership_home_after_a_quiet_time)
{
    struct scene scene;
    three(&scene);
    want(&scene, 12, 11, 13);
    uint64_t begin = scene.now_ms;
    while (next(&scene).kind == RECONCILE_NONE) {
        scene.now_ms += 100;
        CHECK(scene.now_ms < begin + 3 * RECONCILE_STABLE_MS);
    }
    CHECK_STEP(next(&scene), RECONCILE_TRANSFER, 12);
    CHECK(scene.now_ms - begin >= RECONCILE_STABLE_MS);
}

TEST(reconcile_next, counts_the_quiet_time_anew_after_every_disturbance)
{
    struct scene scene;
    three(&scene);
    want(&scene, 12, 11, 13);
    for (unsigned i = 0; i < 100; i++) {
        scene.connected = i % 4 == 0 ? ~2U : ~0U; /* 12 is away now and then. */
        CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
        scene.now_ms += 1000;
    }
    scene.connected = ~0U;
    for (unsigned i = 0; i < 100; i++) {
        scene.info.term++;
        CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
        scene.now_ms += 4900;
    }
}

TEST(reconcile_done, pauses_longer_after_every_failure)
{
    struct scene scene;
    three(&scene);
    want(&scene, 11, 12, 14);
    uint64_t before = 0;
    for (unsigned i = 0; i < 10; i++) {
        CHECK_STEP(next(&scene), RECONCILE_ADD, 14);
        reconcile_done(&scene.state, STATUS_TIMEOUT, scene.now_ms);
        CHECK_STEP(next(&scene), RECONCILE_NONE, 0);
        uint64_t pause = scene.state.retry_at_ms - scene.now_ms;
        CHECK(pause >= before && pause >= RECONCILE_RETRY_MS_MIN &&
              pause <= RECONCILE_RETRY_MS_MAX);
        before = pause;
        scene.now_ms = scene.state.retry_at_ms;
    }
    CHECK_EQ(before, RECONCILE_RETRY_MS_MAX);
    reconcile_done(&scene.state, STATUS_OK, scene.now_ms);
    CHECK_STEP(next(&scene), RECONCILE_ADD, 14);
}

/* Carries a step out as a group would. */
static void carry_out(struct scene *scene, struct reconcile_step step)
{
    struct group_conf *conf = &scene->info.conf;
    unsigned i = 0;
    while (i < conf->count && conf->members[i].replica != step.replica) {
        i++;
    }
    switch (step.kind) {
    case RECONCILE_NONE: break;
    case RECONCILE_ADD:
        CHECK(i == conf->count && i < GROUP_MEMBERS_MAX);
        add(scene, step.replica, MEMBER_SPARE, 0);
        break;
    case RECONCILE_ASSIGN:
        CHECK(i < conf->count && conf->members[i].role < step.role);
        conf->members[i].role = step.role;
        break;
    case RECONCILE_TRANSFER:
        CHECK(i < conf->count && conf->members[i].role == MEMBER_VOTER);
        scene->info.replica = step.replica;
        scene->info.term++;
        break;
    case RECONCILE_REMOVE:
        CHECK(i < conf->count && step.replica != scene->info.replica);
        for (; i + 1 < conf->count; i++) {
            conf->members[i] = conf->members[i + 1];
            scene->info.match[i] = scene->info.match[i + 1];
        }
        conf->count--;
        break;
    }
}

static bool settled(const struct scene *scene)
{
    const struct group_conf *conf = &scene->info.conf;
    bool good = conf->count == 3 && scene->info.replica == scene->desc.replicas[0].id;
    for (unsigned i = 0; good && i < conf->count; i++) {
        bool listed = false;
        for (unsigned j = 0; j < 3; j++) {
            listed = listed || scene->desc.replicas[j].id == conf->members[i].replica;
        }
        good = listed && conf->members[i].role == MEMBER_VOTER;
    }
    return good;
}

TEST(reconcile_next, reaches_any_wanted_set_from_any_other)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct scene scene;
        struct rand rand;
        rand_init(&rand, seed);
        scene_init(&scene);
        unsigned members = 1 + (unsigned)rand_below(&rand, GROUP_MEMBERS_MAX);
        for (unsigned i = 0; i < members; i++) {
            add(&scene, 11 + i, i == 0 ? MEMBER_VOTER : (enum member_role)rand_below(&rand, 3),
                5000);
        }
        uint64_t first = 11 + rand_below(&rand, 9);
        want(&scene, first, first + 1 + rand_below(&rand, 4), first + 5 + rand_below(&rand, 4));
        unsigned steps = 0;
        while (!settled(&scene) && steps < 200) {
            struct reconcile_step step = next(&scene);
            carry_out(&scene, step);
            reconcile_done(&scene.state, STATUS_OK, scene.now_ms);
            for (unsigned i = 0; i < scene.info.conf.count; i++) {
                scene.info.match[i] = 5000;
            }
            scene.now_ms += 500;
            steps++;
        }
        if (!settled(&scene)) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
            CHECK(false);
        }
    }
}
