#include "server/machine/bitfield.h"

#include "common/base/assert.h"

static uint64_t load(const struct bitfield_op *op, const uint8_t *window)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < op->bits; i++) {
        unsigned bit = (unsigned)(op->offset % 8) + i;
        value = value << 1 | (((uint64_t)window[bit / 8] >> (7 - bit % 8)) & 1U);
    }
    return value;
}

static void store(const struct bitfield_op *op, uint8_t *window, uint64_t value)
{
    for (unsigned i = 0; i < op->bits; i++) {
        unsigned bit = (unsigned)(op->offset % 8) + i;
        unsigned mask = 0x80U >> (bit % 8);
        bool on = (value >> (op->bits - 1 - i) & 1) != 0;
        window[bit / 8] = (uint8_t)(on ? window[bit / 8] | mask : window[bit / 8] & ~mask);
    }
}

/* The low bits of a number as what they stand for: 64 bits of two's complement. */
static uint64_t extend(const struct bitfield_op *op, uint64_t value)
{
    if (op->bits == 64) {
        return value;
    }
    uint64_t mask = (UINT64_C(1) << op->bits) - 1;
    bool negative = op->is_signed && (value >> (op->bits - 1) & 1) != 0;
    return negative ? value | ~mask : value & mask;
}

/* -1 if value + more is too small, 1 if it is too large. What is to be set may be far from what
 * fits, and then the differences go around: as Redis has it, which takes a very small one for too
 * large.
 */
static int compare_signed(const struct bitfield_op *op, int64_t value, int64_t more)
{
    int64_t max = (int64_t)((UINT64_C(1) << (op->bits - 1)) - 1);
    int64_t min = -max - 1;
    int64_t more_max = (int64_t)((uint64_t)max - (uint64_t)value);
    int64_t more_min = (int64_t)((uint64_t)min - (uint64_t)value);
    bool narrow = op->bits != 64;
    if (value > max || ((narrow || (value >= 0 && more > 0)) && more > more_max)) {
        return 1;
    }
    return value < min || ((narrow || (value < 0 && more < 0)) && more < more_min) ? -1 : 0;
}

/* value may be more than fits already: what is to be set is taken as it is. */
static int compare_unsigned(const struct bitfield_op *op, uint64_t value, int64_t more)
{
    uint64_t max = (UINT64_C(1) << op->bits) - 1;
    if (value > max || (more > 0 && (uint64_t)more > max - value)) {
        return 1;
    }
    return more < 0 && 0 - (uint64_t)more > value ? -1 : 0;
}

static uint64_t limit(const struct bitfield_op *op, int beyond)
{
    uint64_t half = UINT64_C(1) << (op->bits - 1);
    if (op->is_signed) {
        return beyond > 0 ? half - 1 : 0 - half;
    }
    return beyond > 0 ? half - 1 + half : 0;
}

bool bitfield_apply(const struct bitfield_op *op,
                    uint8_t window[BITFIELD_WINDOW_SIZE],
                    int64_t *answer)
{
    assert(op->bits >= 1 && op->bits <= (op->is_signed ? 64U : 63U));
    uint64_t old = extend(op, load(op, window));
    *answer = (int64_t)old;
    if (op->action == BITFIELD_GET) {
        return true;
    }
    bool adds = op->action == BITFIELD_INCR;
    uint64_t from = adds ? old : (uint64_t)op->value;
    int64_t more = adds ? op->value : 0;
    int beyond =
        op->is_signed ? compare_signed(op, (int64_t)from, more) : compare_unsigned(op, from, more);
    if (beyond != 0 && op->overflow == BITFIELD_FAIL) {
        return false;
    }
    bool bounded = beyond != 0 && op->overflow == BITFIELD_SAT;
    uint64_t value = bounded ? limit(op, beyond) : extend(op, from + (uint64_t)more);
    store(op, window, value);
    *answer = adds ? (int64_t)value : *answer;
    return true;
}
