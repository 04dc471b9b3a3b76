#include "common/net/loop.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/thread.h"
#include "common/net/mailbox.h"
#include "common/net/pool.h"
#include "tests/support/test.h"

struct trace {
    struct loop *loop;
    char text[64];
    size_t len;
    struct timer timers[4];
};

static void add(struct trace *trace, char c)
{
    CHECK(trace->len + 1 < sizeof(trace->text));
    trace->text[trace->len++] = c;
    trace->text[trace->len] = '\0';
}

static void on_a(void *arg)
{
    add(arg, 'a');
}

static void on_b(void *arg)
{
    add(arg, 'b');
}

static void on_stop(void *arg)
{
    struct trace *trace = arg;
    add(trace, '.');
    loop_stop(trace->loop);
}

TEST(loop_timer_start, runs_in_order_of_time_then_of_start)
{
    struct trace trace = {.loop = loop_new(0)};
    loop_timer_start(trace.loop, &trace.timers[0], 4, 0, on_stop, &trace);
    loop_timer_start(trace.loop, &trace.timers[1], 2, 0, on_b, &trace);
    loop_timer_start(trace.loop, &trace.timers[2], 1, 0, on_a, &trace);
    loop_timer_start(trace.loop, &trace.timers[3], 2, 0, on_a, &trace);
    loop_run(trace.loop);
    CHECK_BYTES(slice_str(trace.text), "aba.");
    CHECK(!loop_timer_running(&trace.timers[1]));
    loop_free(trace.loop);
}

TEST(loop_timer_start, never_fires_early)
{
    struct trace trace = {.loop = loop_new(0)};
    uint64_t start_ns = clock_now_ns();
    loop_timer_start(trace.loop, &trace.timers[0], 10, 0, on_stop, &trace);
    loop_run(trace.loop);
    CHECK(clock_now_ns() - start_ns >= 10000000);
    loop_free(trace.loop);
}

TEST(loop_timer_start, sets_a_running_timer_anew)
{
    struct trace trace = {.loop = loop_new(0)};
    loop_timer_start(trace.loop, &trace.timers[0], 1, 0, on_a, &trace);
    loop_timer_start(trace.loop, &trace.timers[0], 3600000, 0, on_b, &trace);
    loop_timer_start(trace.loop, &trace.timers[1], 5, 0, on_stop, &trace);
    loop_run(trace.loop);
    CHECK_BYTES(slice_str(trace.text), ".");
    CHECK(loop_timer_running(&trace.timers[0]));
    loop_free(trace.loop);
    CHECK(!loop_timer_running(&trace.timers[0]));
}

struct repeat {
    struct loop *loop;
    struct timer timer;
    int left;
};

static void on_repeat(void *arg)
{
    struct repeat *repeat = arg;
    if (--repeat->left == 0) {
        loop_timer_stop(&repeat->timer);
        loop_stop(repeat->loop);
    }
}

TEST(loop_timer_start, repeats_until_it_is_stopped)
{
    struct repeat repeat = {.loop = loop_new(0), .left = 3};
    loop_timer_start(repeat.loop, &repeat.timer, 1, 1, on_repeat, &repeat);
    loop_run(repeat.loop);
    CHECK_EQ(repeat.left, 0);
    loop_free(repeat.loop);
}

static void on_count(void *arg)
{
    ++*(unsigned *)arg;
}

TEST(loop_timer_stop, keeps_the_others_in_order)
{
    struct loop *loop = loop_new(0);
    enum { COUNT = 200 };
    struct timer *timers = calloc(COUNT, sizeof(struct timer));
    CHECK(timers != NULL);
    unsigned fired = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        loop_timer_start(loop, &timers[i], (i * 37) % 5, 0, on_count, &fired);
    }
    for (unsigned i = 0; i < COUNT; i += 3) {
        loop_timer_stop(&timers[i]);
    }
    unsigned want = COUNT - (COUNT + 2) / 3;
    uint64_t end_ms = clock_now_ms() + 5000;
    while (fired < want && clock_now_ms() < end_ms) {
        loop_step(loop, 10);
    }
    CHECK_EQ(fired, want);
    loop_free(loop);
    free(timers);
}

