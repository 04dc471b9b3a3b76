#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"
#include "common/proto/frame.h"
#include "server/shard/transfer.h"
#include "tests/support/clock_sim.h"
#include "tests/support/disk_sim.h"
#include "tests/support/store_memory.h"
#include "tests/support/test.h"

/* Two ends of a transfer with a wire between them that the test holds in its hands. */

enum { ROWS = 4000, VALUE_SIZE = 1000, JOBS_MAX = 16 };

struct end {
    struct transfer *transfer;
    struct buf out;
    bool connected;
    struct job *jobs[JOBS_MAX];
    size_t job_count;
    unsigned sent_count;
    enum status sent_status;
    struct manifest *sent;
};

struct pair {
    struct end from;
    struct end to;
    struct store *store;
    uint64_t now_ns;
};

static struct buf *on_out(void *ctx, uint64_t node)
{
    (void)node;
    struct end *end = ctx;
    return end->connected ? &end->out : NULL;
}

static void on_run(void *ctx, struct job *job)
{
    struct end *end = ctx;
    CHECK(end->job_count < JOBS_MAX);
    end->jobs[end->job_count++] = job;
}

static void on_sent(
    void *ctx, uint64_t shard, uint64_t token, enum status status, const struct manifest *manifest)
{
    struct end *end = ctx;
    CHECK_EQ(shard, 5);
    CHECK_EQ(token, 99);
    end->sent_count++;
    end->sent_status = status;
    *end->sent = *manifest;
}

static void open_end(struct end *end, const char *dir, uint64_t rate)
{
    struct transfer_options options = {.dir = dir, .bytes_per_second = rate, .seed = 3};
    struct transfer_env env = {.ctx = end, .out = on_out, .run = on_run, .on_sent = on_sent};
    end->transfer = transfer_new(&options, &env);
    end->connected = true;
    buf_init(&end->out, 1 << 28);
    end->sent = calloc(1, sizeof(*end->sent));
    CHECK(end->sent != NULL);
}

static void run_jobs(struct end *end)
{
    while (end->job_count > 0) {
        struct job *job = end->jobs[--end->job_count];
        job->run(job);
        job->done(job);
    }
}

static void close_end(struct end *end)
{
    run_jobs(end);
    transfer_free(end->transfer);
    buf_deinit(&end->out);
    free(end->sent);
}

static void carry(struct end *from, struct end *to)
{
    struct buf bytes = from->out;
    buf_init(&from->out, 1 << 28);
    struct slice rest = buf_slice(&bytes);
    while (rest.len > 0) {
        struct frame frame;
        size_t used = 0;
        CHECK_EQ(frame_parse(rest, 1 << 28, &frame, &used), STATUS_OK);
        CHECK_EQ(frame.type, FRAME_BULK);
        CHECK_EQ(transfer_receive(to->transfer, 1, frame.body, true), STATUS_OK);
        rest = slice_of(rest.data + used, rest.len - used);
    }
    buf_deinit(&bytes);
}

static void step(struct pair *pair)
{
    pair->now_ns += 100 * UINT64_C(1000000);
    clock_sim_set_ns(pair->now_ns);
    transfer_tick(pair->from.transfer);
    transfer_tick(pair->to.transfer);
    run_jobs(&pair->from);
    run_jobs(&pair->to);
    carry(&pair->from, &pair->to);
    carry(&pair->to, &pair->from);
}

static struct shard_state state_of(void)
{
    struct shard_state state = {.replica = 1,
                                .desc = {.id = 5, .start = 0, .last = UINT64_MAX, .ver = 1}};
    state.group.index = 777;
    state.group.term = 3;
    state.machine.time_ms = 12345;
    return state;
}

static void open_pair(struct pair *pair, uint64_t rate)
{
    *pair = (struct pair){.now_ns = UINT64_C(1000000000)};
    disk_sim_reset();
    store_memory_wipe("/sim");
    clock_sim_set_ns(pair->now_ns);
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    CHECK_EQ(disk_make_folder("/sim/a/store"), STATUS_OK);
    CHECK_EQ(store_open("/sim/a/store", &options, &pair->store), STATUS_OK);
    struct txn *txn = txn_new(pair->store);
    uint8_t value[VALUE_SIZE];
    for (int i = 0; i < ROWS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "%08dkey", i * 10000);
        memset(value, i, sizeof(value));
        txn_put(txn, STORE_DATA, slice_str(key), slice_of(value, sizeof(value)));
    }
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    txn_free(txn);
    open_end(&pair->from, "/sim/a/snap", rate);
    open_end(&pair->to, "/sim/b/snap", 0);
}

static void close_pair(struct pair *pair)
{
    close_end(&pair->from);
    close_end(&pair->to);
    store_close(pair->store);
}

static void send_it(struct pair *pair)
{
    struct shard_state state = state_of();
    struct group_member to = {.replica = 8, .node = 2};
    transfer_send(pair->from.transfer, &to, 99, &state, txn_view(pair->store));
}

static void run_to_end(struct pair *pair)
{
    for (int i = 0; i < 2000 && pair->from.sent_count == 0; i++) {
        step(pair);
    }
    CHECK_EQ(pair->from.sent_count, 1);
    CHECK_EQ(pair->from.sent_status, STATUS_OK);
    CHECK(transfer_ready(pair->to.transfer, pair->from.sent));
}

