#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/net/pool.h"
#include "server/worker.h"

/* inject DIR [GROUPS [OUTSTANDING [SECONDS]]]: the core without sockets. Three workers in one
 * process, each with its loop thread, its own log with its own writer thread and fdatasync, and its
 * own store; messages go from memory to memory. SETs of 100-byte values on 16-byte keys are
 * submitted at the leader, OUTSTANDING at a time over all groups. Prints one line of key=value. */

enum {
    NODES = 3,
    SAMPLES_MAX = 1 << 22,
    VALUE_SIZE = 100,
    KEYS = 1000000,
    BATCH_SIZE_MAX = 1 << 30,
};

struct bench;

struct lane {
    struct bench *bench;
    unsigned index;
    struct loop *loop;
    struct worker *worker;
    struct store *store;
    struct wal *wal;
    struct pool *pool;
    struct buf out[NODES];
    struct timer tick;
    struct mail wake;
    atomic_bool waking;
    struct thread thread;
};

struct slot_op {
    struct worker_op op;
    struct bench *bench;
    uint64_t started_ns;
    char key[24];
    char value[VALUE_SIZE];
    struct slice argv[3];
};

struct bench {
    struct lane lanes[NODES];
    unsigned groups;
    unsigned outstanding;
    uint64_t seconds;
    struct rand rand;
    struct slot_op *ops;
    uint64_t begin_ns, end_ns;
    uint64_t done, failed;
    uint32_t *samples_us;
    bool running;
    atomic_bool finished;
};

static struct buf *out_node(void *ctx, uint64_t node)
{
    struct lane *lane = ctx;
    return &lane->out[node - 1];
}

static struct buf *out_link(void *ctx, uint64_t link)
{
    (void)ctx;
    (void)link;
    return NULL;
}

static unsigned node_loops(void *ctx, uint64_t node)
{
    (void)ctx;
    (void)node;
    return 1;
}

static void on_mail(struct mail *mail)
{
    struct worker_mail *self = (struct worker_mail *)(void *)mail;
    self->run(self->to, self);
}

static void post(void *ctx, unsigned loop, struct worker_mail *mail)
{
    struct lane *lane = ctx;
    assert(loop == 0);
    mail->to = lane->worker;
    mail->mail.run = on_mail;
    mailbox_post(lane->loop, &mail->mail);
}

struct pool_job {
    struct work work;
    struct job *job;
};

static void on_work(struct work *work)
{
    struct pool_job *self = (struct pool_job *)(void *)work;
    self->job->run(self->job);
}

static void on_work_done(struct work *work)
{
    struct pool_job *self = (struct pool_job *)(void *)work;
    struct job *job = self->job;
    free(self);
    job->done(job);
}

static void run_job(void *ctx, struct job *job)
{
    struct lane *lane = ctx;
    struct pool_job *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    *self = (struct pool_job){.work = {.run = on_work, .done = on_work_done}, .job = job};
    pool_submit(lane->pool, lane->loop, &self->work);
}

