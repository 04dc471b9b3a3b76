#include "server/control/balancer.h"

#include <stdio.h>

#include "server/control/job_check.h"
#include "tests/support/balance_model.h"
#include "tests/support/test.h"

enum { MINUTE = 60, HOUR = 3600 };

static void steps(struct balance_model *model, int count)
{
    for (int i = 0; i < count; i++) {
        balance_model_step(model);
    }
}

static unsigned changes(const struct balance_model *model)
{
    return model->splits + model->transfers + model->moves + model->merges;
}

/* The n-th part of the ring of so many, from its start. */
static uint64_t at(unsigned part, unsigned parts)
{
    return (uint64_t)part * (UINT64_MAX / parts);
}

static void even_load(struct balance_model *model, double ops)
{
    (void)balance_model_source(model, 0, UINT64_MAX, ops);
}

static void zipf(struct balance_model *model, double ops, unsigned keys)
{
    double sum = 0;
    for (unsigned i = 1; i <= keys; i++) {
        sum += 1.0 / i;
    }
    for (unsigned i = 1; i <= keys; i++) {
        uint64_t token = rand_u64(&model->rand);
        (void)balance_model_source(model, token, token, ops / i / sum);
    }
}

TEST(balancer_tick, leaves_an_even_cluster_alone)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 200000);
    steps(model, 5 * MINUTE);
    CHECK_EQ(changes(model), 0);
    balance_model_free(model);
}

TEST(balancer_tick, leaves_an_idle_cluster_alone)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    (void)balance_model_source(model, 0, at(1, 32), 500);
    steps(model, 20 * MINUTE);
    CHECK_EQ(changes(model), 0);
    balance_model_free(model);
}

TEST(balancer_tick, spreads_a_zipfian_load)
{
    for (unsigned nodes = 3; nodes <= 6; nodes += 3) {
        struct balance_model *model = balance_model_new(nodes, nodes, 8 * nodes, 1 << 20);
        zipf(model, 60000.0 * nodes, 2000);
        steps(model, 3 * MINUTE);
        CHECK(balance_model_skew(model) < 1.15);
        CHECK(model->splits <= 10);
        unsigned before = changes(model);
        steps(model, 5 * MINUTE);
        CHECK(changes(model) <= before + 2);
        balance_model_free(model);
    }
}

/* Bar: from onset to nine tenths of what balance would give in at most 15 s, time after time. */
TEST(balancer_tick, follows_a_hot_range_that_moves_every_minute)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 60000);
    steps(model, 40);
    struct model_source *hot = balance_model_source(model, 0, 0, 220000);
    int worst = 0;
    for (unsigned round = 0; round < 30; round++) {
        hot->first = rand_u64(&model->rand) / 100 * 98;
        hot->last = hot->first + UINT64_MAX / 100;
        int recovered = 0;
        for (int second = 1; second <= MINUTE; second++) {
            balance_model_step(model);
            bool good = model->pace >= 0.9 * model->best;
            recovered = good ? recovered : second;
        }
        worst = recovered > worst ? recovered : worst;
    }
    printf("  slowest recovery: %d s; %u splits, %u transfers\n", worst, model->splits,
           model->transfers);
    CHECK(worst <= 15);
    CHECK(model->map.shard_count <= 200);
    balance_model_free(model);
}

/* T22: nothing is undone and done again, whatever the period. */
TEST(balancer_tick, does_not_follow_square_waves)
{
    static const int periods[] = {5, 20, 60, 30 * MINUTE};
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
        struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
        even_load(model, 40000);
        struct model_source *wave = balance_model_source(model, at(1, 64), at(1, 64) + 1000, 0);
        unsigned first_hours = 0;
        unsigned splits = 0;
        for (int second = 0; second < 3 * HOUR; second++) {
            wave->ops = second % periods[i] < periods[i] / 2 ? 150000 : 0;
            balance_model_step(model);
            first_hours = second == 2 * HOUR ? changes(model) : first_hours;
            splits = second == 2 * HOUR ? model->splits : splits;
        }
        printf("  period %d s: %u splits, %u merges, %u transfers, %u moves, %u in the last hour\n",
               periods[i], model->splits, model->merges, model->transfers, model->moves,
               changes(model) - first_hours);
        /* Cold pieces beside the hot one may be merged with others after an hour, once. */
        CHECK(model->merges <= model->splits);
        CHECK(model->splits <= 12);
        CHECK_EQ(model->splits, splits);
        CHECK(model->transfers <= 80);
        CHECK(changes(model) - first_hours <= 4);
        balance_model_free(model);
    }
}

