#include "common/net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/net/loop_core.h"

enum { LOOP_MAGIC = 0x4c4f4f50, ROUNDS_MAX = 8, TIMERS_SIZE_FIRST = 16 };

uint64_t loop_now_ns(struct loop *loop)
{
    if (!loop->now_known) {
        loop->now_ns = clock_now_ns();
        loop->now_known = true;
    }
    return loop->now_ns;
}

uint64_t loop_now_ms(struct loop *loop)
{
    return loop_now_ns(loop) / 1000000;
}

/* Timers: a binary heap. */

static bool before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place(struct loop *loop, struct timer *timer, size_t slot)
{
    loop->timers[slot] = timer;
    timer->slot = slot;
}

static void sift_up(struct loop *loop, struct timer *timer)
{
    size_t slot = timer->slot;
    while (slot > 0 && before(timer, loop->timers[(slot - 1) / 2])) {
        place(loop, loop->timers[(slot - 1) / 2], slot);
        slot = (slot - 1) / 2;
    }
    place(loop, timer, slot);
}

static void sift_down(struct loop *loop, struct timer *timer)
{
    size_t slot = timer->slot;
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child + 1 < loop->timer_count && before(loop->timers[child + 1], loop->timers[child])) {
            child++;
        }
        if (child >= loop->timer_count || !before(loop->timers[child], timer)) {
            break;
        }
        place(loop, loop->timers[child], slot);
        slot = child;
    }
    place(loop, timer, slot);
}

static void insert(struct loop *loop, struct timer *timer, uint64_t at_ms)
{
    if (loop->timer_count == loop->timer_size) {
        loop->timer_size = loop->timer_size == 0 ? TIMERS_SIZE_FIRST : 2 * loop->timer_size;
        loop->timers = realloc(loop->timers, loop->timer_size * sizeof(struct timer *));
        assert(loop->timers != NULL);
    }
    timer->at_ms = at_ms;
    timer->order = loop->timer_order++;
    timer->loop = loop;
    timer->slot = loop->timer_count++;
    sift_up(loop, timer);
}

void loop_timer_init(struct timer *timer)
{
    *timer = (struct timer){0};
}

void loop_timer_start(struct loop *loop,
                      struct timer *timer,
                      uint64_t delay_ms,
                      uint64_t repeat_ms,
                      void (*on_timer)(void *arg),
                      void *arg)
{
    assert(on_timer != NULL);
    loop_timer_stop(timer);
    timer->repeat_ms = repeat_ms;
    timer->on_timer = on_timer;
    timer->arg = arg;
    /* The next whole millisecond: never early. */
    insert(loop, timer, loop_now_ms(loop) + delay_ms + (delay_ms > 0));
}

void loop_timer_stop(struct timer *timer)
{
    struct loop *loop = timer->loop;
    if (loop == NULL) {
        return;
    }
    assert(loop->timers[timer->slot] == timer);
    timer->loop = NULL;
    struct timer *last = loop->timers[--loop->timer_count];
    if (last != timer) {
        last->slot = timer->slot;
        sift_up(loop, last);
        sift_down(loop, last);
    }
}

bool loop_timer_running(const struct timer *timer)
{
    return timer->loop != NULL;
}

static void run_timers(struct loop *loop)
{
    uint64_t now_ms = loop_now_ms(loop);
    /* Those that are started by callbacks wait for the next round, or a delay of 0 would spin. */
    uint64_t order_end = loop->timer_order;
    while (loop->timer_count > 0) {
        struct timer *timer = loop->timers[0];
        if (timer->at_ms > now_ms || timer->order >= order_end) {
            break;
        }
        loop_timer_stop(timer);
        if (timer->repeat_ms > 0) {
            insert(loop, timer, now_ms + timer->repeat_ms);
        }
        loop_core_touch(loop);
        timer->on_timer(timer->arg);
    }
}

/* Mail. */

void mailbox_post(struct loop *loop, struct mail *mail)
{
    assert(mail->run != NULL);
    struct mail *newest = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &newest, mail,
                                                    memory_order_release, memory_order_relaxed));
    if (newest == NULL) {
        int rv = uv_async_send(&loop->wake);
        assert(rv == 0);
    }
}

