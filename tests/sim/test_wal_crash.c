/* The shared log on the simulator's disk: whatever was durable before a crash is there after it,
 * and of the rest a prefix per port; wherever in the work of the log the power goes. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"
#include "common/base/log.h"
#include "tests/support/disk_sim.h"
#include "tests/support/test.h"
#include "tests/support/wal_model.h"

enum { PORTS = 3, GROUPS_PER_PORT = 6, CYCLES = 8 };

#define MACHINE "/sim/node1"
#define FOLDER MACHINE "/log"

struct world {
    uint64_t seed;
    struct rand rand;
    struct wal_options options;
    size_t data_size_max;
    struct wal *wal;
    struct wal_port *ports[PORTS];
    struct wal_model *models[PORTS];
    uint64_t durable[PORTS]; /* Known before the power went. */
    uint64_t rewritten;
    uint64_t recycled;
    unsigned cuts;
};

static void fail(const struct world *world, const char *what)
{
    fprintf(stderr, "seed %" PRIu64 ": %s\n", world->seed, what);
    abort();
}

static void on_wake(void *arg)
{
    (void)arg;
}

static void note_durable(struct world *world)
{
    for (int i = 0; i < PORTS && !disk_sim_is_cut(MACHINE); i++) {
        world->durable[i] = wal_port_durable(world->ports[i]);
    }
}

static void work(struct world *world, unsigned turns)
{
    for (unsigned turn = 0; turn < turns && !disk_sim_is_cut(MACHINE); turn++) {
        uint64_t port = rand_below(&world->rand, PORTS);
        uint64_t count = rand_below(&world->rand, 12);
        for (uint64_t i = 0; i < count; i++) {
            wal_model_step(world->models[port], world->ports[port], world->data_size_max,
                           &world->rand);
        }
        if (rand_below(&world->rand, 60) == 0) {
            wal_model_compact_all(world->models[port], world->ports[port]);
        }
        if (rand_below(&world->rand, 3) > 0) {
            wal_port_submit(world->ports[port]);
        }
        if (rand_below(&world->rand, 2) > 0) {
            (void)wal_step(world->wal);
            note_durable(world);
        }
    }
}

static void open_log(struct world *world)
{
    enum status status = wal_open(FOLDER, &world->options, &world->wal);
    if (status != STATUS_OK) {
        fail(world, status_text(status));
    }
    for (int i = 0; i < PORTS; i++) {
        world->ports[i] = NULL;
    }
}

static void match(struct world *world)
{
    for (int i = 0; i < PORTS; i++) {
        if (!wal_model_match(world->models[i], world->wal, world->durable[i])) {
            fail(world, "durable data is gone, or what is there is no prefix");
        }
        world->durable[i] = 0;
        world->ports[i] = wal_port_open(world->wal, on_wake, NULL);
    }
}

static void close_ports(struct world *world)
{
    struct wal_stats stats;
    wal_stats(world->wal, &stats);
    world->rewritten += stats.rewritten;
    for (int i = 0; i < PORTS; i++) {
        if (world->ports[i] != NULL) {
            wal_port_close(world->ports[i]);
        }
    }
}

/* Opens until no crash comes in between, each time with the power gone at another point. */
static void recover(struct world *world)
{
    for (;;) {
        if (rand_below(&world->rand, 2) == 0) { /* Replaces a cut that did not strike. */
            disk_sim_cut(MACHINE, rand_below(&world->rand, 20), &world->rand);
        }
        open_log(world);
        if (!disk_sim_is_cut(MACHINE)) {
            break;
        }
        wal_abandon(world->wal);
        disk_sim_crash(MACHINE, &world->rand);
    }
    match(world);
}

static void run(struct world *world)
{
    rand_init(&world->rand, world->seed);
    world->options = (struct wal_options){.segment_size = (2 + rand_below(&world->rand, 8)) * 4096,
                                          .spares_max = (unsigned)rand_below(&world->rand, 4)};
    world->data_size_max = (size_t)1 << (3 + rand_below(&world->rand, 9));
    for (uint64_t i = 0; i < PORTS; i++) {
        world->models[i] = wal_model_new(1 + i * GROUPS_PER_PORT, GROUPS_PER_PORT);
    }
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        recover(world);
        if (!disk_sim_is_cut(MACHINE) && rand_below(&world->rand, 3) > 0) {
            disk_sim_cut(MACHINE, rand_below(&world->rand, 400), &world->rand);
        }
        work(world, (unsigned)rand_below(&world->rand, 300));
        world->cuts += disk_sim_is_cut(MACHINE);
        close_ports(world);
        wal_abandon(world->wal);
        /* Else only the process ends: what was not synced is read back, and must then last. */
        if (disk_sim_is_cut(MACHINE) || rand_below(&world->rand, 4) > 0) {
            disk_sim_crash(MACHINE, &world->rand);
        }
    }
    recover(world);
    close_ports(world);
    wal_abandon(world->wal);
    disk_sim_crash(MACHINE, &world->rand);
    for (int i = 0; i < PORTS; i++) {
        wal_model_free(world->models[i]);
    }
    disk_sim_reset();
}

static uint64_t seeds(uint64_t usual)
{
    const char *text = getenv("SHERD_TEST_SEEDS");
    return text == NULL ? usual : strtoull(text, NULL, 10);
}

