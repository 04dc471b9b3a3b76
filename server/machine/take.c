#include "server/machine/take.h"

#include "common/base/assert.h"
#include "server/machine/event.h"

bool take_clip(int64_t start, int64_t stop, uint64_t size, uint64_t *index, uint64_t *count)
{
    int64_t total = (int64_t)size;
    start += start < 0 ? total : 0;
    stop += stop < 0 ? total : 0;
    start = start < 0 ? 0 : start;
    if (start > stop || start >= total) {
        return false;
    }
    stop = stop >= total ? total - 1 : stop;
    *index = (uint64_t)start;
    *count = (uint64_t)(stop - start) + 1;
    return true;
}

void take_note(struct sequence *list, const char *event, struct slice key)
{
    struct call *call = list->call;
    event_note(call, EVENT_LIST, event, key);
    if (list->size == 0) {
        event_note(call, EVENT_GENERIC, "del", key);
    }
}

enum status take_pop(
    struct sequence *list, struct slice key, enum sequence_end end, uint64_t count, bool alone)
{
    struct call *call = list->call;
    assert(list->row.found && list->size > 0 && count > 0);
    struct buf *out = txn_scratch(call->txn, SCRATCH_RESULT);
    uint64_t popped = 0;
    while (popped < count && list->size > 0 && out->len < TAKE_SIZE_MAX) {
        struct buf *value = txn_scratch(call->txn, SCRATCH_FIELD);
        enum status status = sequence_pop(list, end, value);
        if (status != STATUS_OK) {
            return status;
        }
        resp_write_bulk(out, buf_slice(value));
        popped++;
    }
    if (!alone) {
        resp_write_array(call->reply, popped);
    }
    buf_append_slice(call->reply, buf_slice(out));
    sequence_store(list);
    take_note(list, end == SEQUENCE_LEFT ? "lpop" : "rpop", key);
    return STATUS_OK;
}

bool take_end(struct slice word, enum sequence_end *end)
{
    *end = command_word(word, "right") ? SEQUENCE_RIGHT : SEQUENCE_LEFT;
    return *end == SEQUENCE_RIGHT || command_word(word, "left");
}