/* Mail. */

struct letter {
    struct mail mail;
    struct trace *trace;
    char c;
};

static void on_letter(struct mail *mail)
{
    struct letter *letter = list_entry(mail, struct letter, mail);
    add(letter->trace, letter->c);
    if (letter->c == '.') {
        loop_stop(letter->trace->loop);
    }
}

TEST(mailbox_post, keeps_the_order_of_one_sender)
{
    struct trace trace = {.loop = loop_new(0)};
    struct letter letters[] = {
        {.mail.run = on_letter, .trace = &trace, .c = 'x'},
        {.mail.run = on_letter, .trace = &trace, .c = 'y'},
        {.mail.run = on_letter, .trace = &trace, .c = '.'},
    };
    for (size_t i = 0; i < 3; i++) {
        mailbox_post(trace.loop, &letters[i].mail);
    }
    loop_run(trace.loop);
    CHECK_BYTES(slice_str(trace.text), "xy.");
    loop_free(trace.loop);
}

/* Threads wait behind it until it is opened. */
struct gate {
    struct mutex mutex;
    struct cond changed;
    bool open;
};

static void gate_init(struct gate *gate)
{
    mutex_init(&gate->mutex);
    cond_init(&gate->changed);
    gate->open = false;
}

static void gate_deinit(struct gate *gate)
{
    cond_deinit(&gate->changed);
    mutex_deinit(&gate->mutex);
}

static void gate_open(void *arg)
{
    struct gate *gate = arg;
    mutex_lock(&gate->mutex);
    gate->open = true;
    cond_broadcast(&gate->changed);
    mutex_unlock(&gate->mutex);
}

