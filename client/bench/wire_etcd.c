/* etcd v3 as its own clients speak it: gRPC (HTTP/2 without TLS), KV.Put and KV.Range.
 *
 * Only as much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a load generator needs: our header
 * fields are literals that change no table, so all requests have the same bytes. Header blocks of
 * the server are not decoded: in gRPC a call that succeeded has a data frame (one, as the replies
 * are small) before the stream's end, and one that failed has none. */

#include "client/bench/wire_private.h"
#include "common/base/assert.h"

enum {
    FRAME_HEAD_SIZE = 9,
    FRAME_SIZE_MAX = 16 * 1024 * 1024,
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    WINDOW_UPDATE_EVERY = 16 * 1024,
};

static void put_u24(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 16);
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    put_u24(at + 1, value & 0xffffff);
}

static void add_head(struct buf *out, size_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    uint8_t head[FRAME_HEAD_SIZE];
    put_u24(head, len);
    head[3] = type;
    head[4] = flags;
    put_u32(head + 5, stream);
    buf_append(out, head, sizeof head);
}

void wire_private_begin_etcd(struct wire_state *state, struct buf *out)
{
    state->stream_next = 1;
    buf_append_text(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    add_head(out, 0, FRAME_SETTINGS, 0, 0);
}

/* A literal field that is added to no table: name by its index in the static table, or by text. */
static void add_field(struct buf *out, uint8_t name_index, const char *name, const char *value)
{
    assert(strlen(value) < 127);
    if (name_index < 15) {
        buf_append_u8(out, name_index);
    } else {
        buf_append_u8(out, 15);
        buf_append_u8(out, (uint8_t)(name_index - 15));
    }
    if (name_index == 0) {
        buf_append_u8(out, (uint8_t)strlen(name));
        buf_append_text(out, name);
    }
    buf_append_u8(out, (uint8_t)strlen(value));
    buf_append_text(out, value);
}

static void add_varint(struct buf *out, size_t value)
{
    while (value >= 0x80) {
        buf_append_u8(out, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_append_u8(out, (uint8_t)value);
}

static size_t varint_len(size_t value)
{
    size_t len = 1;
    while (value >= 0x80) {
        value >>= 7;
        len++;
    }
    return len;
}

/* HEADERS and DATA of one call: key is field 1 and value field 2 of both request messages. */
static void make_call(struct wire *wire, struct wire_template *template, const char *path)
{
    bool has_value = template == &wire->write;
    struct buf *out = &template->bytes;
    add_head(out, 0, FRAME_HEADERS, FLAG_END_HEADERS, 0);
    buf_append_u8(out, 0x80 | 3); /* :method POST */
    buf_append_u8(out, 0x80 | 6); /* :scheme http */
    add_field(out, 4, NULL, path);
    add_field(out, 1, NULL, "etcd");
    add_field(out, 31, NULL, "application/grpc");
    add_field(out, 0, "te", "trailers");
    put_u24(out->data, out->len - FRAME_HEAD_SIZE);

    size_t value_size = wire->options.value_size;
    size_t message = 2 + WIRE_KEY_SIZE;
    message += has_value ? 1 + varint_len(value_size) + value_size : 0;
    add_head(out, 5 + message, FRAME_DATA, FLAG_END_STREAM, 0);
    uint8_t prefix[5] = {0};
    put_u32(prefix + 1, (uint32_t)message);
    buf_append(out, prefix, sizeof prefix);
    buf_append_u8(out, 1 << 3 | 2);
    buf_append_u8(out, WIRE_KEY_SIZE);
    wire_private_add_key(wire, template);
    if (has_value) {
        buf_append_u8(out, 2 << 3 | 2);
        add_varint(out, value_size);
        wire_private_add_value(wire, template);
    }
}

void wire_private_make_etcd(struct wire *wire)
{
    make_call(wire, &wire->read, "/etcdserverpb.KV/Range");
    make_call(wire, &wire->write, "/etcdserverpb.KV/Put");
}

static size_t frame_len(const uint8_t *head)
{
    return (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
}

void wire_private_request_etcd(struct wire *wire, struct wire_state *state, struct buf *out)
{
    size_t at = wire_private_fill(wire, wire_private_choose(wire), out);
    uint8_t *headers = out->data + at;
    put_u32(headers + 5, state->stream_next);
    put_u32(headers + FRAME_HEAD_SIZE + frame_len(headers) + 5, state->stream_next);
    state->stream_next += 2;
}

/* Opens the connection's receive window again once enough has come. */
static void give_window(struct wire_state *state, size_t len, struct buf *out)
{
    state->unacked += len;
    if (state->unacked < WINDOW_UPDATE_EVERY) {
        return;
    }
    add_head(out, 4, FRAME_WINDOW_UPDATE, 0, 0);
    uint8_t increment[4];
    put_u32(increment, (uint32_t)state->unacked);
    buf_append(out, increment, sizeof increment);
    state->unacked = 0;
}

enum status wire_private_read_etcd(struct wire_state *state,
                                   struct slice input,
                                   struct buf *out,
                                   struct wire_reply *reply,
                                   size_t *size_used)
{
    if (input.len < FRAME_HEAD_SIZE) {
        return STATUS_AGAIN;
    }
    size_t len = frame_len(input.data);
    uint8_t type = input.data[3];
    uint8_t flags = input.data[4];
    if (len > FRAME_SIZE_MAX || type == FRAME_GOAWAY) {
        return STATUS_PROTOCOL;
    }
    if (input.len < FRAME_HEAD_SIZE + len) {
        return STATUS_AGAIN;
    }
    *size_used = FRAME_HEAD_SIZE + len;
    bool ends = (type == FRAME_DATA || type == FRAME_HEADERS) && (flags & FLAG_END_STREAM) != 0;
    if (type == FRAME_DATA) {
        state->bodies += len > 0;
        give_window(state, len, out);
    } else if (type == FRAME_SETTINGS && (flags & FLAG_ACK) == 0) {
        add_head(out, 0, FRAME_SETTINGS, FLAG_ACK, 0);
    } else if (type == FRAME_PING && (flags & FLAG_ACK) == 0) {
        add_head(out, len, FRAME_PING, FLAG_ACK, 0);
        buf_append(out, input.data + FRAME_HEAD_SIZE, len);
    }
    if (ends || type == FRAME_RST_STREAM) {
        reply->whole = true;
        reply->failed = type == FRAME_RST_STREAM || state->bodies == 0;
        reply->text = slice_str("the call failed");
        state->bodies -= state->bodies > 0;
    }
    return STATUS_OK;
}