TEST(wal, keeps_what_was_durable_wherever_the_power_goes)
{
    log_set_level(LOG_ERROR);
    uint64_t rewritten = 0;
    unsigned cuts = 0;
    uint64_t count = seeds(400);
    const char *only = getenv("SHERD_TEST_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    for (uint64_t seed = first; seed < first + (only == NULL ? count : 1); seed++) {
        struct world world = {.seed = seed};
        run(&world);
        rewritten += world.rewritten;
        cuts += world.cuts;
    }
    /* The test is worth something only if it got there. */
    CHECK(only != NULL || rewritten > 0);
    CHECK(only != NULL || cuts > 0);
}

static void submit_and_close(struct world *world)
{
    open_log(world);
    match(world);
    for (int i = 0; i < PORTS; i++) {
        for (int step = 0; step < 100; step++) {
            wal_model_step(world->models[i], world->ports[i], 300, &world->rand);
        }
        wal_port_submit(world->ports[i]);
        world->durable[i] = UINT64_MAX;
    }
    close_ports(world);
    wal_close(world->wal);
    disk_sim_crash(MACHINE, &world->rand);
}

TEST(wal_close, leaves_everything_that_was_submitted)
{
    log_set_level(LOG_ERROR);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world world = {.seed = seed};
        rand_init(&world.rand, seed);
        world.options = (struct wal_options){.segment_size = 16384, .spares_max = 2};
        for (uint64_t i = 0; i < PORTS; i++) {
            world.models[i] = wal_model_new(1 + i * GROUPS_PER_PORT, GROUPS_PER_PORT);
        }
        for (int cycle = 0; cycle < 4; cycle++) {
            submit_and_close(&world);
        }
        for (int i = 0; i < PORTS; i++) {
            wal_model_free(world.models[i]);
        }
        disk_sim_reset();
    }
}

/* Four batches of two records; the process ends without a word. */
static void write_four_batches(const struct wal_options *options)
{
    struct wal *wal;
    CHECK_EQ(wal_open(FOLDER, options, &wal), STATUS_OK);
    struct wal_port *port = wal_port_open(wal, on_wake, NULL);
    struct wal_entry entry = {.term = 3, .type = 1, .data = slice_str("0123456789abcdef")};
    for (uint64_t index = 1; index <= 4; index++) {
        (void)wal_port_append(port, 1, index, &entry, 1);
        (void)wal_port_append(port, 2, index, &entry, 1);
        wal_port_submit(port);
        CHECK(wal_step(wal));
    }
    wal_port_close(port);
    wal_abandon(wal);
}

/* A bit that flips in anything but the last batch is noticed, and the log does not open. */
TEST(wal_open, refuses_damage_in_a_synced_batch)
{
    log_set_level(LOG_ERROR);
    struct rand rand;
    rand_init(&rand, 7);
    struct wal_options options = {.segment_size = 65536, .spares_max = 2};
    /* A batch: 32 bytes of header, two records of 24 + 16 + 16 + 16 bytes each. */
    uint64_t last = 4096 + 3 * (32 + 2 * 72);
    for (uint64_t offset = 4096; offset < last + 200; offset++) {
        write_four_batches(&options);
        disk_sim_crash(MACHINE, &rand);
        disk_sim_flip(FOLDER "/0000000000000001.log", offset, (unsigned)(offset % 8));
        struct wal *wal;
        enum status status = wal_open(FOLDER, &options, &wal);
        CHECK_EQ(status, offset < last ? STATUS_CORRUPT : STATUS_OK);
        if (status == STATUS_OK) {
            wal_abandon(wal);
        }
        disk_sim_reset();
    }
}

/* The process ended between a write and its sync: the next one finds the batch in the page cache,
 * acts on it, and so must make it last. */
TEST(wal_open, makes_last_what_it_found_in_the_page_cache)
{
    log_set_level(LOG_ERROR);
    struct wal_options options = {.segment_size = 65536, .spares_max = 2};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rand rand;
        rand_init(&rand, seed);
        struct wal *wal;
        CHECK_EQ(wal_open(FOLDER, &options, &wal), STATUS_OK);
        struct wal_port *port = wal_port_open(wal, on_wake, NULL);
        (void)wal_port_vote(port, 1, 2, 3);
        wal_port_submit(port);
        CHECK(wal_step(wal));
        wal_port_close(port);
        wal_abandon(wal);

        struct disk_file *file;
        uint8_t batch[4096];
        uint8_t zeros[4096] = {0};
        CHECK_EQ(disk_open(FOLDER "/0000000000000001.log", DISK_WRITE, &file), STATUS_OK);
        CHECK_EQ(disk_read(file, 4096, batch, sizeof(batch)), STATUS_OK);
        CHECK_EQ(disk_write(file, 4096, zeros, sizeof(zeros)), STATUS_OK);
        CHECK_EQ(disk_sync(file), STATUS_OK);
        CHECK_EQ(disk_write(file, 4096, batch, sizeof(batch)), STATUS_OK);
        disk_close(file);

        for (int start = 0; start < 2; start++) {
            struct wal_group group;
            CHECK_EQ(wal_open(FOLDER, &options, &wal), STATUS_OK);
            CHECK(wal_find_group(wal, 1, &group));
            CHECK_EQ(group.vote, 3);
            wal_abandon(wal);
            disk_sim_crash(MACHINE, &rand);
        }
        disk_sim_reset();
    }
}
