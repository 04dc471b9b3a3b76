/* Any bytes as an RDB file: every item is taken from the window, whole or through one that grows
 * byte by byte, with the same result. */

#include "common/base/assert.h"
#include "common/rdb/rdb_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE_SIZE_MAX = 1 << 16 };

static enum status next(struct rdb_file *file,
                        struct slice bytes,
                        bool slowly,
                        struct rdb_item *item)
{
    uint64_t at = file->at.offset;
    struct slice rest = slice_of(bytes.data + at, bytes.len - at);
    size_t len = slowly ? 1 : rest.len;
    while (true) {
        len = len < rest.len ? len : rest.len;
        enum status status = rdb_file_next(file, slice_of(rest.data, len), item);
        if (status != STATUS_AGAIN || len == rest.len) {
            return status;
        }
        assert(file->at.offset == at);
        len += len / 8 + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size < WHOLE_SIZE_MAX ? size : WHOLE_SIZE_MAX);
    struct rdb_file one;
    struct rdb_file other;
    struct rdb_item item = {0};
    struct rdb_item same = {0};
    enum status status = STATUS_OK;
    rdb_file_init(&one, (struct rdb_mark){0});
    rdb_file_init(&other, (struct rdb_mark){0});
    while (status == STATUS_OK && item.kind != RDB_ITEM_END) {
        status = next(&one, bytes, false, &item);
        assert(next(&other, bytes, true, &same) == status);
        assert(status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_CORRUPT);
        assert((one.fault != NULL) == (status == STATUS_CORRUPT));
        assert(one.at.offset <= bytes.len && one.at.offset == other.at.offset);
        assert(one.at.checksum == other.at.checksum && one.at.db == other.at.db);
        if (status == STATUS_OK) {
            assert(item.kind == same.kind && slice_equal(item.key, same.key));
            assert(slice_equal(item.value, same.value) && item.expire_ms == same.expire_ms);
        }
    }
    rdb_file_deinit(&one);
    rdb_file_deinit(&other);
    return 0;
}
