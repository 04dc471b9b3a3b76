#include "server/machine/hyperloglog.h"

#include <math.h>
#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

static uint64_t count_of(const struct buf *bytes)
{
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    CHECK(hyperloglog_merge(buf_slice(bytes), registers));
    return hyperloglog_count(registers);
}

static void make(struct buf *bytes)
{
    buf_init(bytes, 1 << 20);
    hyperloglog_init(bytes);
}

/* As a plain table would have it. */
static void check_registers(const struct buf *bytes, const uint8_t *want)
{
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    CHECK(hyperloglog_check(buf_slice(bytes)));
    CHECK(hyperloglog_merge(buf_slice(bytes), registers));
    CHECK_EQ(memcmp(registers, want, sizeof(registers)), 0);
}

TEST(hyperloglog_add, keeps_the_greatest_value_of_each_register)
{
    enum { SEED = 7, ROUNDS = 20000 };
    printf("seed %d\n", SEED);
    struct rand rand;
    rand_init(&rand, SEED);
    struct buf bytes;
    uint8_t table[HYPERLOGLOG_REGISTERS] = {0};
    make(&bytes);
    bool was_sparse_for_long = false;
    for (int i = 0; i < ROUNDS; i++) {
        /* Neighbours, so that runs are split and joined. */
        struct hyperloglog_hash hash = {.value = (uint8_t)(1 + rand_below(&rand, 4))};
        hash.index =
            (uint16_t)(rand_below(&rand, 2) == 0 ? rand_below(&rand, 64)
                                                 : rand_below(&rand, HYPERLOGLOG_REGISTERS));
        hash.value = i > 5000 && rand_below(&rand, 100) == 0 ? 40 : hash.value;
        bool changed = false;
        CHECK(hyperloglog_add(&bytes, hash, &changed));
        CHECK_EQ(changed, hash.value > table[hash.index]);
        table[hash.index] = changed ? hash.value : table[hash.index];
        if (i < 300 || i % 100 == 0) {
            check_registers(&bytes, table);
        }
        bool dense = hyperloglog_dense(buf_slice(&bytes));
        CHECK(bytes.len <= (dense ? (size_t)HYPERLOGLOG_DENSE_SIZE : 3000));
        was_sparse_for_long = was_sparse_for_long || (i == 500 && !dense);
    }
    CHECK(was_sparse_for_long && hyperloglog_dense(buf_slice(&bytes)));
    check_registers(&bytes, table);
    buf_deinit(&bytes);
}

TEST(hyperloglog_count, is_near_the_number_of_elements)
{
    struct buf bytes;
    make(&bytes);
    CHECK_EQ(count_of(&bytes), 0);
    uint64_t next = 1;
    for (uint64_t i = 0; i < 300000; i++) {
        bool changed = false;
        CHECK(hyperloglog_add(&bytes, hyperloglog_hash(slice_of(&i, sizeof(i))), &changed));
        if (i + 1 != next) {
            continue;
        }
        next *= 3;
        /* Six times the standard error of 1.04 / sqrt(16384). */
        double off = fabs((double)count_of(&bytes) - (double)(i + 1));
        CHECK(off <= 1 + 6 * 0.0081 * (double)(i + 1));
    }
    buf_deinit(&bytes);
}

TEST(hyperloglog_widen, keeps_the_registers)
{
    struct buf bytes;
    make(&bytes);
    for (uint64_t i = 0; i < 200; i++) {
        bool changed = false;
        CHECK(hyperloglog_add(&bytes, hyperloglog_hash(slice_of(&i, sizeof(i))), &changed));
    }
    CHECK(!hyperloglog_dense(buf_slice(&bytes)));
    uint64_t before = count_of(&bytes);
    CHECK(hyperloglog_widen(&bytes));
    CHECK_EQ(bytes.len, HYPERLOGLOG_DENSE_SIZE);
    CHECK_EQ(count_of(&bytes), before);
    buf_deinit(&bytes);
}

TEST(hyperloglog_merge, refuses_the_wrong_number_of_registers)
{
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    struct buf bytes;
    make(&bytes);
    buf_append_u8(&bytes, 0); /* One register more. */
    CHECK(hyperloglog_check(buf_slice(&bytes)));
    CHECK(!hyperloglog_merge(buf_slice(&bytes), registers));
    CHECK(!hyperloglog_widen(&bytes));
    buf_truncate(&bytes, HYPERLOGLOG_HEADER_SIZE);
    CHECK(!hyperloglog_merge(buf_slice(&bytes), registers));
    bool changed = false;
    struct hyperloglog_hash hash = {.index = 1, .value = 1};
    CHECK(!hyperloglog_add(&bytes, hash, &changed));
    buf_truncate(&bytes, HYPERLOGLOG_HEADER_SIZE - 1);
    CHECK(!hyperloglog_check(buf_slice(&bytes)));
    buf_deinit(&bytes);
}