/* T21: one key is the load; it is set apart at most, and what would help is said. */
TEST(balancer_tick, says_that_one_key_cannot_be_split)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 30000);
    (void)balance_model_source(model, 12345, 12345, 120000);
    steps(model, 10 * MINUTE);
    CHECK(model->splits <= 2);
    CHECK(model->notes > 0);
    unsigned before = changes(model);
    bool said = false;
    for (int i = 0; i < HOUR; i++) {
        balance_model_step(model);
        for (size_t n = 0; n < model->output.note_count; n++) {
            const struct balancer_note *note = &model->output.notes[n];
            said = said || (strstr(note->what, "a split cannot help") != NULL &&
                            strstr(note->why, "0000000000003039") != NULL &&
                            strstr(note->why, "mostly reads") != NULL);
        }
    }
    CHECK(said);
    CHECK(changes(model) <= before + 2);
    balance_model_free(model);
}

/* The key is most of its shard, and the rest is worth being served elsewhere. */
TEST(balancer_tick, sets_a_hot_key_apart)
{
    struct balance_model *model = balance_model_new(3, 3, 6, 1 << 20);
    (void)balance_model_source(model, 0, at(1, 6) - 1, 60000);
    (void)balance_model_source(model, at(1, 12), at(1, 12), 70000);
    (void)balance_model_source(model, at(1, 6), UINT64_MAX, 10000);
    steps(model, 3 * MINUTE);
    CHECK(model->splits >= 1 && model->splits <= 4);
    /* 140000 in all: the key is half of it. */
    CHECK(balance_model_skew(model) < 1.6);
    balance_model_free(model);
}

/* T21: keys that do not exist. */
TEST(balancer_tick, does_not_split_empty_space_for_ever)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 30000);
    struct model_source *absent = balance_model_source(model, at(1, 64), at(1, 64) + 5000, 100000);
    absent->absent = true;
    steps(model, HOUR);
    CHECK(model->splits <= 6);
    balance_model_free(model);
}

TEST(balancer_tick, fills_a_new_node_and_moves_no_byte_twice)
{
    for (unsigned zones = 1; zones <= 4; zones += 3) {
        uint64_t bytes = UINT64_C(10) << 30;
        struct balance_model *model = balance_model_new(3, zones, 32, bytes / 32);
        even_load(model, 30000);
        steps(model, MINUTE);
        CHECK_EQ(changes(model), 0);
        balance_model_add_node(model, zones == 1 ? "z0" : "z3");
        steps(model, 20 * MINUTE);
        double least = (double)bytes * 3 / 4;
        CHECK((double)model->moved_bytes <= 1.1 * least);
        CHECK((double)balance_model_bytes(model, 3) >= 0.9 * least);
        for (size_t node = 0; node < 4; node++) {
            CHECK((double)balance_model_bytes(model, node) <= 1.1 * least);
        }
        CHECK(balance_model_skew(model) < 1.15);
        unsigned before = changes(model);
        steps(model, 20 * MINUTE);
        CHECK_EQ(changes(model), before);
        balance_model_free(model);
    }
}

/* Replicas that hold next to nothing are evened out by their number, and then left alone. */
TEST(balancer_tick, evens_out_empty_replicas_once)
{
    struct balance_model *model = balance_model_new(3, 3, 17, 1000);
    even_load(model, 3000);
    balance_model_add_node(model, "z3");
    steps(model, 5 * MINUTE);
    unsigned before = changes(model);
    CHECK(model->moves >= 12 && model->moves <= 13);
    for (size_t node = 0; node < 4; node++) { /* 17 shards: 4 or 5. */
        unsigned leads = 0;
        for (size_t i = 0; i < model->map.shard_count; i++) {
            leads += model->shards[i].leader == node;
        }
        CHECK(leads >= 4 && leads <= 5);
    }
    steps(model, HOUR);
    CHECK_EQ(changes(model), before);
    balance_model_free(model);
}

