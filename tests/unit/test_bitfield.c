#include "server/machine/bitfield.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

/* The bits of the window as one number, the first one highest. */
static __int128 read_bits(const uint8_t *window, unsigned from, unsigned bits)
{
    __int128 value = 0;
    for (unsigned i = from; i < from + bits; i++) {
        value = value * 2 + ((window[i / 8] >> (7 - i % 8)) & 1);
    }
    return value;
}

static __int128 power(unsigned exponent)
{
    __int128 value = 1;
    for (; exponent > 0; exponent--) {
        value *= 2;
    }
    return value;
}

static __int128 as_number(const struct bitfield_op *op, __int128 bits)
{
    bool negative = op->is_signed && bits >= power(op->bits - 1);
    return negative ? bits - power(op->bits) : bits;
}

static void check_add(const struct bitfield_op *op, const uint8_t *before)
{
    uint8_t window[BITFIELD_WINDOW_SIZE];
    memcpy(window, before, sizeof(window));
    __int128 old = as_number(op, read_bits(window, op->offset % 8, op->bits));
    __int128 max = op->is_signed ? power(op->bits - 1) - 1 : power(op->bits) - 1;
    __int128 min = op->is_signed ? -power(op->bits - 1) : 0;
    __int128 sum = old + op->value;
    bool beyond = sum > max || sum < min;
    int64_t answer = 0;
    bool done = bitfield_apply(op, window, &answer);
    CHECK_EQ(done, !(beyond && op->overflow == BITFIELD_FAIL));
    __int128 want = sum;
    if (beyond && op->overflow == BITFIELD_SAT) {
        want = sum > max ? max : min;
    } else if (beyond) {
        __int128 span = power(op->bits);
        want = ((sum - min) % span + span) % span + min;
    }
    want = done ? want : old;
    CHECK(as_number(op, read_bits(window, op->offset % 8, op->bits)) == want);
    CHECK(!done || (__int128)answer == want);
    /* Nothing else changed. */
    unsigned end = (unsigned)(op->offset % 8) + op->bits;
    CHECK(read_bits(window, 0, op->offset % 8) == read_bits(before, 0, op->offset % 8));
    CHECK(read_bits(window, end, 72 - end) == read_bits(before, end, 72 - end));
}

TEST(bitfield_apply, adds_as_wide_numbers_do)
{
    enum { SEED = 20, ROUNDS = 200000 };
    printf("seed %d\n", SEED);
    struct rand rand;
    rand_init(&rand, SEED);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t window[BITFIELD_WINDOW_SIZE];
        for (size_t n = 0; n < sizeof(window); n++) {
            uint8_t edge = rand_below(&rand, 2) == 0 ? 0x00 : 0xFF;
            window[n] = rand_below(&rand, 2) == 0 ? edge : (uint8_t)rand_u64(&rand);
        }
        struct bitfield_op op = {.action = BITFIELD_INCR, .is_signed = rand_below(&rand, 2) == 0};
        op.overflow = (enum bitfield_overflow)rand_below(&rand, 3);
        op.bits = 1 + (unsigned)rand_below(&rand, op.is_signed ? 64 : 63);
        op.offset = rand_below(&rand, 8);
        /* What adds up beyond 64 bits is told apart by its sign alone, as in Redis. */
        op.value = (int64_t)rand_u64(&rand) >> (1 + rand_below(&rand, 63));
        check_add(&op, window);
    }
}

TEST(bitfield_apply, sets_and_answers_what_was_there)
{
    uint8_t window[BITFIELD_WINDOW_SIZE] = {0xFF, 0x0F};
    struct bitfield_op op = {
        .action = BITFIELD_SET, .is_signed = false, .bits = 8, .offset = 4, .value = 0x5A};
    int64_t answer = 0;
    CHECK(bitfield_apply(&op, window, &answer));
    CHECK_EQ(answer, 0xF0);
    CHECK_EQ(window[0], 0xF5);
    CHECK_EQ(window[1], 0xAF);
    op.action = BITFIELD_GET;
    CHECK(bitfield_apply(&op, window, &answer));
    CHECK_EQ(answer, 0x5A);
    op.is_signed = true;
    op.offset = 0;
    CHECK(bitfield_apply(&op, window, &answer));
    CHECK_EQ(answer, -11);
}

TEST(bitfield_end, counts_the_bytes)
{
    struct bitfield_op op = {.bits = 1, .offset = 0};
    CHECK_EQ(bitfield_end(&op), 1);
    op = (struct bitfield_op){.bits = 64, .offset = 7};
    CHECK_EQ(bitfield_end(&op), 9);
    op = (struct bitfield_op){.bits = 8, .offset = 8};
    CHECK_EQ(bitfield_end(&op), 2);
}
