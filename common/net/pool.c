#include "common/net/pool.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/list.h"
#include "common/base/thread.h"

/* The one lock of this room: a queue that threads wait on. Held for a few instructions. */
struct pool {
    struct mutex mutex;
    struct cond changed;
    struct work *first;
    struct work **last;
    size_t pending;
    bool ending;
    unsigned thread_count;
    struct thread threads[];
};

static struct work *take(struct pool *pool)
{
    mutex_lock(&pool->mutex);
    while (pool->first == NULL && !pool->ending) {
        cond_wait(&pool->changed, &pool->mutex);
    }
    struct work *work = pool->first;
    if (work != NULL) {
        pool->first = work->next;
        if (pool->first == NULL) {
            pool->last = &pool->first;
        }
    }
    mutex_unlock(&pool->mutex);
    return work;
}

static void on_done(struct mail *mail)
{
    struct work *work = list_entry(mail, struct work, mail);
    work->done(work);
}

static void run_thread(void *arg)
{
    struct pool *pool = arg;
    struct work *work;
    while ((work = take(pool)) != NULL) {
        work->run(work);
        mutex_lock(&pool->mutex);
        pool->pending--;
        mutex_unlock(&pool->mutex);
        work->mail.run = on_done;
        mailbox_post(work->loop, &work->mail);
    }
}

struct pool *pool_new(unsigned threads)
{
    assert(threads > 0);
    struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(struct thread));
    assert(pool != NULL);
    mutex_init(&pool->mutex);
    cond_init(&pool->changed);
    pool->last = &pool->first;
    pool->thread_count = threads;
    for (unsigned i = 0; i < threads; i++) {
        thread_start(&pool->threads[i], "sherd-pool", run_thread, pool);
    }
    return pool;
}

void pool_free(struct pool *pool)
{
    mutex_lock(&pool->mutex);
    pool->ending = true;
    cond_broadcast(&pool->changed);
    mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        thread_join(&pool->threads[i]);
    }
    assert(pool->first == NULL);
    cond_deinit(&pool->changed);
    mutex_deinit(&pool->mutex);
    free(pool);
}

void pool_submit(struct pool *pool, struct loop *loop, struct work *work)
{
    assert(work->run != NULL && work->done != NULL);
    work->loop = loop;
    work->next = NULL;
    mutex_lock(&pool->mutex);
    assert(!pool->ending);
    *pool->last = work;
    pool->last = &work->next;
    pool->pending++;
    cond_signal(&pool->changed);
    mutex_unlock(&pool->mutex);
}

size_t pool_pending(struct pool *pool)
{
    mutex_lock(&pool->mutex);
    size_t pending = pool->pending;
    mutex_unlock(&pool->mutex);
    return pending;
}
