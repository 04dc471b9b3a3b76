#include "server/machine/hyperloglog.h"

#include <math.h>

#include "common/base/assert.h"

enum {
    INDEX_BITS = 14,
    VALUE_BITS = 6,
    VALUE_MAX = (1 << VALUE_BITS) - 1,
    HASH_BITS = 64 - INDEX_BITS, /* That are looked at for a run of zeros. */
    ENCODING_AT = 4,
    COUNT_AT = 8,
    DENSE = 0,
    SPARSE = 1,
    SPARSE_SIZE_MAX = 3000, /* hll-sparse-max-bytes */
    SPARSE_VALUE_MAX = 32,
    RUN_VALUE_MAX = 4, /* Registers in a run with a value, */
    RUN_ZERO_MAX = 64, /* and without, in one byte. */
    MERGE_STEPS = 5,   /* Runs that are looked at to join neighbours. */
};

/* MurmurHash64A by Austin Appleby, as Redis uses it. */
static uint64_t murmur(struct slice bytes, uint64_t seed)
{
    const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
    const unsigned r = 47;
    uint64_t h = seed ^ (bytes.len * m);
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t k = 0;
        for (size_t i = 0; i < 8; i++) {
            k |= (uint64_t)bytes.data[at + i] << (8 * i);
        }
        k *= m;
        k ^= k >> r;
        k *= m;
        h ^= k;
        h *= m;
    }
    if (at < bytes.len) {
        for (size_t i = 0; at + i < bytes.len; i++) {
            h ^= (uint64_t)bytes.data[at + i] << (8 * i);
        }
        h *= m;
    }
    h ^= h >> r;
    h *= m;
    return h ^ (h >> r);
}

struct hyperloglog_hash hyperloglog_hash(struct slice element)
{
    uint64_t hash = murmur(element, UINT64_C(0xadc83b19));
    uint64_t rest = hash >> INDEX_BITS | UINT64_C(1) << HASH_BITS;
    return (struct hyperloglog_hash){
        .index = (uint16_t)(hash & (HYPERLOGLOG_REGISTERS - 1)),
        .value = (uint8_t)(__builtin_ctzll(rest) + 1),
    };
}

bool hyperloglog_dense(struct slice bytes)
{
    return bytes.data[ENCODING_AT] == DENSE;
}

bool hyperloglog_check(struct slice bytes)
{
    if (bytes.len < HYPERLOGLOG_HEADER_SIZE || memcmp(bytes.data, "HYLL", 4) != 0 ||
        bytes.data[ENCODING_AT] > SPARSE) {
        return false;
    }
    return !hyperloglog_dense(bytes) || bytes.len == HYPERLOGLOG_DENSE_SIZE;
}

/* A run of a sparse one. */
struct run {
    size_t size; /* Bytes. */
    unsigned count;
    unsigned value;
};

/* The run at an offset that is within; a second byte behind the end is 0. */
static struct run read_run(struct slice bytes, size_t at)
{
    uint8_t first = bytes.data[at];
    if ((first & 0x80U) != 0) {
        return (struct run){
            .size = 1, .count = (first & 3U) + 1, .value = ((first >> 2) & 0x1FU) + 1};
    }
    if ((first & 0x40U) == 0) {
        return (struct run){.size = 1, .count = (first & 0x3FU) + 1};
    }
    unsigned second = at + 1 < bytes.len ? bytes.data[at + 1] : 0;
    return (struct run){.size = 2, .count = ((first & 0x3FU) << 8 | second) + 1};
}

/* Writes a run, if it has any registers, and returns its size. */
static size_t write_run(uint8_t *out, unsigned count, unsigned value)
{
    if (count == 0) {
        return 0;
    }
    if (value > 0) {
        assert(count <= RUN_VALUE_MAX && value <= SPARSE_VALUE_MAX);
        out[0] = (uint8_t)(0x80U | (value - 1) << 2 | (count - 1));
        return 1;
    }
    if (count <= RUN_ZERO_MAX) {
        out[0] = (uint8_t)(count - 1);
        return 1;
    }
    out[0] = (uint8_t)(0x40U | (count - 1) >> 8);
    out[1] = (uint8_t)(count - 1);
    return 2;
}

void hyperloglog_init(struct buf *out)
{
    uint8_t bytes[HYPERLOGLOG_HEADER_SIZE + 2] = {'H', 'Y', 'L', 'L', SPARSE};
    size_t size = write_run(bytes + HYPERLOGLOG_HEADER_SIZE, HYPERLOGLOG_REGISTERS, 0);
    buf_append(out, bytes, HYPERLOGLOG_HEADER_SIZE + size);
}

