#include "server/machine/sequence.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "server/machine/hole.h"
#include "tests/support/call_rig.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

enum { SIZE_MAX_MODEL = 4096, STEPS = 2000 };

/* A shard of one store with one list, and what should be in it: numbers as 8 bytes. */
struct world {
    struct call_rig rig;
    struct rand rand;
    uint64_t next;
    uint64_t model[SIZE_MAX_MODEL];
    uint64_t size;
};

static struct world *begin(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    CHECK(world != NULL);
    call_rig_open(&world->rig, "sequence");
    rand_init(&world->rand, seed);
    return world;
}

static void end(struct world *world)
{
    call_rig_close(&world->rig);
    free(world);
}

static void load(struct world *world, struct sequence *list)
{
    world->rig.state.version++;
    CHECK_EQ(sequence_load(&world->rig.call, SLOT_A, slice_str("list"), list), STATUS_OK);
    CHECK_EQ(list->size, world->size);
}

static void model_insert(struct world *world, uint64_t index, uint64_t value)
{
    CHECK(world->size < SIZE_MAX_MODEL);
    uint64_t *at = &world->model[index];
    memmove(at + 1, at, (world->size - index) * sizeof(*at));
    *at = value;
    world->size++;
}

static void model_remove(struct world *world, uint64_t index, uint64_t count)
{
    uint64_t *at = &world->model[index];
    memmove(at, at + count, (world->size - index - count) * sizeof(*at));
    world->size -= count;
}

static uint64_t number(struct slice bytes)
{
    uint64_t value = 0;
    CHECK_EQ(bytes.len, sizeof(value));
    memcpy(&value, bytes.data, sizeof(value));
    return value;
}

static struct slice bytes_of(const uint64_t *value)
{
    return slice_of(value, sizeof(*value));
}

static uint64_t place_of(struct sequence *list, uint64_t index)
{
    uint64_t place = 0;
    CHECK_EQ(sequence_place(list, index, &place), STATUS_OK);
    return place;
}

static void push(struct world *world, enum sequence_end side, uint64_t count)
{
    struct sequence list;
    load(world, &list);
    uint64_t values[256];
    CHECK(count <= 256);
    for (uint64_t i = 0; i < count; i++) {
        values[i] = world->next++;
        CHECK_EQ(sequence_push(&list, side, bytes_of(&values[i])), STATUS_OK);
        model_insert(world, side == SEQUENCE_LEFT ? 0 : world->size, values[i]);
    }
    sequence_store(&list);
}

static void pop(struct world *world, enum sequence_end side)
{
    struct sequence list;
    load(world, &list);
    struct buf value;
    buf_init(&value, 64);
    CHECK_EQ(sequence_pop(&list, side, &value), STATUS_OK);
    uint64_t index = side == SEQUENCE_LEFT ? 0 : world->size - 1;
    CHECK_EQ(number(buf_slice(&value)), world->model[index]);
    model_remove(world, index, 1);
    buf_deinit(&value);
    sequence_store(&list);
}

static void remove_some(struct world *world, uint64_t index, uint64_t count)
{
    struct sequence list;
    load(world, &list);
    for (uint64_t i = 0; i < count && index < world->size && world->size > 0; i++) {
        CHECK_EQ(sequence_remove(&list, place_of(&list, index)), STATUS_OK);
        model_remove(world, index, 1);
    }
    sequence_store(&list);
}

static void insert(struct world *world, uint64_t index)
{
    struct sequence list;
    load(world, &list);
    uint64_t value = world->next++;
    bool behind = rand_below(&world->rand, 2) == 0;
    uint64_t place = place_of(&list, index) + (behind ? 1 : 0);
    CHECK_EQ(sequence_insert(&list, place, bytes_of(&value)), STATUS_OK);
    model_insert(world, behind ? index + 1 : index, value);
    sequence_store(&list);
}

static void set(struct world *world, uint64_t index)
{
    struct sequence list;
    load(world, &list);
    world->model[index] = world->next++;
    sequence_set(&list, place_of(&list, index), bytes_of(&world->model[index]));
    sequence_store(&list);
}

static void trim(struct world *world, uint64_t index, uint64_t count)
{
    struct sequence list;
    load(world, &list);
    CHECK_EQ(sequence_trim(&list, index, count), STATUS_OK);
    sequence_store(&list);
    model_remove(world, index + count, world->size - index - count);
    model_remove(world, 0, index);
}