static void again(void *ctx)
{
    struct lane *lane = ctx;
    loop_again(lane->loop);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void removed(void *ctx, uint64_t shard, uint64_t replica)
{
    (void)ctx;
    (void)shard;
    (void)replica;
}

static bool refuse(void *ctx, bool grows)
{
    (void)ctx;
    (void)grows;
    return false;
}

static void on_awake(struct mail *mail)
{
    struct lane *lane = list_entry(mail, struct lane, wake);
    atomic_store(&lane->waking, false);
}

static void on_wal_wake(void *arg)
{
    struct lane *lane = arg;
    if (!atomic_exchange(&lane->waking, true)) {
        mailbox_post(lane->loop, &lane->wake);
    }
}

struct batch {
    struct mail mail;
    struct lane *to;
    uint64_t from;
    size_t len;
    uint8_t bytes[];
};

static void on_batch(struct mail *mail)
{
    struct batch *batch = list_entry(mail, struct batch, mail);
    struct slice rest = slice_of(batch->bytes, batch->len);
    while (rest.len > 0) {
        struct frame frame;
        size_t used = 0;
        enum status status = frame_parse(rest, BATCH_SIZE_MAX, &frame, &used);
        assert(status == STATUS_OK);
        status = worker_frame(batch->to->worker, 0, batch->from, &frame);
        assert(status == STATUS_OK);
        rest = slice_of(rest.data + used, rest.len - used);
    }
    free(batch);
}

static void submit(struct slot_op *self);

static void on_turn(void *arg)
{
    struct lane *lane = arg;
    worker_turn(lane->worker);
    for (unsigned i = 0; i < NODES; i++) {
        struct buf *out = &lane->out[i];
        if (out->len == 0) {
            continue;
        }
        struct batch *batch = malloc(sizeof(*batch) + out->len);
        assert(batch != NULL);
        *batch = (struct batch){.mail = {.run = on_batch},
                                .to = &lane->bench->lanes[i],
                                .from = lane->index + 1,
                                .len = out->len};
        memcpy(batch->bytes, out->data, out->len);
        buf_clear(out);
        mailbox_post(batch->to->loop, &batch->mail);
    }
}

static bool all_led(struct bench *bench)
{
    for (unsigned g = 0; g < bench->groups; g++) {
        struct shard *shard = worker_shard(bench->lanes[0].worker, SHARD_FIRST + g);
        if (shard == NULL || !shard_leads(shard)) {
            return false;
        }
    }
    return true;
}

static void on_tick(void *arg)
{
    struct lane *lane = arg;
    struct bench *bench = lane->bench;
    worker_tick(lane->worker);
    if (lane->index != 0) {
        return;
    }
    uint64_t now_ns = clock_now_ns();
    if (!bench->running && bench->begin_ns == 0 && all_led(bench)) {
        bench->running = true;
        bench->begin_ns = now_ns;
        for (unsigned i = 0; i < bench->outstanding; i++) {
            submit(&bench->ops[i]);
        }
    } else if (bench->running &&
               now_ns - bench->begin_ns >= bench->seconds * UINT64_C(1000000000)) {
        bench->running = false;
        bench->end_ns = now_ns;
        atomic_store(&bench->finished, true);
    }
}

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    (void)reply;
    struct slot_op *self = list_entry(op, struct slot_op, op);
    struct bench *bench = self->bench;
    if (!bench->running) {
        return;
    }
    if (status != STATUS_OK) {
        bench->failed++;
    } else if (bench->done < SAMPLES_MAX) {
        bench->samples_us[bench->done] = (uint32_t)((clock_now_ns() - self->started_ns) / 1000);
    }
    bench->done += status == STATUS_OK;
    submit(self);
}

static void submit(struct slot_op *self)
{
    struct bench *bench = self->bench;
    uint64_t number = rand_below(&bench->rand, KEYS);
    (void)snprintf(self->key, sizeof(self->key), "key:%012llu", (unsigned long long)number);
    self->argv[0] = slice_str("set");
    self->argv[1] = slice_of(self->key, 16);
    self->argv[2] = slice_of(self->value, VALUE_SIZE);
    self->started_ns = clock_now_ns();
    self->op = (struct worker_op){.origin = bench->lanes[0].worker,
                                  .shard = SHARD_FIRST + number % bench->groups,
                                  .deliver = deliver};
    self->op.op.command = command_find(self->argv[0]);
    self->op.op.write = true;
    self->op.op.args = (struct args){.argv = self->argv, .argc = 3};
    self->op.op.expires_ms = UINT64_MAX;
    worker_submit(bench->lanes[0].worker, &self->op);
}

static void open_lane(struct bench *bench, unsigned index, const char *dir)
{
    struct lane *lane = &bench->lanes[index];
    lane->bench = bench;
    lane->index = index;
    lane->loop = loop_new(index);
    lane->pool = pool_new(1);
    lane->wake.run = on_awake;
    for (unsigned i = 0; i < NODES; i++) {
        buf_init(&lane->out[i], BATCH_SIZE_MAX);
    }
    char path[4096];
    struct store_options store = {.cache_size = 64 << 20, .memtable_size = 32 << 20, .threads = 1};
    (void)snprintf(path, sizeof(path), "%s/n%u/store", dir, index);
    char folder[4096];
    (void)snprintf(folder, sizeof(folder), "mkdir -p %s/n%u", dir, index);
    int rv = system(folder);
    assert(rv == 0);
    enum status status = store_open(path, &store, &lane->store);
    assert(status == STATUS_OK);
    struct wal_options wal = {.segment_size = 64 << 20, .spares_max = 4};
    (void)snprintf(path, sizeof(path), "%s/n%u/log", dir, index);
    status = wal_open(path, &wal, &lane->wal);
    assert(status == STATUS_OK);
    (void)snprintf(path, sizeof(path), "%s/n%u", dir, index);
    struct worker_options options = {.node = index + 1,
                                     .loops = 1,
                                     .incarnation = index + 100,
                                     .seed = index + 7,
                                     .dir = path,
                                     .store = lane->store,
                                     .wal = lane->wal,
                                     .wal_wake = on_wal_wake,
                                     .wal_wake_arg = lane,
                                     .election_ms = 2000,
                                     .heartbeat_ms = 100,
                                     .lease_reads = true};
    struct worker_env env = {.ctx = lane,
                             .out_node = out_node,
                             .out_link = out_link,
                             .node_loops = node_loops,
                             .post = post,
                             .run = run_job,
                             .again = again,
                             .meta_changed = nothing,
                             .removed = removed,
                             .refuse_writes = refuse};
    lane->worker = worker_new(&options, &env);
    wal_start(lane->wal);
    loop_set_turn(lane->loop, on_turn, lane);
    loop_timer_start(lane->loop, &lane->tick, 1, WORKER_TICK_MS, on_tick, lane);
}

