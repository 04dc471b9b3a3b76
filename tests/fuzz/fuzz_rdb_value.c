/* Any bytes as a value of a dump, the type first: what is taken is whole, and as long as it says.
 */

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/rdb/rdb_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_TAKEN_MAX = 1 << 20, ID_SIZE = RDB_VALUE_ID_SIZE };

static void check_strings(const struct rdb_value *value, size_t lead, size_t strings)
{
    struct reader in = reader_of(buf_slice(&value->bytes));
    for (uint64_t i = 0; i < value->count; i++) {
        (void)reader_raw(&in, lead);
        for (size_t n = 0; n < strings; n++) {
            (void)reader_bytes(&in, UINT32_MAX);
        }
    }
    assert(reader_done(&in) && value->count > 0);
}

static void check_group(struct reader *in)
{
    (void)reader_bytes(in, UINT32_MAX);
    (void)reader_raw(in, ID_SIZE + sizeof(uint64_t));
    uint64_t consumers = reader_u64(in);
    for (uint64_t n = 0; n < consumers && !in->failed; n++) {
        (void)reader_bytes(in, UINT32_MAX);
        (void)reader_u64(in);
        (void)reader_raw(in, reader_u64(in) * (ID_SIZE + 2 * sizeof(uint64_t)));
    }
}

static void check_stream(const struct rdb_value *value)
{
    struct reader in = reader_of(buf_slice(&value->bytes));
    (void)reader_u64(&in);
    struct slice last = reader_raw(&in, ID_SIZE);
    (void)reader_raw(&in, ID_SIZE);
    uint64_t count = reader_u64(&in);
    uint8_t before[ID_SIZE] = {0};
    assert(count == value->count);
    for (uint64_t i = 0; i < count && !in.failed; i++) {
        struct slice id = reader_raw(&in, ID_SIZE);
        uint32_t strings = reader_u32(&in);
        assert(!in.failed && strings > 0 && strings % 2 == 0);
        assert(memcmp(id.data, before, ID_SIZE) > 0 && memcmp(id.data, last.data, ID_SIZE) <= 0);
        memcpy(before, id.data, ID_SIZE);
        for (uint32_t n = 0; n < strings; n++) {
            (void)reader_bytes(&in, UINT32_MAX);
        }
    }
    uint64_t groups = reader_u64(&in);
    for (uint64_t i = 0; i < groups && !in.failed; i++) {
        check_group(&in);
    }
    assert(reader_done(&in));
}

static void check(const struct rdb_value *value)
{
    switch (value->kind) {
    case RDB_LIST:
    case RDB_SET: check_strings(value, 0, 1); break;
    case RDB_HASH: check_strings(value, 0, 2); break;
    case RDB_ZSET: check_strings(value, sizeof(uint64_t), 1); break;
    case RDB_STREAM: check_stream(value); break;
    case RDB_STRING:
    case RDB_KIND_END: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice bytes = slice_of(data + 1, size - 1);
    struct rdb_value value;
    rdb_value_init(&value, SIZE_TAKEN_MAX);
    enum status status = rdb_value_decode(data[0], bytes, &value);
    struct buf none;
    buf_init(&none, 1);
    struct rdb_source source = rdb_source_of(bytes, SIZE_TAKEN_MAX, &none);
    rdb_value_skip(data[0], &source);
    if (status == STATUS_OK) {
        assert(source.status == STATUS_OK);
        check(&value);
    } else {
        assert(status == STATUS_CORRUPT || status == STATUS_TOO_BIG);
    }
    rdb_value_deinit(&value);
    buf_deinit(&none);
    return 0;
}