static void gate_pass(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    while (!gate->open) {
        cond_wait(&gate->changed, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
}

enum { SENDERS = 4, LETTERS = 5000 };

struct flood {
    struct loop *loop;
    struct gate gate;
    unsigned received;
    uint32_t last[SENDERS];
};

struct numbered {
    struct mail mail;
    struct flood *flood;
    unsigned sender;
    uint32_t number;
};

struct sender {
    struct flood *flood;
    unsigned index;
};

static void on_numbered(struct mail *mail)
{
    struct numbered *numbered = list_entry(mail, struct numbered, mail);
    struct flood *flood = numbered->flood;
    CHECK_EQ(numbered->number, flood->last[numbered->sender] + 1);
    flood->last[numbered->sender] = numbered->number;
    free(numbered);
    if (++flood->received == SENDERS * LETTERS) {
        loop_stop(flood->loop);
    }
}

static void send_all(void *arg)
{
    struct sender *sender = arg;
    gate_pass(&sender->flood->gate);
    for (uint32_t i = 1; i <= LETTERS; i++) {
        struct numbered *numbered = malloc(sizeof(*numbered));
        CHECK(numbered != NULL);
        *numbered = (struct numbered){
            .mail.run = on_numbered, .flood = sender->flood, .sender = sender->index, .number = i};
        mailbox_post(sender->flood->loop, &numbered->mail);
    }
}

TEST(mailbox_post, loses_nothing_from_many_threads)
{
    struct flood flood = {.loop = loop_new(0)};
    gate_init(&flood.gate);
    struct sender senders[SENDERS];
    struct thread threads[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.flood = &flood, .index = i};
        thread_start(&threads[i], "sender", send_all, &senders[i]);
    }
    gate_open(&flood.gate);
    loop_run(flood.loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        thread_join(&threads[i]);
        CHECK_EQ(flood.last[i], LETTERS);
    }
    loop_free(flood.loop);
    gate_deinit(&flood.gate);
}

/* Turns. */

static void on_turn(void *arg)
{
    add(arg, '|');
}

TEST(loop_set_turn, comes_after_what_happened_and_not_when_nothing_did)
{
    struct trace trace = {.loop = loop_new(0)};
    struct letter letter = {.mail.run = on_letter, .trace = &trace, .c = 'm'};
    loop_set_turn(trace.loop, on_turn, &trace);
    loop_step(trace.loop, 0);
    CHECK_EQ(trace.len, 0);
    mailbox_post(trace.loop, &letter.mail);
    loop_step(trace.loop, 1000);
    CHECK_BYTES(slice_str(trace.text), "m|");
    loop_step(trace.loop, 0);
    CHECK_BYTES(slice_str(trace.text), "m|");
    loop_again(trace.loop);
    loop_step(trace.loop, 1000);
    CHECK_BYTES(slice_str(trace.text), "m||");
    loop_free(trace.loop);
}

struct starter {
    struct trace *trace;
    struct timer timer;
    bool started;
};

static void on_starting_turn(void *arg)
{
    struct starter *starter = arg;
    if (!starter->started) {
        starter->started = true;
        loop_timer_start(starter->trace->loop, &starter->timer, 0, 0, on_stop, starter->trace);
    }
}

TEST(loop_set_turn, may_start_timers)
{
    struct trace trace = {.loop = loop_new(0)};
    struct starter starter = {.trace = &trace};
    loop_set_turn(trace.loop, on_starting_turn, &starter);
    loop_again(trace.loop);
    loop_run(trace.loop);
    CHECK_BYTES(slice_str(trace.text), ".");
    loop_free(trace.loop);
}

/* The pool. */

struct job {
    struct work work;
    struct trace *trace;
    _Atomic bool ran;
};

static void run_job(struct work *work)
{
    atomic_store(&list_entry(work, struct job, work)->ran, true);
}

static void done_job(struct work *work)
{
    struct job *job = list_entry(work, struct job, work);
    CHECK(atomic_load(&job->ran));
    add(job->trace, 'd');
    if (job->trace->len == 10) {
        loop_stop(job->trace->loop);
    }
}

TEST(pool_submit, runs_elsewhere_and_comes_back_once)
{
    struct trace trace = {.loop = loop_new(0)};
    struct pool *pool = pool_new(3);
    struct job jobs[10];
    for (size_t i = 0; i < 10; i++) {
        jobs[i] = (struct job){.work = {.run = run_job, .done = done_job}, .trace = &trace};
        pool_submit(pool, trace.loop, &jobs[i].work);
    }
    loop_run(trace.loop);
    CHECK_BYTES(slice_str(trace.text), "dddddddddd");
    CHECK_EQ(pool_pending(pool), 0);
    pool_free(pool);
    loop_free(trace.loop);
}

TEST(pool_free, runs_what_is_queued_first)
{
    struct trace trace = {.loop = loop_new(0)};
    struct pool *pool = pool_new(1);
    struct job jobs[10];
    for (size_t i = 0; i < 10; i++) {
        jobs[i] = (struct job){.work = {.run = run_job, .done = done_job}, .trace = &trace};
        pool_submit(pool, trace.loop, &jobs[i].work);
    }
    pool_free(pool);
    for (size_t i = 0; i < 10; i++) {
        CHECK(atomic_load(&jobs[i].ran));
    }
    loop_free(trace.loop);
}

/* Stops the loop from another thread, once the loop is seen to run. */
struct stopper {
    struct loop *loop;
    struct gate running;
    struct timer timer;
};

static void stop_it(void *arg)
{
    struct stopper *stopper = arg;
    gate_pass(&stopper->running);
    loop_stop(stopper->loop);
}

TEST(loop_stop, wakes_a_loop_from_another_thread)
{
    struct stopper stopper = {.loop = loop_new(3)};
    gate_init(&stopper.running);
    CHECK_EQ(loop_index(stopper.loop), 3);
    struct thread thread;
    thread_start(&thread, "stopper", stop_it, &stopper);
    loop_timer_start(stopper.loop, &stopper.timer, 0, 0, gate_open, &stopper.running);
    loop_run(stopper.loop);
    thread_join(&thread);
    CHECK(loop_load(stopper.loop).busy_ns < 3600 * UINT64_C(1000000000));
    loop_free(stopper.loop);
    gate_deinit(&stopper.running);
}