static void create_groups(struct bench *bench)
{
    /* Keys are spread by number, not by token: every group owns the whole ring, as groups of
     * different nodes' stores would. */
    for (unsigned g = 0; g < bench->groups; g++) {
        struct shard_desc desc = {.id = SHARD_FIRST + g,
                                  .start = 0,
                                  .last = UINT64_MAX,
                                  .ver = 1,
                                  .conf_ver = 1,
                                  .birth_max = 10,
                                  .replica_count = NODES};
        for (unsigned i = 0; i < NODES; i++) {
            desc.replicas[i] = (struct replica_desc){.id = i + 1, .node = i + 1};
        }
        for (unsigned i = 0; i < NODES; i++) {
            worker_create(bench->lanes[i].worker, &desc, i + 1, true);
            worker_node_changed(bench->lanes[i].worker, (i + 1) % NODES + 1, true);
            worker_node_changed(bench->lanes[i].worker, (i + 2) % NODES + 1, true);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void lane_main(void *arg)
{
    struct lane *lane = arg;
    while (!atomic_load(&lane->bench->finished)) {
        loop_step(lane->loop, 100);
    }
}

static void print(struct bench *bench)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    uint64_t samples = bench->done < SAMPLES_MAX ? bench->done : SAMPLES_MAX;
    qsort(bench->samples_us, samples, sizeof(*bench->samples_us), by_size);
    double seconds = (double)(bench->end_ns - bench->begin_ns) / 1e9;
    struct wal_stats wal;
    wal_stats(bench->lanes[0].wal, &wal);
    printf(
        "groups=%u outstanding=%u writes_per_second=%.0f p50_us=%u p99_us=%u failed=%llu "
        "cpu_us_per_write=%.1f writes_per_sync=%.1f\n",
        bench->groups, bench->outstanding, (double)bench->done / seconds,
        samples == 0 ? 0 : bench->samples_us[samples / 2],
        samples == 0 ? 0 : bench->samples_us[samples * 99 / 100], (unsigned long long)bench->failed,
        bench->done == 0 ? 0 : cpu * 1e6 / (double)bench->done,
        wal.syncs == 0 ? 0 : (double)bench->done / (double)wal.syncs);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: inject DIR [GROUPS [OUTSTANDING [SECONDS]]]\n");
        return 2;
    }
    log_set_level(LOG_WARN);
    struct bench *bench = calloc(1, sizeof(*bench));
    assert(bench != NULL);
    bench->groups = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    bench->outstanding = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 256;
    bench->seconds = argc > 4 ? strtoull(argv[4], NULL, 10) : 5;
    rand_init(&bench->rand, 1);
    bench->samples_us = calloc(SAMPLES_MAX, sizeof(*bench->samples_us));
    bench->ops = calloc(bench->outstanding, sizeof(*bench->ops));
    assert(bench->samples_us != NULL && bench->ops != NULL && bench->groups > 0);
    for (unsigned i = 0; i < bench->outstanding; i++) {
        bench->ops[i].bench = bench;
        memset(bench->ops[i].value, 'v', VALUE_SIZE);
    }
    for (unsigned i = 0; i < NODES; i++) {
        open_lane(bench, i, argv[1]);
    }
    create_groups(bench);
    for (unsigned i = 0; i < NODES; i++) {
        thread_start(&bench->lanes[i].thread, "inject", lane_main, &bench->lanes[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        thread_join(&bench->lanes[i].thread);
    }
    print(bench);
    _exit(bench->done > 0 && bench->failed == 0 ? 0 : 1); /* The folder is thrown away. */
}
