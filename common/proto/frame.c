#include "common/proto/frame.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

enum { REQUEST_ARGC_OFFSET = 5 * 8 + 4 + 2 };

static uint64_t checksum(const uint8_t *header, struct slice body)
{
    uint64_t seed = 0;
    memcpy(&seed, header, 8);
    return hash_bytes_seeded(body, seed);
}

enum status frame_parse(struct slice input,
                        size_t body_size_max,
                        struct frame *frame,
                        size_t *size_used)
{
    *size_used = 0;
    if (input.len > 0 && input.data[0] != FRAME_MAGIC) {
        return STATUS_PROTOCOL;
    }
    if (input.len < FRAME_HEADER_SIZE) {
        return STATUS_AGAIN;
    }
    struct reader in = reader_of(slice_of(input.data + 1, FRAME_HEADER_SIZE - 1));
    uint8_t type = reader_u8(&in);
    uint8_t loop = reader_u8(&in);
    uint8_t zero = reader_u8(&in);
    uint32_t len = reader_u32(&in);
    uint64_t sum = reader_u64(&in);
    if (type == 0 || type >= FRAME_TYPE_COUNT || zero != 0) {
        return STATUS_PROTOCOL;
    }
    if (len > body_size_max) {
        return STATUS_TOO_BIG;
    }
    *size_used = FRAME_HEADER_SIZE + (size_t)len;
    if (input.len < *size_used) {
        return STATUS_AGAIN;
    }
    struct slice body = slice_of(input.data + FRAME_HEADER_SIZE, len);
    if (checksum(input.data, body) != sum) {
        return STATUS_PROTOCOL;
    }
    *frame = (struct frame){.type = (enum frame_type)type, .loop = loop, .body = body};
    return STATUS_OK;
}

size_t frame_begin(struct buf *out, enum frame_type type, uint8_t loop)
{
    size_t offset = out->len;
    buf_append_u8(out, FRAME_MAGIC);
    buf_append_u8(out, (uint8_t)type);
    buf_append_u8(out, loop);
    buf_append_u8(out, 0);
    buf_append_u32(out, 0);
    buf_append_u64(out, 0);
    return offset;
}

void frame_end(struct buf *out, size_t offset)
{
    assert(out->len >= offset + FRAME_HEADER_SIZE);
    size_t len = out->len - offset - FRAME_HEADER_SIZE;
    assert(len <= FRAME_BODY_SIZE_MAX);
    buf_put_u32(out, offset + 4, (uint32_t)len);
    struct slice body = slice_of(out->data + offset + FRAME_HEADER_SIZE, len);
    uint64_t sum = checksum(out->data + offset, body);
    buf_put_u32(out, offset + 8, (uint32_t)sum);
    buf_put_u32(out, offset + 12, (uint32_t)(sum >> 32));
}

void frame_write_hello(struct buf *out, const struct frame_hello *hello)
{
    size_t offset = frame_begin(out, FRAME_HELLO, 0);
    buf_append_u8(out, hello->version);
    buf_append_u8(out, hello->role);
    buf_append_u8(out, hello->loops);
    buf_append(out, hello->cluster, sizeof(hello->cluster));
    buf_append_u64(out, hello->node);
    buf_append_u64(out, hello->incarnation);
    frame_end(out, offset);
}

enum status frame_read_hello(struct slice body, struct frame_hello *hello)
{
    struct reader in = reader_of(body);
    hello->version = reader_u8(&in);
    hello->role = reader_u8(&in);
    hello->loops = reader_u8(&in);
    struct slice cluster = reader_raw(&in, sizeof(hello->cluster));
    if (!in.failed) {
        memcpy(hello->cluster, cluster.data, cluster.len);
    }
    hello->node = reader_u64(&in);
    hello->incarnation = reader_u64(&in);
    bool known = hello->role >= FRAME_ROLE_NODE && hello->role <= FRAME_ROLE_ADMIN;
    return reader_done(&in) && known ? STATUS_OK : STATUS_PROTOCOL;
}

void frame_write_refused(struct buf *out, enum status status, const char *text)
{
    size_t offset = frame_begin(out, FRAME_REFUSED, 0);
    buf_append_u8(out, (uint8_t)status);
    buf_append_text(out, text);
    frame_end(out, offset);
}

void frame_write_request(struct buf *out, const struct frame_request *request)
{
    size_t offset = frame_begin(out, FRAME_REQUEST, 0);
    buf_append_u64(out, request->id);
    buf_append_u64(out, request->shard);
    buf_append_u64(out, request->session);
    buf_append_u64(out, request->seq);
    buf_append_u64(out, request->first_unacked);
    buf_append_u32(out, request->deadline_ms);
    buf_append_u8(out, request->flags);
    buf_append_u8(out, request->db);
    buf_append_u32(out, (uint32_t)request->args.argc);
    for (size_t i = 0; i < request->args.argc; i++) {
        buf_append_bytes(out, request->args.argv[i]);
    }
    if ((request->flags & REQUEST_EXACT) != 0) {
        buf_append_u64(out, request->ver);
    }
    frame_end(out, offset);
}

size_t frame_request_argc(struct slice body)
{
    struct reader in = reader_of(body);
    (void)reader_raw(&in, REQUEST_ARGC_OFFSET);
    size_t argc = reader_u32(&in);
    /* Every argument has at least its length. */
    return in.failed || argc > in.rest.len / 4 ? 0 : argc;
}

