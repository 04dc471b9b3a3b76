/* SETBIT, GETBIT, BITCOUNT, BITPOS. Semantics: Redis 7.0 bitops.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"

#define ERR_BIT_OFFSET "ERR bit offset is not an integer or out of range"
#define ERR_BIT "ERR bit is not an integer or out of range"

enum { STEP_SIZE = KEYSPACE_CHUNK_SIZE }; /* Long values are looked at in steps. */

static bool parse_bit_offset(struct slice text, uint64_t *offset)
{
    int64_t value = 0;
    if (!number_parse_i64(text, &value) || value < 0 || value / 8 >= KEYSPACE_VALUE_SIZE_MAX) {
        return false;
    }
    *offset = (uint64_t)value;
    return true;
}

static enum status load_string(struct call *call, struct slice key, struct row *row, bool *done)
{
    enum status status = keyspace_load(call, SLOT_A, call->db, key, row);
    *done = status == STATUS_OK && row->found && row->type != KEYSPACE_STRING;
    if (*done) {
        resp_write_error(call->reply, ERR_WRONG_TYPE);
    }
    return status;
}

/* The byte at index, 0 behind the end. */
static enum status load_byte(struct call *call,
                             const struct row *row,
                             uint64_t index,
                             uint8_t *byte)
{
    *byte = 0;
    if (!row->found || index >= row->size) {
        return STATUS_OK;
    }
    struct buf *out = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = keyspace_read(call, row, index, 1, out);
    if (status == STATUS_OK) {
        assert(out->len == 1);
        *byte = out->data[0];
    }
    return status;
}

/* A planned SETBIT: key, u64 offset, u64 bit. */
enum status cmd_setbit_plan(const struct machine_plan_input *input, struct plan *plan)
{
    uint64_t offset = 0;
    int64_t bit = 0;
    if (!parse_bit_offset(input->args.argv[2], &offset)) {
        return planned_refuse(plan, ERR_BIT_OFFSET);
    }
    if (!number_parse_i64(input->args.argv[3], &bit) || (bit != 0 && bit != 1)) {
        return planned_refuse(plan, ERR_BIT);
    }
    planned_begin(plan, CMD_setbit, input->db, 1, 3);
    planned_bytes(plan, input->args.argv[1]);
    planned_u64(plan, offset);
    planned_u64(plan, (uint64_t)bit);
    return STATUS_OK;
}