void hyperloglog_forget(struct buf *bytes)
{
    bytes->data[COUNT_AT + 7] |= 0x80;
}

bool hyperloglog_known(struct slice bytes, uint64_t *count)
{
    *count = 0;
    for (size_t i = 0; i < 8; i++) {
        *count |= (uint64_t)bytes.data[COUNT_AT + i] << (8 * i);
    }
    return *count >> 63 == 0;
}

static unsigned get_dense(const uint8_t *registers, size_t index)
{
    size_t bit = index * VALUE_BITS;
    unsigned value = (unsigned)registers[bit / 8] >> (bit % 8);
    if (bit % 8 > 8 - VALUE_BITS) {
        value |= (unsigned)registers[bit / 8 + 1] << (8 - bit % 8);
    }
    return value & VALUE_MAX;
}

static void set_dense(uint8_t *registers, size_t index, unsigned value)
{
    size_t bit = index * VALUE_BITS;
    unsigned shift = (unsigned)(bit % 8);
    uint8_t *at = registers + bit / 8;
    at[0] = (uint8_t)((at[0] & ~((unsigned)VALUE_MAX << shift)) | value << shift);
    if (shift > 8 - VALUE_BITS) {
        at[1] = (uint8_t)((at[1] & ~((unsigned)VALUE_MAX >> (8 - shift))) | value >> (8 - shift));
    }
}

bool hyperloglog_widen(struct buf *bytes)
{
    if (hyperloglog_dense(buf_slice(bytes))) {
        return true;
    }
    uint8_t dense[HYPERLOGLOG_DENSE_SIZE] = {0};
    memcpy(dense, bytes->data, HYPERLOGLOG_HEADER_SIZE);
    dense[ENCODING_AT] = DENSE;
    size_t index = 0;
    struct slice sparse = buf_slice(bytes);
    for (size_t at = HYPERLOGLOG_HEADER_SIZE; at < sparse.len;) {
        struct run run = read_run(sparse, at);
        if (run.count > HYPERLOGLOG_REGISTERS - index) {
            return false;
        }
        for (unsigned i = 0; run.value > 0 && i < run.count; i++) {
            set_dense(dense + HYPERLOGLOG_HEADER_SIZE, index + i, run.value);
        }
        index += run.count;
        at += run.size;
    }
    if (index != HYPERLOGLOG_REGISTERS) {
        return false;
    }
    buf_clear(bytes);
    buf_append(bytes, dense, sizeof(dense));
    return true;
}

static bool add_dense(struct buf *bytes, struct hyperloglog_hash hash, bool *changed)
{
    uint8_t *registers = bytes->data + HYPERLOGLOG_HEADER_SIZE;
    *changed = get_dense(registers, hash.index) < hash.value;
    if (*changed) {
        set_dense(registers, hash.index, hash.value);
    }
    return true;
}

/* Puts bytes in the place of old_size bytes at an offset. */
static void replace(struct buf *buf, size_t at, size_t old_size, struct slice bytes)
{
    size_t tail = buf->len - at - old_size;
    if (bytes.len > old_size) {
        buf_reserve(buf, bytes.len - old_size);
    }
    memmove(buf->data + at + bytes.len, buf->data + at + old_size, tail);
    memcpy(buf->data + at, bytes.data, bytes.len);
    buf->len = at + bytes.len + tail;
}

/* Joins neighbours with the same value, from an offset on. */
static void join(struct buf *bytes, size_t at)
{
    for (unsigned step = 0; step < MERGE_STEPS && at < bytes->len; step++) {
        struct run run = read_run(buf_slice(bytes), at);
        if (run.value > 0 && at + 1 < bytes->len) {
            struct run next = read_run(buf_slice(bytes), at + 1);
            if (next.value == run.value && run.count + next.count <= RUN_VALUE_MAX) {
                uint8_t joined[2];
                size_t size = write_run(joined, run.count + next.count, run.value);
                replace(bytes, at, 2, slice_of(joined, size));
                continue;
            }
        }
        at += run.size;
    }
}

/* The run that a register lies in. */
struct place {
    size_t at;
    size_t before; /* Where the run before it begins; its own place if there is none. */
    unsigned first;
    struct run run;
};

