/* Any bytes as rows of the store: refused, or taken apart and, for keys, put together again. */

#include "common/base/assert.h"
#include "common/cluster/token.h"
#include "server/machine/keyspace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    uint64_t token = 0;
    uint8_t db = 0;
    struct slice key;
    if (keyspace_parse_row_key(bytes, &token, &db, &key)) {
        assert(key.len < size);
        if (db < MACHINE_DATABASES) {
            struct buf again;
            buf_init(&again, size + 1);
            keyspace_row_key(db, key, &again);
            assert(again.len == size);
            bool alike = slice_equal(buf_slice(&again), bytes);
            struct keyspace_prefix prefix;
            bool parsed = keyspace_parse_prefix(bytes, &prefix);
            assert(parsed && prefix.size == size && !prefix.element);
            bool own = token == token_of(db, key) && prefix.spot == keyspace_spot(db, key);
            assert(alike == own);
            buf_deinit(&again);
        }
    }
    struct row row = {0};
    if (keyspace_parse_row(bytes, &row) == STATUS_OK) {
        assert(row.type != 0);
        assert(row.size <= KEYSPACE_VALUE_SIZE_MAX || (row.flags & KEYSPACE_CHUNKED) == 0);
        assert(row.value.len <= size);
    }
    return 0;
}