/* What arrived, ingested into an empty store, is what was sent. */
static void check_content(struct pair *pair)
{
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    struct store *store = NULL;
    CHECK_EQ(disk_make_folder("/sim/b/store"), STATUS_OK);
    CHECK_EQ(store_open("/sim/b/store", &options, &store), STATUS_OK);
    for (int family = 0; family < STORE_FAMILY_COUNT; family++) {
        for (size_t i = 0; i < pair->from.sent->file_count; i++) {
            struct buf path;
            buf_init(&path, 4096);
            transfer_path(pair->to.transfer, 5, 8, i, &path);
            const char *name = (const char *)path.data;
            if ((int)pair->from.sent->files[i].family == family) {
                struct store_range range = {.family = (enum store_family)family};
                CHECK_EQ(store_ingest(store, &range, &name, 1), STATUS_OK);
            }
            buf_deinit(&path);
        }
        CHECK(store_memory_hash(store, (enum store_family)family) ==
              store_memory_hash(pair->store, (enum store_family)family));
    }
    store_close(store);
}

TEST(transfer, carries_a_shard)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    run_to_end(&pair);
    CHECK_EQ(pair.from.sent->state.group.index, 777);
    check_content(&pair);
    transfer_forget(pair.to.transfer, 5, 8);
    CHECK(!transfer_ready(pair.to.transfer, pair.from.sent));
    close_pair(&pair);
}

TEST(transfer, goes_on_where_it_stopped_after_a_lost_connection_and_a_restart)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    const struct transfer_stats *stats = transfer_stats(pair.to.transfer);
    while (stats->bytes_received < (uint64_t)ROWS * VALUE_SIZE / 3) {
        step(&pair);
    }
    uint64_t before = stats->bytes_received;
    buf_clear(&pair.from.out); /* What was on the wire is lost, */
    buf_clear(&pair.to.out);
    close_end(&pair.to); /* and the receiver starts anew. */
    open_end(&pair.to, "/sim/b/snap", 0);
    run_to_end(&pair);
    uint64_t after = transfer_stats(pair.to.transfer)->bytes_received;
    uint64_t total = 0;
    for (size_t i = 0; i < pair.from.sent->file_count; i++) {
        total += pair.from.sent->files[i].size;
    }
    CHECK_EQ(before + after, total);
    check_content(&pair);
    close_pair(&pair);
}

TEST(transfer, fetches_again_what_arrived_damaged)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    while (transfer_stats(pair.to.transfer)->bytes_received < (uint64_t)ROWS * VALUE_SIZE / 3) {
        step(&pair);
    }
    struct buf path;
    buf_init(&path, 4096);
    transfer_path(pair.to.transfer, 5, 8, 0, &path);
    disk_sim_flip((const char *)path.data, 1000, 3);
    buf_deinit(&path);
    run_to_end(&pair);
    CHECK(transfer_stats(pair.to.transfer)->bytes_received > (uint64_t)ROWS * VALUE_SIZE);
    check_content(&pair);
    close_pair(&pair);
}

TEST(transfer, gives_up_on_a_receiver_that_is_silent)
{
    struct pair pair;
    open_pair(&pair, 0);
    pair.from.connected = false;
    send_it(&pair);
    for (int i = 0; i < 1000 && pair.from.sent_count == 0; i++) {
        step(&pair);
    }
    CHECK_EQ(pair.from.sent_count, 1);
    CHECK_EQ(pair.from.sent_status, STATUS_TIMEOUT);
    close_pair(&pair);
}

TEST(transfer, keeps_to_its_rate)
{
    enum { RATE = 1000000 };
    struct pair pair;
    open_pair(&pair, RATE);
    send_it(&pair);
    uint64_t begin_ns = pair.now_ns;
    run_to_end(&pair);
    double seconds = (double)(pair.now_ns - begin_ns) / 1e9;
    double wanted = (double)transfer_stats(pair.from.transfer)->bytes_sent / RATE;
    /* A burst of half a second may come first. */
    CHECK(seconds > wanted - 0.6);
    CHECK(seconds < wanted + 1.5);
    close_pair(&pair);
}

TEST(transfer, ends_without_a_word_when_cancelled)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    step(&pair);
    transfer_cancel(pair.from.transfer, 5);
    for (int i = 0; i < 20; i++) {
        step(&pair);
    }
    CHECK_EQ(pair.from.sent_count, 0);
    CHECK_EQ(transfer_stats(pair.from.transfer)->sending, 0);
    close_pair(&pair);
}

TEST(transfer_receive, refuses_what_is_malformed)
{
    struct pair pair;
    open_pair(&pair, 0);
    uint8_t body[64] = {9};
    CHECK_EQ(transfer_receive(pair.to.transfer, 1, slice_of(body, 10), true), STATUS_PROTOCOL);
    CHECK_EQ(transfer_receive(pair.to.transfer, 1, slice_of(body, 25), true), STATUS_PROTOCOL);
    body[0] = 1;
    CHECK_EQ(transfer_receive(pair.to.transfer, 1, slice_of(body, 64), true), STATUS_PROTOCOL);
    CHECK_EQ(transfer_receive(pair.to.transfer, 1, slice_of(body, 64), false), STATUS_OK);
    close_pair(&pair);
}
