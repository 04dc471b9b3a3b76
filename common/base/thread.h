#ifndef COMMON_BASE_THREAD_H
#define COMMON_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The only file that knows pthreads. Locks may be held for a few instructions only and never
 * across I/O; who uses one says why in its header. */
struct mutex {
    pthread_mutex_t raw;
};

struct cond {
    pthread_cond_t raw;
};

struct thread {
    pthread_t raw;
};

void mutex_init(struct mutex *mutex);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

void cond_init(struct cond *cond);
void cond_deinit(struct cond *cond);
void cond_wait(struct cond *cond, struct mutex *mutex);
/* The same, but at most for so long; nobody says which it was. */
void cond_wait_for(struct cond *cond, struct mutex *mutex, uint64_t ms);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

/* Runs run(arg) on a new thread; name (at most 15 characters) is what top shows. All signals are
 * blocked there. */
void thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg);
void thread_join(struct thread *thread);

#endif
