/* Any bytes as a record of the shared log, and as a segment's header: taken or refused, and what is
 * taken and written again is the same bytes. The checksum is made right first, else nothing would
 * ever get behind it. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "replication/log/wal_index.h"
#include "replication/log/wal_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED = 5 };

static void write_again(const struct wal_record *record, struct buf *out)
{
    if (record->type != WAL_ENTRIES && record->type != WAL_MOVED) {
        wal_record_append(out, record);
        return;
    }
    size_t begin = wal_record_begin(out, record->type, record->group, record->index);
    struct slice packed = record->data;
    struct wal_entry entry;
    for (uint32_t i = 0; i < record->count; i++) {
        bool whole = wal_record_unpack(&packed, &entry);
        assert(whole);
        wal_record_pack(out, &entry);
    }
    assert(packed.len == 0);
    wal_record_end(out, begin, record->count);
}

static void take_record(uint8_t *bytes, size_t size, struct wal_index *index)
{
    struct wal_record record;
    if (wal_record_parse(bytes, &record) != STATUS_OK) {
        return;
    }
    struct buf again;
    buf_init(&again, size + 64);
    write_again(&record, &again);
    assert(again.len == size);
    size_t payload = (size_t)bytes[8] | (size_t)bytes[9] << 8 | (size_t)bytes[10] << 16;
    assert(memcmp(again.data + 8, bytes + 8, WAL_RECORD_HEADER_SIZE - 8 + payload) == 0);
    buf_deinit(&again);
    if (record.type != WAL_BATCH) {
        wal_index_apply(index, &record, 1, 4096, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    assert(bytes != NULL);
    memcpy(bytes, data, size);
    struct wal_index index;
    wal_index_init(&index);
    size_t at = 0;
    size_t record_size = 0;
    while (at < size) {
        enum status status = wal_record_check(slice_of(bytes + at, size - at), SEED, &record_size);
        bool whole = status != STATUS_AGAIN && size - at >= WAL_RECORD_HEADER_SIZE &&
                     record_size <= size - at && record_size > WAL_RECORD_HEADER_SIZE;
        if (!whole || bytes[at + 12] == 0 || bytes[at + 12] >= WAL_TYPE_END) {
            break;
        }
        wal_record_seal(bytes + at, SEED);
        take_record(bytes + at, record_size, &index);
        at += record_size;
    }
    if (size >= WAL_SEGMENT_HEADER_SIZE) {
        struct wal_header header;
        uint8_t again[WAL_SEGMENT_HEADER_SIZE];
        if (wal_segment_decode(data, &header) == STATUS_OK) {
            wal_segment_encode(&header, again);
            assert(memcmp(again, data, sizeof(again)) == 0);
        }
    }
    wal_index_finish(&index);
    wal_index_deinit(&index);
    free(bytes);
    return 0;
}
