#include "server/machine/event.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

void event_note(struct call *call, enum event_class class, const char *name, struct slice key)
{
    event_note_in(call, call->db, class, name, key);
}

void event_note_in(
    struct call *call, uint8_t db, enum event_class class, const char *name, struct slice key)
{
    assert(call->state != NULL);
    if (call->events == NULL) {
        return;
    }
    buf_append_u8(call->events, (uint8_t) class);
    buf_append_u8(call->events, db);
    buf_append_bytes(call->events, slice_str(name));
    buf_append_bytes(call->events, key);
}

void event_note_message(struct call *call,
                        enum event_class class,
                        struct slice channel,
                        struct slice message)
{
    if (call->events != NULL) {
        buf_append_u8(call->events, (uint8_t) class);
        buf_append_u8(call->events, call->db);
        buf_append_bytes(call->events, channel);
        buf_append_bytes(call->events, message);
    }
}

bool event_next(struct reader *in, struct event *event)
{
    if (in->rest.len == 0) {
        return false;
    }
    event->class = (enum event_class)reader_u8(in);
    event->db = reader_u8(in);
    event->name = reader_bytes(in, UINT32_MAX);
    event->key = reader_bytes(in, UINT32_MAX);
    assert(!in->failed);
    return true;
}
