#ifndef COMMON_NET_LOOP_H
#define COMMON_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/* One event loop = one thread. Everything that is made on a loop (conns, listeners, links, timers)
 * belongs to the thread that runs it and is used there only; other threads talk to it through
 * mailbox_post() alone.
 *
 * The loop works in turns. A turn: ready sockets, mail, finished pool work and due timers are
 * handled (their callbacks run); then on_turn runs; then every conn with output pending is written,
 * once. Then the loop blocks until something happens. on_turn is called only if some callback ran
 * since the last time, so it costs nothing on an idle loop; it may create output, mail and timers.
 *
 * Thread: the one that runs the loop, unless a function says "any thread". A loop may be built and
 * filled by another thread before loop_run() and taken down by another after it has returned. */
struct loop;

/* index: 0, 1, ... among the loops of the process; what frames and CLIENT LIST call it. */
struct loop *loop_new(unsigned index);
/* Closes what is still open on it (every on_close is called, with CLOSED), then frees it. The loop
 * is not running. Mail that was not handled is dropped: its owners take care of it. */
void loop_free(struct loop *loop);
unsigned loop_index(const struct loop *loop);

/* Runs until loop_stop(); returns after the turn in which that was seen. May be run again. */
void loop_run(struct loop *loop);
/* Waits for something to happen at most wait_ms, handles one turn and returns: for tests, and for
 * programs that have their own idea of when to end. */
void loop_step(struct loop *loop, uint64_t wait_ms);
/* Any thread. */
void loop_stop(struct loop *loop);

/* One function per loop. NULL: none. */
void loop_set_turn(struct loop *loop, void (*on_turn)(void *arg), void *arg);
/* Asks for a turn although nothing else happens: on_turn runs again soon, without blocking first.
 */
void loop_again(struct loop *loop);

/* The boot clock (clock.h) as of the beginning of this turn: no system call. */
uint64_t loop_now_ms(struct loop *loop);
uint64_t loop_now_ns(struct loop *loop);

/* For metrics. Any thread. */
struct loop_load {
    uint64_t busy_ns; /* Time since loop_new() in which the loop did not wait. */
    uint64_t turns;
};
struct loop_load loop_load(struct loop *loop);

/* A timer is embedded in its owner, zeroed or loop_timer_init()ed before its first use, and may be
 * freed as soon as it is stopped. It calls on_timer(arg) after delay_ms, then every repeat_ms if
 * that is not 0. Starting a running timer sets it anew. The callback may start and stop any timer.
 */
struct timer {
    struct loop *loop; /* NULL: not running. */
    uint64_t at_ms;
    uint64_t repeat_ms;
    uint64_t order; /* Timers due at the same time run in the order in which they were started. */
    size_t slot;
    void (*on_timer)(void *arg);
    void *arg;
};

void loop_timer_init(struct timer *timer);
void loop_timer_start(struct loop *loop,
                      struct timer *timer,
                      uint64_t delay_ms,
                      uint64_t repeat_ms,
                      void (*on_timer)(void *arg),
                      void *arg);
/* Nothing happens if it is not running. */
void loop_timer_stop(struct timer *timer);
bool loop_timer_running(const struct timer *timer);

/* Calls on_signal(arg, number) on this loop when the process gets the signal (SIGTERM, SIGINT,
 * SIGHUP ...). A later call for the same number replaces the earlier. */
void loop_on_signal(struct loop *loop,
                    int number,
                    void (*on_signal)(void *arg, int number),
                    void *arg);

/* Any thread; no loop is needed. Raises the process' limit of open files as far as allowed, at most
 * to want, and makes writes to a closed socket an error instead of a signal. Returns the limit. */
uint64_t loop_prepare_process(uint64_t want);

#endif
