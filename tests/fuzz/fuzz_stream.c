/* Any bytes as what streams store: refused, or taken apart and, for bodies, put together again. */

#include "common/base/assert.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_pending.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_body(struct slice bytes)
{
    struct stream stream = {0};
    if (!stream_decode(bytes, &stream)) {
        return;
    }
    struct buf again;
    buf_init(&again, bytes.len + 1);
    stream_encode(&stream, &again);
    assert(slice_equal(buf_slice(&again), bytes));
    assert(stream.middle == 0 || stream.head.live > 0);
    buf_deinit(&again);
}

static void try_id(struct slice bytes)
{
    struct stream_id id = {0};
    struct stream_id strict = {0};
    bool seq_given = true;
    bool parsed = stream_id_parse(bytes, 0, &id);
    if (stream_id_parse_strict(bytes, &strict)) {
        assert(parsed && stream_id_compare(id, strict) == 0);
        assert(stream_id_parse_new(bytes, &id, &seq_given) && seq_given);
    }
    (void)stream_id_parse_start(bytes, &id);
    (void)stream_id_parse_end(bytes, &id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct stream_group group = {0};
    struct stream_consumer consumer = {0};
    struct stream_nack nack;
    struct stream_id id;
    try_body(bytes);
    try_id(bytes);
    if (stream_group_decode(bytes, &group)) {
        assert(group.number > 0);
    }
    if (stream_group_decode_consumer(bytes, &consumer)) {
        assert(consumer.number > 0);
    }
    if (stream_pending_decode(bytes, &nack)) {
        assert(nack.consumer > 0 && nack.name.len < size);
    }
    assert(stream_args_take_id(bytes, &id) == (size == STREAM_ID_SIZE));
    return 0;
}
