#include "server/shard/waiting.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

struct wait_key {
    struct chain chain;
    struct list places;
    size_t len;
    uint8_t bytes[]; /* u8 type, key of the metadata row. */
};

static const size_t not_in_heap = SIZE_MAX;

void waiting_init(struct waiting *waiting)
{
    *waiting = (struct waiting){0};
    map_init(&waiting->keys);
    list_init(&waiting->parked);
}

void waiting_deinit(struct waiting *waiting)
{
    assert(waiting->count == 0 && waiting->size == 0);
    assert(waiting->keys.count == 0);
    map_deinit(&waiting->keys);
    free(waiting->heap);
}

static uint64_t hash_of(uint8_t type, struct slice row_key)
{
    return hash_bytes_seeded(row_key, type);
}

static struct wait_key *find(const struct waiting *waiting, uint8_t type, struct slice row_key)
{
    struct chain *at = chain_first(&waiting->keys, hash_of(type, row_key));
    for (; at != NULL; at = at->next) {
        struct wait_key *key = chain_entry(at, struct wait_key, chain);
        if (key->bytes[0] == type && slice_equal(slice_of(key->bytes + 1, key->len), row_key)) {
            return key;
        }
    }
    return NULL;
}

static struct wait_key *find_or_add(struct waiting *waiting, uint8_t type, struct slice row_key)
{
    struct wait_key *key = find(waiting, type, row_key);
    if (key != NULL) {
        return key;
    }
    key = malloc(sizeof(*key) + 1 + row_key.len);
    assert(key != NULL);
    *key = (struct wait_key){.len = row_key.len};
    list_init(&key->places);
    key->bytes[0] = type;
    memcpy(key->bytes + 1, row_key.data, row_key.len);
    chain_add(&waiting->keys, &key->chain, hash_of(type, row_key));
    return key;
}

static void drop_key(struct waiting *waiting, struct wait_key *key)
{
    assert(list_empty(&key->places));
    chain_remove(&waiting->keys, &key->chain);
    free(key);
}

struct waiter *waiter_new(struct waiting *waiting, struct op *op, struct slice keys, size_t count)
{
    assert(count > 0);
    /* The keys lie behind the places until they are parked at. */
    size_t size = sizeof(struct waiter) + count * sizeof(struct wait_place) + keys.len;
    struct waiter *waiter = malloc(size);
    assert(waiter != NULL);
    *waiter = (struct waiter){.op = op,
                              .arrival = ++waiting->arrivals,
                              .until_ms = UINT64_MAX,
                              .heap_at = not_in_heap,
                              .size = size,
                              .place_count = count};
    list_init(&waiter->link);
    for (size_t i = 0; i < count; i++) {
        waiter->places[i] = (struct wait_place){.waiter = waiter};
        list_init(&waiter->places[i].link);
    }
    memcpy(&waiter->places[count], keys.data, keys.len);
    waiting->size += size;
    return waiter;
}

void waiter_free(struct waiting *waiting, struct waiter *waiter)
{
    if (waiter->parked) {
        waiting_leave(waiting, waiter);
    }
    assert(waiting->size >= waiter->size);
    waiting->size -= waiter->size;
    free(waiter);
}

/* The heap. */

static void place_at(struct waiting *waiting, size_t at, struct waiter *waiter)
{
    waiting->heap[at] = waiter;
    waiter->heap_at = at;
}

