#include "client/bench/wire.h"
#include "common/proto/resp.h"
#include "tests/support/test.h"

static struct wire_options plain(enum wire_protocol protocol, enum wire_workload workload)
{
    return (struct wire_options){.protocol = protocol,
                                 .workload = workload,
                                 .dist = KEY_PICK_SEQUENTIAL,
                                 .keys = 1000,
                                 .value_size = 5,
                                 .keys_per_request = 3,
                                 .seed = 1};
}

/* Two requests of the workload, parsed by the server's own parser. */
static void check_request(enum wire_workload workload, const char *name, size_t argc)
{
    struct wire_options options = plain(WIRE_RESP, workload);
    struct wire *wire = wire_new(&options);
    struct wire_state state;
    struct buf out;
    buf_init(&out, 1 << 20);
    wire_begin(wire, &state, &out);
    wire_request(wire, &state, &out);
    wire_request(wire, &state, &out);
    struct resp_parser parser;
    resp_parser_init(&parser, 1 << 20);
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        struct args args;
        size_t used = 0;
        struct slice rest = slice_of(out.data + at, out.len - at);
        CHECK_EQ(resp_parse(&parser, rest, &args, &used), STATUS_OK);
        CHECK_EQ(args.argc, argc);
        CHECK_BYTES(args.argv[0], name);
        if (argc > 1 && i == 0) {
            CHECK_BYTES(args.argv[1],
                        workload == WIRE_INCR ? "cnt:000000000000" : "key:000000000000");
        }
        at += used;
    }
    CHECK_EQ(at, out.len);
    resp_parser_deinit(&parser);
    buf_deinit(&out);
    wire_free(wire);
}

TEST(wire_request, writes_commands_that_the_parser_reads)
{
    check_request(WIRE_SET, "SET", 3);
    check_request(WIRE_GET, "GET", 2);
    check_request(WIRE_INCR, "INCR", 2);
    check_request(WIRE_MSET, "MSET", 7);
    check_request(WIRE_MGET, "MGET", 4);
    check_request(WIRE_PING, "PING", 1);
}

TEST(wire_request, mixes_reads_and_writes_as_asked)
{
    struct wire_options options = plain(WIRE_RESP, WIRE_MIX);
    options.read_percent = 70;
    struct wire *wire = wire_new(&options);
    struct wire_state state = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    int reads = 0;
    for (int i = 0; i < 10000; i++) {
        buf_clear(&out);
        wire_request(wire, &state, &out);
        reads += out.data[1] == '2';
    }
    CHECK(reads > 6700 && reads < 7300);
    buf_deinit(&out);
    wire_free(wire);
}

static void check_reply(const char *bytes, bool failed, bool missing)
{
    struct wire_options options = plain(WIRE_RESP, WIRE_GET);
    struct wire *wire = wire_new(&options);
    struct wire_state state = {0};
    struct wire_reply reply;
    size_t used = 0;
    size_t len = strlen(bytes);
    for (size_t cut = 0; cut < len; cut++) {
        CHECK_EQ(wire_read(wire, &state, slice_of(bytes, cut), NULL, &reply, &used), STATUS_AGAIN);
    }
    CHECK_EQ(wire_read(wire, &state, slice_of(bytes, len), NULL, &reply, &used), STATUS_OK);
    CHECK_EQ(used, len);
    CHECK(reply.whole);
    CHECK_EQ(reply.failed, failed);
    CHECK_EQ(reply.missing, missing);
    if (failed) {
        CHECK_BYTES(reply.text, "ERR no");
    }
    wire_free(wire);
}

TEST(wire_read, tells_errors_nulls_and_values_apart)
{
    check_reply("+OK\r\n", false, false);
    check_reply("$3\r\nabc\r\n", false, false);
    check_reply("*2\r\n$1\r\na\r\n:5\r\n", false, false);
    check_reply("$-1\r\n", false, true);
    check_reply("_\r\n", false, true);
    check_reply("-ERR no\r\n", true, false);
}

