/* Any bytes as a HyperLogLog: refused, found corrupt, or one that can be counted, added to and made
 * dense, all with the same registers. */

#include "common/base/assert.h"
#include "server/machine/hyperloglog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct slice bytes, struct hyperloglog_hash hash)
{
    uint8_t registers[HYPERLOGLOG_REGISTERS] = {0};
    bool sound = hyperloglog_merge(bytes, registers);
    struct buf buf;
    buf_init(&buf, HYPERLOGLOG_SIZE_MAX + 8);
    buf_append_slice(&buf, bytes);
    bool changed = false;
    bool added = hyperloglog_add(&buf, hash, &changed);
    if (sound && added) {
        uint8_t after[HYPERLOGLOG_REGISTERS] = {0};
        assert(hyperloglog_check(buf_slice(&buf)) && hyperloglog_merge(buf_slice(&buf), after));
        assert(changed == (registers[hash.index] < hash.value));
        registers[hash.index] = changed ? hash.value : registers[hash.index];
        assert(memcmp(registers, after, sizeof(after)) == 0);
        uint8_t dense[HYPERLOGLOG_REGISTERS] = {0};
        assert(hyperloglog_widen(&buf) && buf.len == HYPERLOGLOG_DENSE_SIZE);
        assert(hyperloglog_merge(buf_slice(&buf), dense));
        assert(memcmp(dense, after, sizeof(after)) == 0);
        (void)hyperloglog_count(dense);
    }
    buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > HYPERLOGLOG_SIZE_MAX) {
        return 0;
    }
    /* The first bytes say what is added. */
    struct hyperloglog_hash hash = {.value = (uint8_t)(data[2] % 51 + 1)};
    hash.index = (uint16_t)((data[0] | data[1] << 8) % HYPERLOGLOG_REGISTERS);
    struct slice bytes = slice_of(data + 3, size - 3);
    uint64_t count = 0;
    if (hyperloglog_check(bytes)) {
        (void)hyperloglog_known(bytes, &count);
        add(bytes, hash);
    }
    return 0;
}