enum status frame_read_request(struct slice body,
                               struct frame_request *request,
                               struct slice *argv,
                               size_t argc_max)
{
    struct reader in = reader_of(body);
    request->id = reader_u64(&in);
    request->shard = reader_u64(&in);
    request->session = reader_u64(&in);
    request->seq = reader_u64(&in);
    request->first_unacked = reader_u64(&in);
    request->deadline_ms = reader_u32(&in);
    request->flags = reader_u8(&in);
    request->db = reader_u8(&in);
    size_t argc = reader_u32(&in);
    if (in.failed || argc == 0 || argc > in.rest.len / 4) {
        return STATUS_PROTOCOL;
    }
    if (argc > argc_max) {
        return STATUS_TOO_BIG;
    }
    for (size_t i = 0; i < argc; i++) {
        argv[i] = reader_bytes(&in, UINT32_MAX);
    }
    request->args = (struct args){.argv = argv, .argc = argc};
    request->ver = (request->flags & REQUEST_EXACT) != 0 ? reader_u64(&in) : 0;
    return reader_done(&in) ? STATUS_OK : STATUS_PROTOCOL;
}

void frame_write_reply(struct buf *out, const struct frame_reply *reply)
{
    size_t offset = frame_begin(out, FRAME_REPLY, 0);
    buf_append_u64(out, reply->id);
    buf_append_u8(out, (uint8_t)reply->status);
    buf_append_slice(out, reply->body);
    frame_end(out, offset);
}

enum status frame_read_reply(struct slice body, struct frame_reply *reply)
{
    struct reader in = reader_of(body);
    reply->id = reader_u64(&in);
    uint8_t status = reader_u8(&in);
    if (in.failed || status >= STATUS_COUNT) {
        return STATUS_PROTOCOL;
    }
    reply->status = (enum status)status;
    reply->body = in.rest;
    return STATUS_OK;
}

void stage_ref_encode(const struct stage_ref *ref, uint8_t out[STAGE_REF_SIZE])
{
    struct buf bytes = {.data = out, .size = STAGE_REF_SIZE, .size_max = STAGE_REF_SIZE};
    buf_append_u64(&bytes, ref->id);
    buf_append_u64(&bytes, ref->size);
    buf_append_u64(&bytes, ref->offset);
}

bool stage_ref_decode(struct slice bytes, struct stage_ref *ref)
{
    struct reader in = reader_of(bytes);
    ref->id = reader_u64(&in);
    ref->size = reader_u64(&in);
    ref->offset = reader_u64(&in);
    return reader_done(&in);
}

void frame_write_part(struct buf *out, const struct frame_part *part)
{
    size_t offset = frame_begin(out, FRAME_PART, 0);
    buf_append_u64(out, part->id);
    buf_append_u64(out, part->size);
    buf_append_u64(out, part->offset);
    buf_append_slice(out, part->bytes);
    frame_end(out, offset);
}

enum status frame_read_part(struct slice body, struct frame_part *part)
{
    struct reader in = reader_of(body);
    part->id = reader_u64(&in);
    part->size = reader_u64(&in);
    part->offset = reader_u64(&in);
    part->bytes = in.rest;
    bool inside = !in.failed && part->size <= FRAME_BODY_SIZE_MAX && part->offset < part->size &&
                  part->bytes.len > 0 && part->bytes.len <= part->size - part->offset;
    return inside ? STATUS_OK : STATUS_PROTOCOL;
}

void frame_write_message(struct buf *out, const struct frame_message *message)
{
    size_t offset = frame_begin(out, FRAME_MESSAGE, 0);
    buf_append_u8(out, message->kind);
    buf_append_bytes(out, message->topic);
    buf_append_bytes(out, message->channel);
    buf_append_bytes(out, message->payload);
    frame_end(out, offset);
}

enum status frame_read_message(struct slice body, struct frame_message *message)
{
    struct reader in = reader_of(body);
    message->kind = reader_u8(&in);
    message->topic = reader_bytes(&in, UINT32_MAX);
    message->channel = reader_bytes(&in, UINT32_MAX);
    message->payload = reader_bytes(&in, UINT32_MAX);
    return reader_done(&in) ? STATUS_OK : STATUS_PROTOCOL;
}

void wait_ref_encode(const struct wait_ref *ref, uint8_t out[WAIT_REF_SIZE])
{
    struct buf bytes = {.data = out, .size = WAIT_REF_SIZE, .size_max = WAIT_REF_SIZE};
    buf_append_u64(&bytes, ref->left_ms);
    buf_append_u8(&bytes, ref->parked ? 1 : 0);
}

bool wait_ref_decode(struct slice bytes, struct wait_ref *ref)
{
    struct reader in = reader_of(bytes);
    ref->left_ms = reader_u64(&in);
    uint8_t parked = reader_u8(&in);
    ref->parked = parked == 1;
    ref->frozen = in.rest;
    return !in.failed && parked <= 1;
}

void frame_write_ref(struct buf *out, enum frame_type type, const struct frame_ref *ref)
{
    size_t offset = frame_begin(out, type, 0);
    buf_append_u64(out, ref->shard);
    buf_append_u64(out, ref->id);
    buf_append_slice(out, ref->frozen);
    frame_end(out, offset);
}

enum status frame_read_ref(struct slice body, struct frame_ref *ref)
{
    struct reader in = reader_of(body);
    ref->shard = reader_u64(&in);
    ref->id = reader_u64(&in);
    ref->frozen = in.rest;
    return in.failed ? STATUS_PROTOCOL : STATUS_OK;
}