static void on_wake(uv_async_t *handle)
{
    struct loop *loop = handle->data;
    loop_core_touch(loop);
    struct mail *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest != NULL) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct mail *mail = oldest;
        oldest = mail->next; /* The mail may be gone or posted again after it has run. */
        mail->run(mail);
    }
}

/* Turns. */

static void take_turn(struct loop *loop)
{
    for (int round = 0; loop->busy && round < ROUNDS_MAX; round++) {
        loop->busy = false;
        struct list *node;
        /* Those that become ready meanwhile set busy, and have the next round. */
        struct list ready;
        list_init(&ready);
        while ((node = list_pop_front(&loop->ready)) != NULL) {
            list_push_back(&ready, node);
        }
        while ((node = list_pop_front(&ready)) != NULL) {
            loop_core_deliver(loop_core_ready_conn(node));
        }
        if (loop->on_turn != NULL) {
            loop->on_turn(loop->turn_arg);
        }
        while ((node = list_pop_front(&loop->dirty)) != NULL) {
            loop_core_flush(loop_core_dirty_conn(node));
        }
    }
    if (loop->busy) {
        loop_again(loop);
    }
}

static void on_check(uv_check_t *handle)
{
    struct loop *loop = handle->data;
    uint64_t turns = atomic_load_explicit(&loop->turns, memory_order_relaxed);
    atomic_store_explicit(&loop->turns, turns + 1, memory_order_relaxed);
    run_timers(loop);
    take_turn(loop);
}

static void on_clock(uv_timer_t *handle)
{
    (void)handle; /* It only ends the waiting: timers run in on_check. */
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    /* What libuv calls between check and here: close callbacks, writes that failed. */
    take_turn(loop);
    loop->now_known = false;
    if (loop->timer_count == 0) {
        uv_timer_stop(&loop->clock);
        return;
    }
    uint64_t now_ms = clock_now_ms();
    uint64_t at_ms = loop->timers[0]->at_ms;
    uv_update_time(&loop->uv);
    int rv = uv_timer_start(&loop->clock, on_clock, at_ms > now_ms ? at_ms - now_ms : 0, 0);
    assert(rv == 0);
}

struct loop *loop_new(unsigned index)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    assert(loop != NULL);
    loop->magic = LOOP_MAGIC;
    loop->index = index;
    list_init(&loop->conns);
    list_init(&loop->dirty);
    list_init(&loop->ready);
    list_init(&loop->listeners);
    loop->scratch = malloc(LOOP_CORE_HEAD_SIZE + LOOP_CORE_READ_SIZE);
    assert(loop->scratch != NULL);
    loop->started_ns = clock_now_ns();
    int rv = uv_loop_init(&loop->uv);
    rv = rv != 0 ? rv : uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    rv = rv != 0 ? rv : uv_async_init(&loop->uv, &loop->wake, on_wake);
    rv = rv != 0 ? rv : uv_check_init(&loop->uv, &loop->check);
    rv = rv != 0 ? rv : uv_prepare_init(&loop->uv, &loop->prepare);
    rv = rv != 0 ? rv : uv_timer_init(&loop->uv, &loop->clock);
    rv = rv != 0 ? rv : uv_check_start(&loop->check, on_check);
    rv = rv != 0 ? rv : uv_prepare_start(&loop->prepare, on_prepare);
    assert(rv == 0);
    loop->uv.data = loop;
    loop->wake.data = loop;
    loop->check.data = loop;
    loop->prepare.data = loop;
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

void loop_free(struct loop *loop)
{
    assert(loop->magic == LOOP_MAGIC);
    loop_core_close_listeners(loop);
    loop->on_turn = NULL;
    while (!list_empty(&loop->conns)) {
        for (struct list *node = loop->conns.next; node != &loop->conns; node = node->next) {
            conn_close(loop_core_any_conn(node), STATUS_CLOSED);
        }
        /* Conns wait for nothing but their handles, and lookups that were cancelled. */
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
    while (loop->timer_count > 0) {
        loop_timer_stop(loop->timers[0]);
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->clock, NULL);
    for (size_t i = 0; i < loop->signal_count; i++) {
        uv_close((uv_handle_t *)&loop->signals[i].handle, NULL);
    }
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
    int rv = uv_loop_close(&loop->uv);
    assert(rv == 0);
    for (size_t i = 0; i < loop->spare_count; i++) {
        buf_deinit(&loop->spares[i]);
    }
    free(loop->timers);
    free(loop->scratch);
    free(loop);
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire)) {
        uv_run(&loop->uv, UV_RUN_ONCE);
    }
    atomic_store(&loop->stop, false);
}