enum status cmd_setbit_apply(struct call *call)
{
    if (call->args.argc != 3 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    uint64_t offset = planned_number(call->args.argv[1]);
    if (offset / 8 >= KEYSPACE_VALUE_SIZE_MAX) {
        return STATUS_CORRUPT;
    }
    struct row row;
    bool done = false;
    enum status status = load_string(call, call->args.argv[0], &row, &done);
    uint8_t byte = 0;
    if (status == STATUS_OK && !done) {
        status = load_byte(call, &row, offset / 8, &byte);
    }
    if (status != STATUS_OK || done) {
        return status;
    }
    uint8_t mask = (uint8_t)(0x80 >> (offset % 8));
    resp_write_int(call->reply, (byte & mask) != 0 ? 1 : 0);
    bool set = planned_number(call->args.argv[2]) != 0;
    byte = set ? (uint8_t)(byte | mask) : (uint8_t)(byte & ~mask);
    event_note(call, EVENT_STRING, "setbit", call->args.argv[0]);
    return keyspace_patch(call, &row, offset / 8, slice_of(&byte, 1));
}

enum status cmd_getbit_read(struct call *call)
{
    uint64_t offset = 0;
    if (!parse_bit_offset(call->args.argv[2], &offset)) {
        resp_write_error(call->reply, ERR_BIT_OFFSET);
        return STATUS_OK;
    }
    struct row row;
    bool done = false;
    enum status status = load_string(call, call->args.argv[1], &row, &done);
    uint8_t byte = 0;
    if (status == STATUS_OK && !done) {
        status = load_byte(call, &row, offset / 8, &byte);
    }
    if (status == STATUS_OK && !done) {
        resp_write_int(call->reply, (byte >> (7 - offset % 8)) & 1);
    }
    return status;
}

/* Bits start <= bit <= end of a value; none if start > end. */
struct bit_range {
    int64_t start;
    int64_t end;
    bool end_given;
};

/* argv[at], argv[at + 1] and argv[at + 2], as far as they are there: start, end, BIT or BYTE.
 * NULL or an error. */
static const char *parse_range(struct args args, size_t at, uint64_t size, struct bit_range *range)
{
    int64_t total = (int64_t)size;
    bool bits = false;
    *range = (struct bit_range){.end = total - 1, .end_given = args.argc > at + 1};
    if (args.argc > at + 3) {
        return ERR_SYNTAX;
    }
    if (args.argc > at && !number_parse_i64(args.argv[at], &range->start)) {
        return ERR_NOT_INTEGER;
    }
    if (args.argc > at + 2) {
        bits = command_word(args.argv[at + 2], "bit");
        if (!bits && !command_word(args.argv[at + 2], "byte")) {
            return ERR_SYNTAX;
        }
    }
    if (range->end_given && !number_parse_i64(args.argv[at + 1], &range->end)) {
        return ERR_NOT_INTEGER;
    }
    total = bits ? total * 8 : total;
    range->start = range->start < 0 ? range->start + total : range->start;
    range->end = range->end < 0 ? range->end + total : range->end;
    range->start = range->start < 0 ? 0 : range->start;
    range->end = range->end < 0 ? 0 : range->end;
    range->end = range->end >= total ? total - 1 : range->end;
    if (range->start > range->end) {
        *range = (struct bit_range){.start = 0, .end = -1, .end_given = range->end_given};
    } else if (!bits) {
        range->start *= 8;
        range->end = range->end * 8 + 7;
    }
    return NULL;
}

/* A step of a walk over the bytes that a range touches. */
struct bit_step {
    struct slice bytes;
    uint64_t offset; /* Of the first of them. */
    unsigned first;  /* The bits of the first and the last byte that are in the range. */
    unsigned last;
};

static enum status load_step(struct call *call,
                             const struct row *row,
                             const struct bit_range *range,
                             uint64_t offset,
                             struct bit_step *step)
{
    uint64_t end = (uint64_t)range->end / 8 + 1;
    uint64_t len = end - offset < STEP_SIZE ? end - offset : STEP_SIZE;
    struct buf *out = txn_scratch(call->txn, SCRATCH_WORK);
    enum status status = keyspace_read(call, row, offset, len, out);
    if (status != STATUS_OK) {
        return status;
    }
    bool begins = offset == (uint64_t)range->start / 8;
    bool ends = offset + len == end;
    *step = (struct bit_step){
        .bytes = buf_slice(out),
        .offset = offset,
        .first = begins ? 0xFFU >> (range->start % 8) : 0xFFU,
        .last = ends ? (0xFFU << (7 - range->end % 8)) & 0xFFU : 0xFFU,
    };
    return STATUS_OK;
}

/* Bits in the range that are outside the first or last byte's mask read as `outside`. */
static uint8_t step_byte(const struct bit_step *step, size_t i, uint8_t outside)
{
    unsigned first = i == 0 ? step->first : 0xFFU;
    unsigned last = i + 1 == step->bytes.len ? step->last : 0xFFU;
    unsigned mask = first & last;
    return (uint8_t)((step->bytes.data[i] & mask) | (outside & ~mask));
}

static uint64_t count_bits(const struct bit_step *step)
{
    size_t len = step->bytes.len;
    uint64_t count = (uint64_t)__builtin_popcount(step_byte(step, 0, 0));
    if (len > 1) {
        count += (uint64_t)__builtin_popcount(step_byte(step, len - 1, 0));
    }
    size_t i = 1;
    for (; i + 9 <= len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, step->bytes.data + i, sizeof(word));
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; i + 1 < len; i++) {
        count += (uint64_t)__builtin_popcount(step->bytes.data[i]);
    }
    return count;
}

