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

enum { ROWS = 4000, VALUE_SIZE = 1000, JOBS_MAX = 16, FILE_SIZE = 700 * 1000, FILES_MAX = 16 };

struct end {
    struct transfer *transfer;
    struct throttle throttle;
    struct buf out;
    bool connected;
    bool divided; /* The shard is another one by now. */
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

static bool on_is_current(void *ctx, const struct shard_desc *desc)
{
    (void)desc;
    const struct end *end = ctx;
    return !end->divided;
}

static void open_end(struct pair *pair, struct end *end, const char *dir, uint64_t rate)
{
    throttle_init(&end->throttle, rate);
    struct transfer_options options = {.dir = dir,
                                       .throttle = &end->throttle,
                                       .store = pair->store,
                                       .file_size = FILE_SIZE,
                                       .seed = 3};
    struct transfer_env env = {
        .ctx = end, .out = on_out, .run = on_run, .on_sent = on_sent, .is_current = on_is_current};
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
    open_end(pair, &pair->from, "/sim/a/snap", rate);
    open_end(pair, &pair->to, "/sim/b/snap", 0);
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
        struct buf paths[FILES_MAX];
        const char *names[FILES_MAX];
        size_t count = 0;
        for (size_t i = 0; i < pair->from.sent->file_count; i++) {
            if ((int)pair->from.sent->files[i].family == family) {
                CHECK(count < FILES_MAX);
                buf_init(&paths[count], 4096);
                transfer_path(pair->to.transfer, 5, 8, i, &paths[count]);
                names[count] = (const char *)paths[count].data;
                count++;
            }
        }
        struct store_range range = {
            .family = (enum store_family)family, .from = slice_str("0"), .to = slice_str("9")};
        CHECK_EQ(store_ingest(store, &range, names, count), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            buf_deinit(&paths[i]);
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
    open_end(&pair, &pair.to, "/sim/b/snap", 0);
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

TEST(transfer, carries_a_shard_without_rows)
{
    struct pair pair;
    open_pair(&pair, 0);
    struct shard_state state = state_of();
    struct group_member to = {.replica = 8, .node = 2};
    state.desc.start = UINT64_MAX - 1;
    transfer_send(pair.from.transfer, &to, 99, &state, txn_view(pair.store));
    run_to_end(&pair);
    CHECK_EQ(pair.from.sent->file_count, 0);
    close_pair(&pair);
}

/* Changes a bit of the sender's first file. */
static void flip_first(void *arg, const char *name)
{
    (void)arg;
    char path[256];
    (void)snprintf(path, sizeof(path), "/sim/a/snap/%s/0.sst", name);
    disk_sim_flip(path, 1000, 3);
}

TEST(transfer, fetches_again_what_arrived_damaged)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    step(&pair);
    CHECK_EQ(disk_list("/sim/a/snap", flip_first, NULL), STATUS_OK);
    while (transfer_stats(pair.to.transfer)->bytes_received < FILE_SIZE) {
        step(&pair);
    }
    CHECK_EQ(disk_list("/sim/a/snap", flip_first, NULL), STATUS_OK);
    run_to_end(&pair);
    uint64_t total = 0;
    for (size_t i = 0; i < pair.from.sent->file_count; i++) {
        total += pair.from.sent->files[i].size;
    }
    CHECK(transfer_stats(pair.to.transfer)->bytes_received > total);
    check_content(&pair);
    close_pair(&pair);
}

TEST(transfer, gives_up_on_a_file_that_stays_damaged)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    step(&pair);
    CHECK_EQ(disk_list("/sim/a/snap", flip_first, NULL), STATUS_OK);
    for (int i = 0; i < 200 && pair.from.sent_count == 0; i++) {
        step(&pair);
    }
    CHECK_EQ(pair.from.sent_count, 1);
    CHECK_EQ(pair.from.sent_status, STATUS_CORRUPT);
    /* What is made next is another one. */
    pair.from.sent_count = 0;
    send_it(&pair);
    run_to_end(&pair);
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

/* Seconds from now to the end, and how long the bytes take at the rate. */
static void check_rate(struct pair *pair, uint64_t rate)
{
    uint64_t begin_ns = pair->now_ns;
    uint64_t before = transfer_stats(pair->from.transfer)->bytes_sent;
    run_to_end(pair);
    double seconds = (double)(pair->now_ns - begin_ns) / 1e9;
    double bytes = (double)(transfer_stats(pair->from.transfer)->bytes_sent - before);
    double wanted = bytes / (double)rate;
    CHECK(seconds > 0.9 * wanted);
    CHECK(seconds < 1.1 * wanted);
}

TEST(transfer, keeps_to_the_rate_of_the_node)
{
    enum { RATE = 200000 };
    struct pair pair;
    open_pair(&pair, RATE);
    send_it(&pair);
    check_rate(&pair, RATE);
    check_content(&pair);
    close_pair(&pair);
}

TEST(transfer, keeps_to_the_rate_of_the_shard_as_it_changes)
{
    enum { RATE = 100000, FASTER = 300000 };
    struct pair pair;
    open_pair(&pair, 0);
    transfer_set_rate(pair.from.transfer, 5, RATE);
    transfer_set_rate(pair.from.transfer, 6, 1);
    send_it(&pair);
    struct transfer_progress progress = {0};
    for (int i = 0; i < 100; i++) { /* 10 seconds. */
        step(&pair);
    }
    CHECK(transfer_progress(pair.from.transfer, 0, &progress));
    CHECK_EQ(progress.limit, RATE);
    CHECK(progress.done + TRANSFER_BLOCK_SIZE > 10 * RATE);
    CHECK(progress.done < 10 * RATE + 2 * TRANSFER_BLOCK_SIZE);
    CHECK(progress.rate > RATE / 3 && progress.rate < 3 * RATE);
    transfer_set_rate(pair.from.transfer, 5, FASTER);
    check_rate(&pair, FASTER);
    close_pair(&pair);
}

TEST(transfer, shares_the_rate_of_the_node_fairly)
{
    enum { RATE = 400000 };
    struct pair pair;
    open_pair(&pair, RATE);
    for (uint64_t replica = 8; replica < 10; replica++) {
        struct shard_state state = state_of();
        struct group_member to = {.replica = replica, .node = 2};
        transfer_send(pair.from.transfer, &to, 99, &state, txn_view(pair.store));
    }
    for (int i = 0; i < 100; i++) {
        step(&pair);
    }
    uint64_t done[2] = {0};
    struct transfer_progress progress = {0};
    for (size_t i = 0; i < 2; i++) {
        CHECK(transfer_progress(pair.from.transfer, i, &progress));
        done[i] = progress.done;
    }
    CHECK(!transfer_progress(pair.from.transfer, 2, &progress));
    CHECK(done[0] > 4 * RATE && done[1] > 4 * RATE);
    CHECK(done[0] + done[1] < 10 * RATE + 2 * TRANSFER_BLOCK_SIZE);
    close_pair(&pair);
}

TEST(transfer, tells_how_far_it_is)
{
    struct pair pair;
    open_pair(&pair, 1000000);
    send_it(&pair);
    struct transfer_progress progress = {0};
    uint64_t before = 0;
    for (int i = 0; i < 2000 && transfer_progress(pair.from.transfer, 0, &progress); i++) {
        CHECK_EQ(progress.shard, 5);
        CHECK_EQ(progress.to.replica, 8);
        CHECK(progress.done >= before);
        CHECK(progress.done <= progress.total);
        before = progress.done;
        step(&pair);
    }
    CHECK_EQ(pair.from.sent_count, 1);
    CHECK_EQ(before, transfer_stats(pair.from.transfer)->bytes_sent);
    close_pair(&pair);
}

static void count_file(void *arg, const char *name)
{
    size_t *count = arg;
    *count += strstr(name, ".sst") != NULL;
}

/* Of the sender, in its one folder. */
static void count_folder(void *arg, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "/sim/a/snap/%s", name);
    CHECK_EQ(disk_list(path, count_file, arg), STATUS_OK);
}

/* The sender's disk holds a few files, not a copy of the shard. */
TEST(transfer, makes_files_as_they_are_taken)
{
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    size_t most = 0;
    for (int i = 0; i < 2000 && pair.from.sent_count == 0; i++) {
        step(&pair);
        size_t count = 0;
        CHECK_EQ(disk_list("/sim/a/snap", count_folder, &count), STATUS_OK);
        most = count > most ? count : most;
    }
    CHECK_EQ(pair.from.sent_status, STATUS_OK);
    CHECK(pair.from.sent->file_count >= 6);
    CHECK(most >= 1 && most <= 5);
    check_content(&pair);
    close_pair(&pair);
}

TEST(transfer, fails_when_the_shard_is_divided)
{
    struct pair pair;
    open_pair(&pair, 1000000);
    send_it(&pair);
    for (int i = 0; i < 5; i++) {
        step(&pair);
    }
    CHECK_EQ(pair.from.sent_count, 0);
    pair.from.divided = true;
    step(&pair);
    CHECK_EQ(pair.from.sent_count, 1);
    CHECK_EQ(pair.from.sent_status, STATUS_CLOSED);
    CHECK_EQ(transfer_stats(pair.from.transfer)->sending, 0);
    close_pair(&pair);
}

/* Machine and process of the receiver die together: what was not synced is lost or torn. */
TEST(transfer, goes_on_after_a_power_cut)
{
    struct rand rand;
    rand_init(&rand, 11);
    struct pair pair;
    open_pair(&pair, 0);
    send_it(&pair);
    for (int cut = 0; cut < 3; cut++) {
        for (int i = 0; i < 3; i++) {
            step(&pair);
        }
        buf_clear(&pair.from.out);
        close_end(&pair.to);
        disk_sim_crash("/sim/b", &rand);
        open_end(&pair, &pair.to, "/sim/b/snap", 0);
    }
    run_to_end(&pair);
    check_content(&pair);
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