static void on_step_end(void *arg)
{
    (void)arg;
}

void loop_step(struct loop *loop, uint64_t wait_ms)
{
    struct timer timer = {0};
    loop->now_known = false;
    if (wait_ms > 0) {
        loop_timer_start(loop, &timer, wait_ms, 0, on_step_end, NULL);
    }
    uv_run(&loop->uv, wait_ms > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop_timer_stop(&timer);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    int rv = uv_async_send(&loop->wake);
    assert(rv == 0);
}

void loop_set_turn(struct loop *loop, void (*on_turn)(void *arg), void *arg)
{
    loop->on_turn = on_turn;
    loop->turn_arg = arg;
}

void loop_again(struct loop *loop)
{
    int rv = uv_async_send(&loop->wake);
    assert(rv == 0);
}

struct loop_load loop_load(struct loop *loop)
{
    uint64_t passed_ns = clock_now_ns() - loop->started_ns;
    uint64_t idle_ns = uv_metrics_idle_time(&loop->uv);
    return (struct loop_load){
        .busy_ns = passed_ns > idle_ns ? passed_ns - idle_ns : 0,
        .turns = atomic_load_explicit(&loop->turns, memory_order_relaxed),
    };
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop_signal *signal_ = handle->data;
    loop_core_touch((struct loop *)handle->loop->data);
    signal_->on_signal(signal_->arg, number);
}

void loop_on_signal(struct loop *loop,
                    int number,
                    void (*on_signal_)(void *arg, int number),
                    void *arg)
{
    size_t i = 0;
    while (i < loop->signal_count && loop->signals[i].handle.signum != number) {
        i++;
    }
    assert(i < LOOP_CORE_SIGNALS_MAX);
    struct loop_signal *slot = &loop->signals[i];
    slot->on_signal = on_signal_;
    slot->arg = arg;
    if (i < loop->signal_count) {
        return;
    }
    loop->signal_count++;
    int rv = uv_signal_init(&loop->uv, &slot->handle);
    assert(rv == 0);
    slot->handle.data = slot;
    rv = uv_signal_start(&slot->handle, on_signal, number);
    assert(rv == 0);
}

uint64_t loop_prepare_process(uint64_t want)
{
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    uint64_t goal = want < limit.rlim_max ? want : limit.rlim_max;
    if (limit.rlim_cur < goal) {
        limit.rlim_cur = goal;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return 0;
        }
    }
    return limit.rlim_cur;
}

/* Shared inside the room. */

enum status loop_core_status(int uv_error)
{
    switch (uv_error) {
    case 0: return STATUS_OK;
    case UV_EOF:
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ECONNREFUSED:
    case UV_ECONNABORTED:
    case UV_ENOTCONN: return STATUS_DISCONNECTED;
    case UV_ETIMEDOUT: return STATUS_TIMEOUT;
    case UV_EADDRINUSE: return STATUS_CONFLICT;
    case UV_EADDRNOTAVAIL:
    case UV_EINVAL:
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAFNOSUPPORT: return STATUS_BAD_ARGUMENT;
    case UV_ECANCELED: return STATUS_CLOSED;
    default: return STATUS_IO;
    }
}

struct buf loop_core_spare(struct loop *loop)
{
    struct buf buf;
    if (loop->spare_count > 0) {
        return loop->spares[--loop->spare_count];
    }
    buf_init(&buf, SIZE_MAX / 2);
    (void)buf_reserve(&buf, LOOP_CORE_SPARE_SIZE);
    return buf;
}

void loop_core_give_back(struct loop *loop, struct buf *buf)
{
    bool fits = buf->size >= LOOP_CORE_SPARE_SIZE && buf->size <= LOOP_CORE_SPARE_SIZE_MAX;
    if (fits && loop->spare_count < LOOP_CORE_SPARES_MAX) {
        buf_clear(buf);
        loop->spares[loop->spare_count++] = *buf;
        *buf = (struct buf){0};
        return;
    }
    buf_deinit(buf);
}
