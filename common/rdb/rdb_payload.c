#include "common/rdb/rdb_payload.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/rdb/crc64.h"

void rdb_payload_seal(struct buf *out, size_t start)
{
    assert(start < out->len);
    buf_append_u16(out, RDB_PAYLOAD_VERSION);
    buf_append_u64(out, crc64_extend(0, slice_of(out->data + start, out->len - start)));
}

bool rdb_payload_open(struct slice payload, struct slice *value)
{
    if (payload.len < RDB_PAYLOAD_FOOTER_SIZE) {
        return false;
    }
    size_t size = payload.len - RDB_PAYLOAD_FOOTER_SIZE;
    struct reader footer = reader_of(slice_of(payload.data + size, RDB_PAYLOAD_FOOTER_SIZE));
    uint16_t version = reader_u16(&footer);
    uint64_t checksum = reader_u64(&footer);
    *value = slice_of(payload.data, size);
    return version <= RDB_PAYLOAD_VERSION_MAX &&
           checksum == crc64_extend(0, slice_of(payload.data, size + sizeof(version)));
}
