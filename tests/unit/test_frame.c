#include "common/proto/frame.h"
#include "tests/support/test.h"

static void write_request(struct buf *out, const struct slice *argv, size_t argc)
{
    struct frame_request request = {.id = 1,
                                    .shard = 2,
                                    .session = 3,
                                    .seq = 4,
                                    .first_unacked = 5,
                                    .deadline_ms = 6,
                                    .flags = REQUEST_RETRY,
                                    .db = 7,
                                    .args = {.argv = argv, .argc = argc}};
    frame_write_request(out, &request);
}

TEST(frame_request, comes_back_as_it_was_written)
{
    struct buf out;
    buf_init(&out, 4096);
    struct slice argv[] = {slice_str("SET"), slice_str("key"), slice_str("")};
    write_request(&out, argv, 3);
    struct frame frame;
    size_t used = 0;
    CHECK_EQ(frame_parse(buf_slice(&out), 4096, &frame, &used), STATUS_OK);
    CHECK_EQ(used, out.len);
    CHECK_EQ(frame.type, FRAME_REQUEST);
    CHECK_EQ(frame_request_argc(frame.body), 3);
    struct frame_request request;
    struct slice got[3];
    CHECK_EQ(frame_read_request(frame.body, &request, got, 3), STATUS_OK);
    CHECK_EQ(request.id, 1);
    CHECK_EQ(request.shard, 2);
    CHECK_EQ(request.session, 3);
    CHECK_EQ(request.seq, 4);
    CHECK_EQ(request.first_unacked, 5);
    CHECK_EQ(request.deadline_ms, 6);
    CHECK_EQ(request.flags, REQUEST_RETRY);
    CHECK_EQ(request.db, 7);
    CHECK_BYTES(request.args.argv[1], "key");
    CHECK_EQ(request.args.argv[2].len, 0);
    CHECK_EQ(frame_read_request(frame.body, &request, got, 2), STATUS_TOO_BIG);
    buf_deinit(&out);
}

TEST(frame_parse, needs_more_at_every_split)
{
    struct buf out;
    buf_init(&out, 4096);
    struct slice argv[] = {slice_str("GET"), slice_str("k")};
    write_request(&out, argv, 2);
    for (size_t len = 0; len < out.len; len++) {
        struct frame frame;
        size_t used = 0;
        CHECK_EQ(frame_parse(slice_of(out.data, len), 4096, &frame, &used), STATUS_AGAIN);
        CHECK_EQ(used, len < FRAME_HEADER_SIZE ? 0 : out.len);
    }
    buf_deinit(&out);
}

