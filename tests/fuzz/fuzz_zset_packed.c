/* Any bytes as a packed sorted set: what is taken for valid can be walked, looked into and changed.
 */

#include "common/base/assert.h"
#include "server/machine/score.h"
#include "server/machine/zset_packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t walk(struct slice body)
{
    struct slice last = slice_of(NULL, 0);
    uint64_t count = 0;
    for (struct slice rest = body; rest.len > 0; count++) {
        struct slice sub_key = zset_packed_next(&rest);
        uint64_t before = 0;
        double score = 0;
        assert(zset_packed_compare(last, sub_key) < 0);
        assert(zset_packed_place(body, sub_key, &before) + 1 == (size_t)(sub_key.data - body.data));
        assert(before == count);
        assert(zset_packed_find(body, zset_packed_member(sub_key), &score));
        last = sub_key;
    }
    return count;
}

static void change(struct slice body, uint64_t count)
{
    static const uint8_t sub_key[] = {0x80, 0, 0, 0, 0, 0, 0, 0, 'm'};
    struct slice added = slice_of(sub_key, sizeof(sub_key));
    struct buf copy;
    uint64_t before = 0;
    size_t at = zset_packed_place(body, added, &before);
    bool there = at < body.len && body.data[at] + 8U == added.len &&
                 memcmp(body.data + at + 1, sub_key, added.len) == 0;
    if (there || count == ZSET_PACKED_COUNT_MAX) {
        return;
    }
    buf_init(&copy, SIZE_MAX / 2);
    buf_append_slice(&copy, body);
    zset_packed_insert(&copy, added);
    assert(zset_packed_valid(buf_slice(&copy), count + 1));
    zset_packed_cut(&copy, at, 1 + added.len);
    assert(slice_equal(buf_slice(&copy), body));
    buf_deinit(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    /* The number of elements comes from the metadata row. */
    struct slice body = slice_of(data + 1, size - 1);
    if (!zset_packed_valid(body, data[0])) {
        return 0;
    }
    assert(walk(body) == data[0]);
    change(body, data[0]);
    return 0;
}
