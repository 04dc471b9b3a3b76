#include "replication/log/wal_chunk.h"

#include <stdlib.h>

#include "common/base/assert.h"

struct wal_chunk *wal_chunk_new(void)
{
    struct wal_chunk *chunk = calloc(1, sizeof(*chunk));
    assert(chunk != NULL);
    /* What waits is bounded by those who submit; a chunk may hold the largest entry and more. */
    buf_init(&chunk->bytes, SIZE_MAX / 4);
    return chunk;
}

void wal_chunk_free(struct wal_chunk *chunk)
{
    if (chunk != NULL) {
        buf_deinit(&chunk->bytes);
        free(chunk);
    }
}

void wal_chunk_push(struct wal_chunk_queue *queue, struct wal_chunk *chunk)
{
    assert(chunk->next == NULL);
    if (queue->last == NULL) {
        queue->first = chunk;
    } else {
        queue->last->next = chunk;
    }
    queue->last = chunk;
    queue->count++;
}

struct wal_chunk *wal_chunk_pop(struct wal_chunk_queue *queue)
{
    struct wal_chunk *chunk = queue->first;
    if (chunk == NULL) {
        return NULL;
    }
    queue->first = chunk->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->count--;
    chunk->next = NULL;
    return chunk;
}

void wal_chunk_move(struct wal_chunk_queue *to, struct wal_chunk_queue *from)
{
    if (from->first == NULL) {
        return;
    }
    if (to->last == NULL) {
        to->first = from->first;
    } else {
        to->last->next = from->first;
    }
    to->last = from->last;
    to->count += from->count;
    *from = (struct wal_chunk_queue){0};
}