/* The rows of holes are those that follow from the places of the elements. */
static void check_level(struct world *world,
                        struct sequence *list,
                        unsigned level,
                        const bool *live)
{
    uint64_t size = UINT64_C(1) << (HOLE_BITS * (level + 1));
    for (uint64_t at = list->head / size; at <= (list->tail - 1) / size; at++) {
        uint64_t want = 0;
        uint64_t from = at * size < list->head ? list->head : at * size;
        uint64_t to = (at + 1) * size < list->tail ? (at + 1) * size : list->tail;
        for (uint64_t position = from; position < to; position++) {
            uint64_t weight = level == 0 ? UINT64_C(1) << (position % size) : 1;
            want += live[position - list->head] ? 0 : weight;
        }
        struct buf key;
        struct buf value;
        buf_init(&key, 64);
        buf_init(&value, 64);
        keyspace_element_key(&list->row, &key);
        buf_append_u8(&key, HOLE_MARK);
        buf_append_u8(&key, (uint8_t)level);
        buf_append_u64_be(&key, at);
        enum status status = txn_get(world->rig.txn, STORE_DATA, buf_slice(&key), &value);
        CHECK_EQ(status, want == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        CHECK(want == 0 || number(buf_slice(&value)) == want);
        buf_deinit(&key);
        buf_deinit(&value);
    }
}

static void check_rows(struct world *world, struct sequence *list)
{
    bool *live = calloc(list->tail - list->head, sizeof(*live));
    CHECK(live != NULL);
    for (uint64_t i = 0; i < list->size; i++) {
        live[place_of(list, i) - list->head] = true;
    }
    CHECK(live[0] && live[list->tail - list->head - 1]);
    for (unsigned level = 0; level < HOLE_LEVELS; level++) {
        check_level(world, list, level, live);
    }
    /* No rows but those: elements outside are gone. */
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    keyspace_element_key(&list->row, &from);
    size_t prefix = from.len;
    keyspace_element_end(&list->row, &to);
    struct store_iter *iter =
        iter_open(world->rig.txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    iter_seek(iter, buf_slice(&from));
    uint64_t elements = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        elements += iter_key(iter).len == prefix + sizeof(uint64_t) ? 1 : 0;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    CHECK_EQ(elements, list->size);
    free(live);
}

static void check_walk(struct world *world, struct sequence *list, uint64_t index, bool backward)
{
    struct sequence_walk walk;
    uint64_t count = rand_below(&world->rand, 20) + 1;
    CHECK_EQ(sequence_walk_open(&walk, list, index, count, backward), STATUS_OK);
    uint64_t at = index;
    while (count-- > 0 && at < world->size) {
        CHECK(sequence_walk_next(&walk));
        CHECK_EQ(number(walk.value), world->model[at]);
        at = backward ? at - 1 : at + 1;
    }
    CHECK_EQ(sequence_walk_close(&walk), STATUS_OK);
}

static void check(struct world *world)
{
    struct sequence list;
    load(world, &list);
    CHECK_EQ(list.row.found, world->size > 0);
    for (int i = 0; i < 5 && world->size > 0; i++) {
        uint64_t index = rand_below(&world->rand, world->size);
        struct slice value;
        CHECK_EQ(sequence_get(&list, place_of(&list, index), &value), STATUS_OK);
        CHECK_EQ(number(value), world->model[index]);
        check_walk(world, &list, index, i % 2 == 0);
    }
    if (!list.packed && rand_below(&world->rand, 10) == 0) {
        check_rows(world, &list);
    }
}

static void step(struct world *world)
{
    struct rand *rand = &world->rand;
    uint64_t kind = rand_below(rand, 100);
    enum sequence_end side = rand_below(rand, 2) == 0 ? SEQUENCE_LEFT : SEQUENCE_RIGHT;
    if (world->size == 0 || (kind < 35 && world->size < SIZE_MAX_MODEL / 2)) {
        push(world, side, rand_below(rand, 4) == 0 ? rand_below(rand, 200) + 1 : 1);
        return;
    }
    uint64_t index = rand_below(rand, world->size);
    if (kind < 55) {
        pop(world, side);
    } else if (kind < 70) {
        remove_some(world, index, rand_below(rand, 10) == 0 ? 150 : rand_below(rand, 4) + 1);
    } else if (kind < 85 && world->size < SIZE_MAX_MODEL) {
        insert(world, index);
    } else if (kind < 95) {
        set(world, index);
    } else if (kind < 99) {
        uint64_t cut = world->size < 40 ? world->size : 40;
        uint64_t left = rand_below(rand, cut);
        trim(world, left, world->size - left - rand_below(rand, cut - left));
    } else {
        trim(world, index, rand_below(rand, world->size - index + 1));
    }
}

TEST(sequence, is_what_a_plain_array_would_be)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *world = begin(seed);
        printf("seed %llu\n", (unsigned long long)seed);
        for (int i = 0; i < STEPS; i++) {
            step(world);
            check(world);
            if (i % 500 == 0) {
                CHECK_EQ(txn_commit(world->rig.txn), STATUS_OK);
            }
        }
        end(world);
    }
}

