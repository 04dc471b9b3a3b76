#include "common/base/assert.h"
#include "common/proto/resp.h"

/* Writes one value, or the header of an aggregate, as RESP2 has it. Every header is turned by
 * itself, so nesting needs no stack. */
static void write_resp2(const struct resp_value *value, struct slice raw, struct buf *out)
{
    switch (value->type) {
    case '_': buf_append(out, "$-1\r\n", 5); break;
    case '#': resp_write_int(out, value->number); break;
    case ',':
    case '(':
    case '=': resp_write_bulk(out, value->bytes); break;
    case '%':
    case '~':
    case '<':
    case ';':
    case '>': resp_write_array(out, (size_t)value->number); break;
    case '^': resp_write_array(out, (size_t)value->number * 2); break;
    case '&': break;
    default: buf_append_slice(out, raw); break;
    }
}

static void write_resp3(const struct resp_value *value, struct slice raw, struct buf *out)
{
    if (value->null) {
        buf_append(out, "_\r\n", 3);
    } else if (value->type == '^' || value->type == '&') {
        resp_write_array(out, (size_t)value->number);
    } else if (value->type == '<') {
        resp_write_map(out, (size_t)value->number);
    } else if (value->type != ';') {
        buf_append_slice(out, raw);
    }
}

void resp_convert(struct slice reply, int protocol, struct buf *out)
{
    assert(protocol == 2 || protocol == 3);
    assert(reply.len > 0);
    /* These need no change and, being no aggregates, are the whole reply. */
    uint8_t type = reply.data[0];
    if (type == '+' || type == '-' || type == ':' || (type == '$' && reply.data[1] != '-')) {
        buf_append_slice(out, reply);
        return;
    }
    while (reply.len > 0) {
        struct resp_value value;
        enum status status = resp_value_read(reply, &value);
        assert(status == STATUS_OK);
        struct slice raw = slice_of(reply.data, value.size_used);
        if (protocol == 2) {
            write_resp2(&value, raw, out);
        } else {
            write_resp3(&value, raw, out);
        }
        reply = slice_of(reply.data + value.size_used, reply.len - value.size_used);
    }
}