static void sift_up(struct waiting *waiting, size_t at, struct waiter *waiter)
{
    while (at > 0 && waiting->heap[(at - 1) / 2]->until_ms > waiter->until_ms) {
        place_at(waiting, at, waiting->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place_at(waiting, at, waiter);
}

static void sift_down(struct waiting *waiting, size_t at, struct waiter *waiter)
{
    for (size_t child = 2 * at + 1; child < waiting->heap_count; child = 2 * at + 1) {
        bool right = child + 1 < waiting->heap_count &&
                     waiting->heap[child + 1]->until_ms < waiting->heap[child]->until_ms;
        child += right ? 1 : 0;
        if (waiting->heap[child]->until_ms >= waiter->until_ms) {
            break;
        }
        place_at(waiting, at, waiting->heap[child]);
        at = child;
    }
    place_at(waiting, at, waiter);
}

static void heap_add(struct waiting *waiting, struct waiter *waiter)
{
    if (waiting->heap_count == waiting->heap_size) {
        waiting->heap_size = waiting->heap_size == 0 ? 64 : waiting->heap_size * 2;
        waiting->heap = realloc(waiting->heap, waiting->heap_size * sizeof(*waiting->heap));
        assert(waiting->heap != NULL);
    }
    sift_up(waiting, waiting->heap_count++, waiter);
}

static void heap_remove(struct waiting *waiting, struct waiter *waiter)
{
    size_t at = waiter->heap_at;
    assert(at < waiting->heap_count && waiting->heap[at] == waiter);
    struct waiter *last = waiting->heap[--waiting->heap_count];
    waiter->heap_at = not_in_heap;
    if (last == waiter) {
        return;
    }
    if (at > 0 && waiting->heap[(at - 1) / 2]->until_ms > last->until_ms) {
        sift_up(waiting, at, last);
    } else {
        sift_down(waiting, at, last);
    }
}

/* Parking. */

static void join(struct wait_key *key, struct wait_place *place)
{
    /* Who was looked at and comes back is mostly the oldest, who is new the youngest. */
    uint64_t arrival = place->waiter->arrival;
    struct list *at = key->places.next;
    if (at != &key->places && list_entry(at, struct wait_place, link)->waiter->arrival < arrival) {
        at = key->places.prev;
        while (list_entry(at, struct wait_place, link)->waiter->arrival > arrival) {
            at = at->prev;
        }
        at = at->next;
    }
    list_push_back(at, &place->link);
    place->key = key;
}

void waiting_park(struct waiting *waiting, struct waiter *waiter)
{
    assert(!waiter->parked);
    struct reader in = reader_of(
        slice_of(&waiter->places[waiter->place_count],
                 waiter->size - sizeof(*waiter) - waiter->place_count * sizeof(struct wait_place)));
    for (size_t i = 0; i < waiter->place_count; i++) {
        uint8_t type = reader_u8(&in);
        struct slice row_key = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        join(find_or_add(waiting, type, row_key), &waiter->places[i]);
    }
    waiter->parked = true;
    waiting->count++;
    list_push_back(&waiting->parked, &waiter->link);
    if (waiter->until_ms != UINT64_MAX) {
        heap_add(waiting, waiter);
    }
}

void waiting_leave(struct waiting *waiting, struct waiter *waiter)
{
    assert(waiter->parked && waiting->count > 0);
    for (size_t i = 0; i < waiter->place_count; i++) {
        struct wait_key *key = waiter->places[i].key;
        list_remove(&waiter->places[i].link);
        waiter->places[i].key = NULL;
        if (list_empty(&key->places)) {
            drop_key(waiting, key);
        }
    }
    if (waiter->heap_at != not_in_heap) {
        heap_remove(waiting, waiter);
    }
    list_remove(&waiter->link);
    waiter->parked = false;
    waiting->count--;
}

struct waiter *waiting_next(const struct waiting *waiting,
                            uint8_t type,
                            struct slice row_key,
                            const struct waiter *before)
{
    struct wait_key *key = find(waiting, type, row_key);
    if (key == NULL) {
        return NULL;
    }
    struct list *at = key->places.next;
    if (before != NULL) {
        size_t i = 0;
        while (before->places[i].key != key) {
            i++;
            assert(i < before->place_count);
        }
        at = before->places[i].link.next;
        /* The same key may be named twice. */
        while (at != &key->places && list_entry(at, struct wait_place, link)->waiter == before) {
            at = at->next;
        }
    }
    return at == &key->places ? NULL : list_entry(at, struct wait_place, link)->waiter;
}

struct waiter *waiting_due(const struct waiting *waiting, uint64_t now_ms)
{
    bool due = waiting->heap_count > 0 && waiting->heap[0]->until_ms <= now_ms;
    return due ? waiting->heap[0] : NULL;
}

struct waiter *waiting_any(const struct waiting *waiting)
{
    return list_empty(&waiting->parked) ? NULL
                                        : list_entry(waiting->parked.next, struct waiter, link);
}

uint64_t waiting_end_ms(const struct waiting *waiting)
{
    return waiting->heap_count == 0 ? UINT64_MAX : waiting->heap[0]->until_ms;
}