TEST(frame_parse, refuses_every_flipped_bit)
{
    struct buf out;
    buf_init(&out, 4096);
    struct slice argv[] = {slice_str("GET"), slice_str("k")};
    write_request(&out, argv, 2);
    for (size_t i = 0; i < out.len * 8; i++) {
        out.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        struct frame frame;
        size_t used = 0;
        CHECK(frame_parse(buf_slice(&out), 4096, &frame, &used) != STATUS_OK);
        out.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    buf_deinit(&out);
}

TEST(frame_parse, bounds_the_body_before_it_has_come)
{
    struct buf out;
    buf_init(&out, 4096);
    size_t offset = frame_begin(&out, FRAME_PEER, 0);
    buf_append(&out, (uint8_t[100]){0}, 100);
    frame_end(&out, offset);
    struct frame frame;
    size_t used = 0;
    struct slice head = slice_of(out.data, FRAME_HEADER_SIZE);
    CHECK_EQ(frame_parse(head, 99, &frame, &used), STATUS_TOO_BIG);
    CHECK_EQ(frame_parse(head, 100, &frame, &used), STATUS_AGAIN);
    buf_deinit(&out);
}

TEST(frame_read_request, an_exact_one_names_the_version_that_it_means)
{
    struct buf out;
    buf_init(&out, 4096);
    struct slice argv[] = {slice_str("DBSIZE")};
    struct frame_request request = {.id = 1, .shard = 2, .flags = REQUEST_EXACT, .ver = 77};
    request.args = (struct args){.argv = argv, .argc = 1};
    frame_write_request(&out, &request);
    struct slice body = slice_of(out.data + FRAME_HEADER_SIZE, out.len - FRAME_HEADER_SIZE);
    struct frame_request got;
    struct slice got_argv[4];
    CHECK_EQ(frame_read_request(body, &got, got_argv, 4), STATUS_OK);
    CHECK_EQ(got.ver, 77);
    CHECK_EQ(frame_read_request(slice_of(body.data, body.len - 8), &got, got_argv, 4),
             STATUS_PROTOCOL);
    buf_clear(&out);
    request.flags = 0; /* Then there is no such field. */
    frame_write_request(&out, &request);
    body = slice_of(out.data + FRAME_HEADER_SIZE, out.len - FRAME_HEADER_SIZE);
    CHECK_EQ(frame_read_request(body, &got, got_argv, 4), STATUS_OK);
    CHECK_EQ(got.ver, 0);
    buf_deinit(&out);
}

TEST(frame_read_request, refuses_every_truncated_body)
{
    struct buf out;
    buf_init(&out, 4096);
    struct slice argv[] = {slice_str("GET"), slice_str("k")};
    write_request(&out, argv, 2);
    struct slice body = slice_of(out.data + FRAME_HEADER_SIZE, out.len - FRAME_HEADER_SIZE);
    for (size_t len = 0; len < body.len; len++) {
        struct frame_request request;
        struct slice got[4];
        CHECK_EQ(frame_read_request(slice_of(body.data, len), &request, got, 4), STATUS_PROTOCOL);
    }
    buf_deinit(&out);
}

TEST(frame_hello, comes_back_and_refuses_unknown_roles)
{
    struct buf out;
    buf_init(&out, 4096);
    struct frame_hello hello = {.version = FRAME_VERSION,
                                .role = FRAME_ROLE_NODE,
                                .loops = 4,
                                .cluster = {1, 2, 3},
                                .node = 9,
                                .incarnation = 77};
    frame_write_hello(&out, &hello);
    struct slice body = slice_of(out.data + FRAME_HEADER_SIZE, out.len - FRAME_HEADER_SIZE);
    struct frame_hello got = {0};
    CHECK_EQ(frame_read_hello(body, &got), STATUS_OK);
    CHECK_EQ(got.loops, 4);
    CHECK_EQ(got.cluster[2], 3);
    CHECK_EQ(got.node, 9);
    CHECK_EQ(got.incarnation, 77);
    out.data[FRAME_HEADER_SIZE + 1] = 0;
    CHECK_EQ(frame_read_hello(body, &got), STATUS_PROTOCOL);
    buf_deinit(&out);
}

TEST(frame_part, comes_back_as_it_was_written)
{
    struct buf out;
    buf_init(&out, 4096);
    struct frame_part part = {.id = 7, .size = 10, .offset = 6, .bytes = slice_str("tail")};
    frame_write_part(&out, &part);
    struct frame frame;
    size_t used = 0;
    CHECK_EQ(frame_parse(buf_slice(&out), 4096, &frame, &used), STATUS_OK);
    CHECK_EQ(frame.type, FRAME_PART);
    struct frame_part got;
    CHECK_EQ(frame_read_part(frame.body, &got), STATUS_OK);
    CHECK_EQ(got.id, 7);
    CHECK_EQ(got.size, 10);
    CHECK_EQ(got.offset, 6);
    CHECK_BYTES(got.bytes, "tail");
    /* Nothing, and more than the whole. */
    CHECK_EQ(frame_read_part(slice_of(frame.body.data, 24), &got), STATUS_PROTOCOL);
    buf_clear(&out);
    part.offset = 7;
    frame_write_part(&out, &part);
    CHECK_EQ(frame_parse(buf_slice(&out), 4096, &frame, &used), STATUS_OK);
    CHECK_EQ(frame_read_part(frame.body, &got), STATUS_PROTOCOL);
    buf_deinit(&out);
}

TEST(frame_ref, comes_back_as_it_was_written)
{
    struct buf out;
    buf_init(&out, 4096);
    struct frame_ref ref = {.shard = 3, .id = UINT64_MAX};
    frame_write_ref(&out, FRAME_CANCEL, &ref);
    struct frame frame;
    size_t used = 0;
    CHECK_EQ(frame_parse(buf_slice(&out), 4096, &frame, &used), STATUS_OK);
    CHECK_EQ(frame.type, FRAME_CANCEL);
    struct frame_ref got;
    CHECK_EQ(frame_read_ref(frame.body, &got), STATUS_OK);
    CHECK(got.shard == 3 && got.id == UINT64_MAX);
    CHECK_EQ(got.frozen.len, 0);
    CHECK_EQ(frame_read_ref(slice_of(frame.body.data, 15), &got), STATUS_PROTOCOL);
    buf_clear(&out);
    ref.frozen = slice_str("ids");
    frame_write_ref(&out, FRAME_PARKED, &ref);
    CHECK_EQ(frame_parse(buf_slice(&out), 4096, &frame, &used), STATUS_OK);
    CHECK_EQ(frame_read_ref(frame.body, &got), STATUS_OK);
    CHECK(got.shard == 3 && got.id == UINT64_MAX);
    CHECK_BYTES(got.frozen, "ids");
    buf_deinit(&out);
}

TEST(wait_ref, comes_back_as_it_was_written)
{
    struct wait_ref ref = {.left_ms = UINT64_MAX, .parked = true};
    uint8_t bytes[WAIT_REF_SIZE + 1] = {0};
    wait_ref_encode(&ref, bytes);
    struct wait_ref got;
    CHECK(wait_ref_decode(slice_of(bytes, WAIT_REF_SIZE), &got));
    CHECK(got.left_ms == UINT64_MAX && got.parked);
    CHECK(!wait_ref_decode(slice_of(bytes, WAIT_REF_SIZE - 1), &got));
    CHECK_EQ(got.frozen.len, 0);
    uint8_t longer[WAIT_REF_SIZE + 2] = {0};
    memcpy(longer, bytes, WAIT_REF_SIZE);
    CHECK(wait_ref_decode(slice_of(longer, sizeof(longer)), &got));
    CHECK(got.parked && got.frozen.len == 2 && got.frozen.data == longer + WAIT_REF_SIZE);
    bytes[WAIT_REF_SIZE - 1] = 2;
    CHECK(!wait_ref_decode(slice_of(bytes, WAIT_REF_SIZE), &got));
}

TEST(stage_ref, comes_back_as_it_was_written)
{
    struct stage_ref ref = {.id = 1, .size = UINT64_MAX, .offset = 3};
    uint8_t bytes[STAGE_REF_SIZE];
    stage_ref_encode(&ref, bytes);
    struct stage_ref got;
    CHECK(stage_ref_decode(slice_of(bytes, sizeof(bytes)), &got));
    CHECK(got.id == 1 && got.size == UINT64_MAX && got.offset == 3);
    CHECK(!stage_ref_decode(slice_of(bytes, sizeof(bytes) - 1), &got));
}