static void add_frame(struct buf *in, uint8_t type, uint8_t flags, uint32_t stream, size_t len)
{
    uint8_t head[9] = {0, (uint8_t)(len >> 8), (uint8_t)len, type, flags};
    head[8] = (uint8_t)stream;
    buf_append(in, head, sizeof head);
    for (size_t i = 0; i < len; i++) {
        buf_append_u8(in, 0);
    }
}

/* Reads all frames; counts calls that ended and those of them that failed. */
static void read_frames(const struct buf *in, struct buf *out, int *ended, int *failed)
{
    struct wire_options options = plain(WIRE_ETCD, WIRE_SET);
    struct wire *wire = wire_new(&options);
    struct wire_state state = {0};
    size_t at = 0;
    while (at < in->len) {
        struct wire_reply reply;
        size_t used = 0;
        struct slice rest = slice_of(in->data + at, in->len - at);
        CHECK_EQ(wire_read(wire, &state, rest, out, &reply, &used), STATUS_OK);
        CHECK(used > 0);
        at += used;
        *ended += reply.whole;
        *failed += reply.failed;
    }
    wire_free(wire);
}

TEST(wire_read, takes_etcd_calls_that_are_interleaved)
{
    struct buf in;
    struct buf out;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    add_frame(&in, 4, 0, 0, 6);  /* SETTINGS: wants an answer. */
    add_frame(&in, 6, 0, 0, 8);  /* PING: wants an answer. */
    add_frame(&in, 1, 4, 1, 10); /* HEADERS of calls 1 and 3. */
    add_frame(&in, 1, 4, 3, 10);
    add_frame(&in, 0, 0, 1, 20); /* DATA of both. */
    add_frame(&in, 0, 0, 3, 20);
    add_frame(&in, 1, 5, 1, 5); /* Trailers of both. */
    add_frame(&in, 1, 5, 3, 5);
    add_frame(&in, 1, 5, 5, 30); /* Call 5: trailers alone, an error. */
    int ended = 0;
    int failed = 0;
    read_frames(&in, &out, &ended, &failed);
    CHECK_EQ(ended, 3);
    CHECK_EQ(failed, 1);
    CHECK_EQ(out.len, 9 + 9 + 8); /* Both answers. */
    CHECK_EQ(out.data[3], 4);
    CHECK_EQ(out.data[4], 1);
    CHECK_EQ(out.data[9 + 3], 6);
    CHECK_EQ(out.data[9 + 4], 1);
    buf_deinit(&in);
    buf_deinit(&out);
}

TEST(wire_request, numbers_etcd_streams_and_says_lengths_right)
{
    struct wire_options options = plain(WIRE_ETCD, WIRE_SET);
    struct wire *wire = wire_new(&options);
    struct wire_state state;
    struct buf out;
    buf_init(&out, 1 << 20);
    wire_begin(wire, &state, &out);
    for (unsigned stream = 1; stream <= 5; stream += 2) {
        buf_clear(&out);
        wire_request(wire, &state, &out);
        size_t headers = (size_t)out.data[1] << 8 | out.data[2];
        CHECK_EQ(out.data[8], stream);
        const uint8_t *data = out.data + 9 + headers;
        size_t len = (size_t)data[1] << 8 | data[2];
        CHECK_EQ(data[3], 0);
        CHECK_EQ(data[4], 1);
        CHECK_EQ(data[8], stream);
        /* gRPC's 5 bytes, key of 16, value of 5, two bytes before each. */
        CHECK_EQ(len, 5 + 2 + 16 + 2 + 5);
        CHECK_EQ(9 + headers + 9 + len, out.len);
    }
    buf_deinit(&out);
    wire_free(wire);
}

TEST(wire_find_workload, knows_its_own_names_only)
{
    for (int i = 0; i < WIRE_WORKLOAD_COUNT; i++) {
        enum wire_workload found = WIRE_WORKLOAD_COUNT;
        CHECK(wire_find_workload(wire_workload_name((enum wire_workload)i), &found));
        CHECK_EQ(found, i);
    }
    enum wire_workload untouched = WIRE_PING;
    CHECK(!wire_find_workload("sett", &untouched));
    CHECK_EQ(untouched, WIRE_PING);
}