static enum status count_range(struct call *call,
                               const struct row *row,
                               const struct bit_range *range,
                               uint64_t *count)
{
    *count = 0;
    if (range->start > range->end) {
        return STATUS_OK;
    }
    uint64_t end = (uint64_t)range->end / 8 + 1;
    for (uint64_t offset = (uint64_t)range->start / 8; offset < end; offset += STEP_SIZE) {
        struct bit_step step;
        enum status status = load_step(call, row, range, offset, &step);
        if (status != STATUS_OK) {
            return status;
        }
        *count += count_bits(&step);
    }
    return STATUS_OK;
}

/* Where both indexes are negative and crossed, nothing is meant, whatever the unit. */
static bool crossed(struct args args, size_t at)
{
    int64_t start = 0;
    int64_t end = 0;
    return args.argc > at + 1 && number_parse_i64(args.argv[at], &start) &&
           number_parse_i64(args.argv[at + 1], &end) && start < 0 && end < 0 && start > end;
}

enum status cmd_bitcount_read(struct call *call)
{
    struct args args = call->args;
    struct row row;
    bool done = false;
    enum status status = load_string(call, args.argv[1], &row, &done);
    if (status != STATUS_OK || done) {
        return status;
    }
    struct bit_range range;
    const char *error = NULL;
    if (!row.found || (args.argc != 3 && args.argc < 6 && crossed(args, 2))) {
        resp_write_int(call->reply, 0);
        return STATUS_OK;
    }
    int64_t ignored = 0;
    bool integers =
        (args.argc != 4 && args.argc != 5) ||
        (number_parse_i64(args.argv[2], &ignored) && number_parse_i64(args.argv[3], &ignored));
    if (!integers) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    error = args.argc == 3 ? ERR_SYNTAX : parse_range(args, 2, row.size, &range);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    uint64_t count = 0;
    status = count_range(call, &row, &range, &count);
    resp_write_int(call->reply, (int64_t)count);
    return status;
}

/* The first byte of the step that has the bit, or the count of bytes. */
static size_t find_byte(const struct bit_step *step, bool bit)
{
    uint8_t without = bit ? 0x00 : 0xFF;
    size_t i = 0;
    while (i < step->bytes.len && step_byte(step, i, without) == without) {
        i++;
    }
    return i;
}

static enum status find_bit(struct call *call,
                            const struct row *row,
                            const struct bit_range *range,
                            bool bit,
                            int64_t *found)
{
    *found = -1;
    if (range->start > range->end) {
        return STATUS_OK;
    }
    uint64_t end = (uint64_t)range->end / 8 + 1;
    for (uint64_t offset = (uint64_t)range->start / 8; offset < end; offset += STEP_SIZE) {
        struct bit_step step;
        enum status status = load_step(call, row, range, offset, &step);
        if (status != STATUS_OK) {
            return status;
        }
        size_t i = find_byte(&step, bit);
        if (i < step.bytes.len) {
            uint8_t byte = step_byte(&step, i, bit ? 0x00 : 0xFF);
            uint32_t wanted = (uint8_t)(bit ? byte : ~byte);
            *found = (int64_t)(offset + i) * 8 + (__builtin_clz(wanted) - 24);
            return STATUS_OK;
        }
    }
    if (!bit && !range->end_given) {
        *found = range->end + 1; /* Behind the end are zeros. */
    }
    return STATUS_OK;
}

enum status cmd_bitpos_read(struct call *call)
{
    struct args args = call->args;
    int64_t bit = 0;
    if (!number_parse_i64(args.argv[2], &bit)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    if (bit != 0 && bit != 1) {
        resp_write_error(call->reply, "ERR The bit argument must be 1 or 0.");
        return STATUS_OK;
    }
    struct row row;
    bool done = false;
    enum status status = load_string(call, args.argv[1], &row, &done);
    if (status != STATUS_OK || done) {
        return status;
    }
    if (!row.found) {
        resp_write_int(call->reply, bit == 1 ? -1 : 0);
        return STATUS_OK;
    }
    struct bit_range range;
    const char *error = parse_range(args, 3, row.size, &range);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    int64_t found = 0;
    status = find_bit(call, &row, &range, bit == 1, &found);
    resp_write_int(call->reply, found);
    return status;
}