/* Two zones, three replicas: the new node is in a third, which then must have one of each shard;
 * the model checks every step. */
TEST(balancer_tick, respects_zones_at_every_step)
{
    struct balance_model *model = balance_model_new(4, 2, 32, 64 << 20);
    even_load(model, 30000);
    (void)balance_model_source(model, 0, at(1, 10), 100000);
    steps(model, MINUTE);
    balance_model_add_node(model, "z0");
    steps(model, 20 * MINUTE);
    CHECK(model->moves > 0);
    balance_model_free(model);
}

TEST(balancer_tick, looks_on_after_a_loss)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 60000);
    steps(model, MINUTE);
    model->dead[2] = true;
    for (size_t i = 0; i < model->map.shard_count; i++) {
        if (model->shards[i].leader == 2) {
            model->shards[i].leader = 0; /* All of them to one node. */
        }
    }
    steps(model, 34);
    CHECK_EQ(changes(model), 0);
    CHECK(balancer_waits(model->balancer)[0] != '\0');
    steps(model, 3 * MINUTE);
    CHECK(model->transfers > 0);
    CHECK_EQ(model->moves, 0);
    for (size_t i = 0; i < model->map.shard_count; i++) {
        CHECK(model->shards[i].leader != 2);
    }
    balance_model_free(model);
}

TEST(balancer_tick, does_nothing_when_off_and_only_talks_when_advising)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 30000);
    (void)balance_model_source(model, 0, at(1, 16), 100000);
    model->mode = BALANCER_OFF;
    steps(model, 5 * MINUTE);
    CHECK_EQ(changes(model), 0);
    CHECK_EQ(model->notes, 0);
    model->mode = BALANCER_ADVISE;
    steps(model, 5 * MINUTE);
    CHECK_EQ(changes(model), 0);
    CHECK(model->notes >= 1 && model->notes <= 10);
    CHECK(strncmp(model->last_note.what, "advice: ", 8) == 0);
    model->mode = BALANCER_ON;
    steps(model, 5 * MINUTE);
    CHECK(changes(model) > 0);
    balance_model_free(model);
}

TEST(balancer_tick, tells_what_came_of_a_decision)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 30000);
    (void)balance_model_source(model, 0, at(1, 16), 100000);
    steps(model, 2 * MINUTE);
    CHECK(model->notes > 0);
    CHECK(strncmp(model->last_note.what, "effect: ", 8) == 0);
    CHECK(strstr(model->last_note.effect, "expected") != NULL);
    balance_model_free(model);
}

TEST(balancer_tick, splits_what_holds_too_much)
{
    struct balance_model *model = balance_model_new(3, 3, 8, UINT64_C(1) << 30);
    model->shards[3].bytes = UINT64_C(20) << 30;
    model->quick_jobs = true;
    steps(model, 5 * MINUTE);
    CHECK(model->splits >= 2 && model->splits <= 4);
    for (size_t i = 0; i < model->map.shard_count; i++) {
        CHECK(model->shards[i].bytes <= UINT64_C(8) << 30);
    }
    balance_model_free(model);
}

/* What a burst has left behind goes, but not before hours have passed. */
TEST(balancer_tick, merges_what_is_long_idle)
{
    struct balance_model *model = balance_model_new(3, 3, 32, 1 << 20);
    even_load(model, 40000);
    struct model_source *burst = balance_model_source(model, 0, 1 << 20, 160000);
    steps(model, 5 * MINUTE);
    CHECK(model->map.shard_count > 32);
    burst->ops = 0;
    steps(model, 50 * MINUTE);
    CHECK_EQ(model->merges, 0);
    steps(model, 3 * HOUR);
    CHECK_EQ(model->map.shard_count, 32);
    CHECK_EQ(model->merges, model->splits);
    balance_model_free(model);
}
