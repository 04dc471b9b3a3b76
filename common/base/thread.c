#include "common/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/assert.h"

enum { MS_PER_S = 1000, NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

void mutex_init(struct mutex *mutex)
{
    int rv = pthread_mutex_init(&mutex->raw, NULL);
    assert(rv == 0);
}

void mutex_deinit(struct mutex *mutex)
{
    int rv = pthread_mutex_destroy(&mutex->raw);
    assert(rv == 0);
}

void mutex_lock(struct mutex *mutex)
{
    int rv = pthread_mutex_lock(&mutex->raw);
    assert(rv == 0);
}

void mutex_unlock(struct mutex *mutex)
{
    int rv = pthread_mutex_unlock(&mutex->raw);
    assert(rv == 0);
}

void cond_init(struct cond *cond)
{
    pthread_condattr_t attributes;
    int rv = pthread_condattr_init(&attributes);
    assert(rv == 0);
    rv = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(rv == 0);
    rv = pthread_cond_init(&cond->raw, &attributes);
    assert(rv == 0);
    rv = pthread_condattr_destroy(&attributes);
    assert(rv == 0);
}

void cond_deinit(struct cond *cond)
{
    int rv = pthread_cond_destroy(&cond->raw);
    assert(rv == 0);
}

void cond_wait(struct cond *cond, struct mutex *mutex)
{
    int rv = pthread_cond_wait(&cond->raw, &mutex->raw);
    assert(rv == 0);
}

void cond_wait_for(struct cond *cond, struct mutex *mutex, uint64_t ms)
{
    struct timespec until;
    int rv = clock_gettime(CLOCK_MONOTONIC, &until);
    assert(rv == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + ms % MS_PER_S * NS_PER_MS;
    until.tv_sec += (time_t)(ms / MS_PER_S + ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    rv = pthread_cond_timedwait(&cond->raw, &mutex->raw, &until);
    assert(rv == 0 || rv == ETIMEDOUT);
}

void cond_signal(struct cond *cond)
{
    int rv = pthread_cond_signal(&cond->raw);
    assert(rv == 0);
}

void cond_broadcast(struct cond *cond)
{
    int rv = pthread_cond_broadcast(&cond->raw);
    assert(rv == 0);
}

enum { NAME_SIZE = 16 }; /* The kernel's bound, with the NUL. */

struct start {
    void (*run)(void *arg);
    void *arg;
    char name[NAME_SIZE];
};

static void *on_start(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    int rv = pthread_setname_np(pthread_self(), start.name);
    assert(rv == 0);
    start.run(start.arg);
    return NULL;
}

void thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    struct start *start = malloc(sizeof(*start));
    assert(start != NULL);
    *start = (struct start){.run = run, .arg = arg};
    assert(strlen(name) < sizeof(start->name));
    memcpy(start->name, name, strlen(name));
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    int rv = pthread_sigmask(SIG_SETMASK, &all, &old);
    assert(rv == 0);
    rv = pthread_create(&thread->raw, NULL, on_start, start);
    assert(rv == 0);
    rv = pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert(rv == 0);
}

void thread_join(struct thread *thread)
{
    int rv = pthread_join(thread->raw, NULL);
    assert(rv == 0);
}