TEST(sequence_pop, passes_many_holes_at_once)
{
    struct world *world = begin(1);
    for (int i = 0; i < 16; i++) {
        push(world, SEQUENCE_RIGHT, 256);
    }
    remove_some(world, 1, 4094);
    CHECK_EQ(world->size, 2);
    struct sequence list;
    load(world, &list);
    CHECK_EQ(list.tail - list.head, 4096);
    check_rows(world, &list);
    pop(world, SEQUENCE_LEFT);
    load(world, &list);
    CHECK_EQ(list.tail - list.head, 1);
    check_rows(world, &list);
    push(world, SEQUENCE_LEFT, 1);
    pop(world, SEQUENCE_RIGHT);
    check(world);
    end(world);
}

TEST(sequence_push, stays_packed_up_to_the_limits)
{
    struct world *world = begin(1);
    push(world, SEQUENCE_RIGHT, SEQUENCE_PACKED_COUNT_MAX);
    struct sequence list;
    load(world, &list);
    CHECK(list.packed);
    push(world, SEQUENCE_LEFT, 1);
    load(world, &list);
    CHECK(!list.packed);
    CHECK_EQ(list.tail - list.head, SEQUENCE_PACKED_COUNT_MAX + 1);
    /* It does not become packed again before it is gone. */
    trim(world, 3, 1);
    load(world, &list);
    CHECK(!list.packed);
    trim(world, 0, 0);
    load(world, &list);
    CHECK(!list.row.found);
    push(world, SEQUENCE_LEFT, 1);
    load(world, &list);
    CHECK(list.packed);
    end(world);
}

TEST(sequence_push, gives_a_row_to_what_is_too_long_to_be_packed)
{
    struct world *world = begin(1);
    uint8_t *bytes = calloc(1, SEQUENCE_PACKED_SIZE_MAX);
    CHECK(bytes != NULL);
    struct sequence list;
    load(world, &list);
    struct slice most = slice_of(bytes, SEQUENCE_PACKED_SIZE_MAX - 4);
    CHECK_EQ(sequence_push(&list, SEQUENCE_LEFT, most), STATUS_OK);
    CHECK(list.packed);
    sequence_store(&list);
    world->size = 1;
    load(world, &list);
    CHECK(list.packed);
    CHECK_EQ(sequence_push(&list, SEQUENCE_LEFT, slice_str("")), STATUS_OK);
    CHECK(!list.packed);
    sequence_store(&list);
    world->size = 2;
    load(world, &list);
    struct slice value;
    CHECK_EQ(sequence_get(&list, place_of(&list, 1), &value), STATUS_OK);
    CHECK(slice_equal(value, most));
    free(bytes);
    end(world);
}

TEST(sequence_unpack, takes_nothing_but_whole_elements)
{
    struct sequence list;
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_append_bytes(&body, slice_str("a"));
    buf_append_bytes(&body, slice_str(""));
    CHECK_EQ(sequence_unpack(buf_slice(&body), 2, &list), STATUS_OK);
    CHECK_BYTES(list.items[0], "a");
    CHECK_BYTES(list.items[1], "");
    CHECK_EQ(sequence_unpack(buf_slice(&body), 1, &list), STATUS_CORRUPT);
    CHECK_EQ(sequence_unpack(buf_slice(&body), 3, &list), STATUS_CORRUPT);
    CHECK_EQ(sequence_unpack(buf_slice(&body), 0, &list), STATUS_CORRUPT);
    CHECK_EQ(sequence_unpack(buf_slice(&body), 129, &list), STATUS_CORRUPT);
    buf_truncate(&body, body.len - 1);
    CHECK_EQ(sequence_unpack(buf_slice(&body), 2, &list), STATUS_CORRUPT);
    buf_deinit(&body);
}