static bool find_run(struct slice bytes, unsigned index, struct place *place)
{
    *place = (struct place){.at = HYPERLOGLOG_HEADER_SIZE, .before = HYPERLOGLOG_HEADER_SIZE};
    while (place->at < bytes.len) {
        place->run = read_run(bytes, place->at);
        if (index < place->first + place->run.count) {
            return true;
        }
        place->before = place->at;
        place->at += place->run.size;
        place->first += place->run.count;
    }
    return false;
}

static bool add_sparse(struct buf *bytes, struct hyperloglog_hash hash, bool *changed)
{
    struct place place;
    *changed = false;
    if (hash.value > SPARSE_VALUE_MAX) {
        return hyperloglog_widen(bytes) && add_dense(bytes, hash, changed);
    }
    if (!find_run(buf_slice(bytes), hash.index, &place)) {
        return false;
    }
    if (place.run.value >= hash.value) {
        return true;
    }
    unsigned left = hash.index - place.first;
    unsigned right = place.run.count - left - 1;
    uint8_t runs[5];
    size_t size = write_run(runs, left, place.run.value);
    size += write_run(runs + size, 1, hash.value);
    size += write_run(runs + size, right, place.run.value);
    assert(size <= sizeof(runs));
    if (size > place.run.size && bytes->len + size - place.run.size > SPARSE_SIZE_MAX) {
        return hyperloglog_widen(bytes) && add_dense(bytes, hash, changed);
    }
    /* A run of two bytes that has only one at the end is none. */
    if (place.run.size > bytes->len - place.at) {
        return false;
    }
    replace(bytes, place.at, place.run.size, slice_of(runs, size));
    join(bytes, place.before);
    hyperloglog_forget(bytes);
    *changed = true;
    return true;
}

bool hyperloglog_add(struct buf *bytes, struct hyperloglog_hash hash, bool *changed)
{
    assert(hash.index < HYPERLOGLOG_REGISTERS && hash.value > 0 && hash.value <= VALUE_MAX);
    return hyperloglog_dense(buf_slice(bytes)) ? add_dense(bytes, hash, changed)
                                               : add_sparse(bytes, hash, changed);
}

static bool merge_sparse(struct slice bytes, uint8_t registers[HYPERLOGLOG_REGISTERS])
{
    size_t index = 0;
    for (size_t at = HYPERLOGLOG_HEADER_SIZE; at < bytes.len;) {
        struct run run = read_run(bytes, at);
        if (run.count > HYPERLOGLOG_REGISTERS - index) {
            return false;
        }
        for (unsigned i = 0; run.value > 0 && i < run.count; i++) {
            uint8_t *value = &registers[index + i];
            *value = run.value > *value ? (uint8_t)run.value : *value;
        }
        index += run.count;
        at += run.size;
    }
    return index == HYPERLOGLOG_REGISTERS;
}

bool hyperloglog_merge(struct slice bytes, uint8_t registers[HYPERLOGLOG_REGISTERS])
{
    if (!hyperloglog_dense(bytes)) {
        return merge_sparse(bytes, registers);
    }
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i++) {
        unsigned value = get_dense(bytes.data + HYPERLOGLOG_HEADER_SIZE, i);
        registers[i] = value > registers[i] ? (uint8_t)value : registers[i];
    }
    return true;
}

/* sigma() and tau() of Otmar Ertl, New cardinality estimation algorithms for HyperLogLog sketches,
 * arXiv:1702.01284. In the same order of operations as Redis, so that no digit differs. */
static double sigma(double x)
{
    if (x == 1.0) {
        return INFINITY;
    }
    double y = 1;
    double z = x;
    double before = 0;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (before != z);
    return z;
}

static double tau(double x)
{
    if (x == 0.0 || x == 1.0) {
        return 0.0;
    }
    double y = 1.0;
    double z = 1 - x;
    double before = 0;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (before != z);
    return z / 3;
}

uint64_t hyperloglog_count(const uint8_t registers[HYPERLOGLOG_REGISTERS])
{
    const double alpha = 0.721347520444481703680; /* 0.5 / ln(2) */
    const double m = HYPERLOGLOG_REGISTERS;
    int counts[VALUE_MAX + 1] = {0};
    for (size_t i = 0; i < HYPERLOGLOG_REGISTERS; i++) {
        counts[registers[i] & VALUE_MAX]++;
    }
    double z = m * tau((m - counts[HASH_BITS + 1]) / m);
    for (size_t i = HASH_BITS; i >= 1; i--) {
        z += counts[i];
        z *= 0.5;
    }
    z += m * sigma(counts[0] / m);
    return (uint64_t)llroundl((long double)(alpha * m * m / z));
}
