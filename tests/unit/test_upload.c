#include "router/upload.h"

#include <stdio.h>

#include "tests/support/script_nodes.h"
#include "tests/support/test.h"

enum { SIZE = 3 * UPLOAD_PIECE_SIZE + 1 };

struct caller {
    struct core_request request;
    struct slice argv[4];
    struct buf value;
    struct buf reply;
    unsigned done;
};

static void on_done(struct core_request *request, struct slice reply)
{
    struct caller *caller = (struct caller *)(void *)request;
    caller->done++;
    buf_append_slice(&caller->reply, reply);
}

static void begin(struct script *script, struct caller *caller)
{
    script_open_led(script, 1);
    *caller = (struct caller){0};
    buf_init(&caller->value, 1 << 24);
    buf_init(&caller->reply, 1 << 10);
    for (size_t i = 0; i < SIZE; i++) {
        buf_append_u8(&caller->value, (uint8_t)(i / 1000));
    }
    caller->argv[0] = slice_str("SETEX");
    caller->argv[1] = slice_str("key");
    caller->argv[2] = slice_str("10");
    caller->argv[3] = buf_slice(&caller->value);
    caller->request.command = command_find(caller->argv[0]);
    caller->request.args = (struct args){.argv = caller->argv, .argc = 4};
    caller->request.on_done = on_done;
    CHECK(upload_wanted(&caller->request));
    upload_execute(script->core, &caller->request);
}

static void end(struct script *script, struct caller *caller)
{
    buf_deinit(&caller->value);
    buf_deinit(&caller->reply);
    script_close(script);
}

/* Takes the next request off the link of node 1; it borrows from bytes. */
static bool take(struct script *script,
                 struct buf *bytes,
                 struct frame_request *request,
                 struct slice *argv)
{
    struct script_link *link = script_link(script, 1);
    struct frame frame;
    size_t size = 0;
    while (frame_parse(buf_slice(&link->out), FRAME_BODY_SIZE_MAX, &frame, &size) == STATUS_OK) {
        buf_clear(bytes);
        buf_append_slice(bytes, frame.body);
        buf_consume(&link->out, size);
        if (frame.type == FRAME_REQUEST) {
            CHECK_EQ(frame_read_request(buf_slice(bytes), request, argv, SCRIPT_ARGS_MAX),
                     STATUS_OK);
            return true;
        }
    }
    return false;
}

static void answer(struct script *script, uint64_t id, const char *text)
{
    struct script_request request = {.frame = {.id = id}};
    script_answer(script, 1, &request, STATUS_OK, text);
}

/* Answers pieces until there is none; returns how many bytes they had. */
static size_t answer_pieces(struct script *script,
                            const struct caller *caller,
                            struct buf *bytes,
                            struct frame_request *request,
                            struct slice *argv)
{
    size_t at = 0;
    uint64_t id = 0;
    uint64_t seq = 0;
    while (take(script, bytes, request, argv) && (request->flags & REQUEST_PIECE) != 0) {
        struct stage_ref ref;
        CHECK_EQ(request->args.argc, 4);
        CHECK_BYTES(argv[0], "set");
        CHECK_BYTES(argv[1], "key");
        CHECK(stage_ref_decode(argv[3], &ref));
        CHECK(ref.size == SIZE && ref.offset == at && (id == 0 || ref.id == id));
        CHECK(request->seq > seq && request->session != 0);
        CHECK(slice_equal(argv[2], slice_of(caller->value.data + at, argv[2].len)));
        id = ref.id;
        seq = request->seq;
        at += argv[2].len;
        answer(script, request->id, "+OK\r\n");
    }
    return at;
}

TEST(upload_execute, sends_the_pieces_and_then_the_command)
{
    struct script script;
    struct caller caller;
    begin(&script, &caller);
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    struct frame_request request;
    struct slice argv[SCRIPT_ARGS_MAX];
    CHECK_EQ(answer_pieces(&script, &caller, &bytes, &request, argv), SIZE);
    CHECK_EQ(request.flags & (REQUEST_STAGED | REQUEST_PIECE), REQUEST_STAGED);
    CHECK_EQ(request.args.argc, 5);
    CHECK_BYTES(argv[0], "SETEX");
    CHECK_BYTES(argv[2], "10");
    CHECK_EQ(argv[3].len, 0);
    struct stage_ref ref;
    CHECK(stage_ref_decode(argv[4], &ref) && ref.size == SIZE);
    CHECK_EQ(caller.done, 0);
    answer(&script, request.id, "+OK\r\n");
    CHECK_EQ(caller.done, 1);
    CHECK_BYTES(buf_slice(&caller.reply), "+OK\r\n");
    buf_deinit(&bytes);
    end(&script, &caller);
}

TEST(upload_execute, ends_with_the_first_error)
{
    struct script script;
    struct caller caller;
    begin(&script, &caller);
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    struct frame_request request;
    struct slice argv[SCRIPT_ARGS_MAX];
    CHECK(take(&script, &bytes, &request, argv));
    answer(&script, request.id, "-TRYAGAIN no\r\n");
    while (caller.done == 0 && take(&script, &bytes, &request, argv)) {
        CHECK((request.flags & REQUEST_PIECE) != 0);
        answer(&script, request.id, "-ERR another\r\n");
    }
    CHECK_EQ(caller.done, 1);
    CHECK_BYTES(buf_slice(&caller.reply), "-TRYAGAIN no\r\n");
    CHECK(!take(&script, &bytes, &request, argv));
    buf_deinit(&bytes);
    end(&script, &caller);
}

TEST(upload_execute, says_that_nothing_was_changed_when_nobody_answers)
{
    struct script script;
    struct caller caller;
    begin(&script, &caller);
    script_advance(&script, 2 * CORE_DEADLINE_MS_DEFAULT);
    CHECK_EQ(caller.done, 1);
    CHECK(caller.reply.len > 8 && memcmp(caller.reply.data, "-TIMEOUT", 8) == 0);
    end(&script, &caller);
}

TEST(upload_wanted, is_for_large_values_of_few_commands)
{
    struct slice argv[] = {slice_str("SET"), slice_str("k"), slice_of(NULL, UPLOAD_SIZE_MIN)};
    struct core_request request = {.command = command_find(argv[0]),
                                   .args = {.argv = argv, .argc = 3}};
    CHECK(!upload_wanted(&request));
    argv[2].len++;
    CHECK(upload_wanted(&request));
    request.command = command_find(slice_str("APPEND"));
    CHECK(!upload_wanted(&request));
}

static void send_piece(
    struct script *script, uint64_t id, uint64_t size, uint64_t offset, const char *text)
{
    struct buf out;
    buf_init(&out, 1 << 10);
    struct frame_part part = {.id = id, .size = size, .offset = offset, .bytes = slice_str(text)};
    frame_write_part(&out, &part);
    struct frame frame;
    size_t used = 0;
    CHECK_EQ(frame_parse(buf_slice(&out), 1 << 10, &frame, &used), STATUS_OK);
    for (unsigned i = 0; i < SCRIPT_LINKS_MAX; i++) {
        if (&script->links[i] == script_link(script, 1)) {
            CHECK_EQ(core_frame(script->core, i, &frame), STATUS_OK);
        }
    }
    buf_deinit(&out);
}

TEST(core_frame, puts_a_reply_together_from_its_pieces)
{
    struct script script;
    script_open_led(&script, 1);
    struct script_client client;
    script_run(&script, &client, "GET key");
    struct script_request request;
    script_expect(&script, 1, &request);
    uint64_t id = request.frame.id;
    send_piece(&script, id, 11, 4, "lost"); /* Not the first. */
    send_piece(&script, id, 11, 0, "$5\r\n");
    send_piece(&script, id, 11, 0, "$5\r\nv");                 /* Begun anew. */
    send_piece(&script, id + (UINT64_C(1) << 32), 11, 5, "x"); /* Another request's. */
    send_piece(&script, id, 11, 5, "alue");
    CHECK_EQ(client.done, 0);
    send_piece(&script, id, 11, 9, "\r\n");
    CHECK(script_replied(&client, "$5\r\nvalue\r\n"));
    send_piece(&script, id, 11, 0, "$5\r\nv"); /* Too late. */
    script_client_free(&client);
    script_close(&script);
}

TEST(core_tick, does_not_ask_another_while_the_node_sends_anything)
{
    struct script script;
    script_open_led(&script, 2);
    struct script_client slow;
    struct script_client quick;
    char line[SCRIPT_TEXT_SIZE + 8];
    char key[SCRIPT_TEXT_SIZE];
    script_key(&script, 0, 0, key);
    (void)snprintf(line, sizeof(line), "get %s", key);
    script_run(&script, &slow, line);
    struct script_request request;
    script_expect(&script, 1, &request);
    script_key(&script, 1, 0, key);
    (void)snprintf(line, sizeof(line), "get %s", key);
    for (int i = 0; i < 8; i++) {
        script_advance(&script, CORE_TRY_MS_DEFAULT - 1);
        script_run(&script, &quick, line);
        struct script_request other;
        script_expect(&script, 1, &other);
        script_answer(&script, 1, &other, STATUS_OK, "$1\r\nx\r\n");
        CHECK(script_replied(&quick, "$1\r\nx\r\n"));
        script_client_free(&quick);
        CHECK(!script_take(&script, 2, &other) && !script_take(&script, 3, &other));
    }
    script_answer(&script, 1, &request, STATUS_OK, "$1\r\ny\r\n");
    CHECK(script_replied(&slow, "$1\r\ny\r\n"));
    script_client_free(&slow);
    script_close(&script);
}

static const char missing[] = "-" STAGE_MISSING " (it took too long); nothing was changed\r\n";

TEST(upload_execute, begins_anew_where_the_pieces_are_not)
{
    struct script script;
    struct caller caller;
    begin(&script, &caller);
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    struct frame_request request;
    struct slice argv[SCRIPT_ARGS_MAX];
    struct stage_ref ref;
    for (unsigned i = 0; i < 4; i++) { /* The shard is split behind the first. */
        CHECK(take(&script, &bytes, &request, argv));
        CHECK(stage_ref_decode(argv[3], &ref) && ref.offset == i * UPLOAD_PIECE_SIZE);
        answer(&script, request.id, i == 0 ? "+OK\r\n" : missing);
    }
    uint64_t id = ref.id;
    CHECK_EQ(caller.done, 0);
    CHECK_EQ(answer_pieces(&script, &caller, &bytes, &request, argv), SIZE);
    CHECK_EQ(request.flags & (REQUEST_STAGED | REQUEST_PIECE), REQUEST_STAGED);
    CHECK(stage_ref_decode(argv[4], &ref) && ref.id != id);
    answer(&script, request.id, "+OK\r\n");
    CHECK_EQ(caller.done, 1);
    CHECK(slice_equal(buf_slice(&caller.reply), slice_str("+OK\r\n")));
    buf_deinit(&bytes);
    end(&script, &caller);
}

TEST(upload_execute, sends_all_pieces_again_if_the_command_misses_them)
{
    struct script script;
    struct caller caller;
    begin(&script, &caller);
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    struct frame_request request;
    struct slice argv[SCRIPT_ARGS_MAX];
    for (unsigned round = 1; round <= UPLOAD_ROUNDS_MAX; round++) {
        CHECK_EQ(caller.done, 0);
        CHECK_EQ(answer_pieces(&script, &caller, &bytes, &request, argv), SIZE);
        CHECK_EQ(request.flags & (REQUEST_STAGED | REQUEST_PIECE), REQUEST_STAGED);
        answer(&script, request.id, missing);
    }
    CHECK_EQ(caller.done, 1);
    CHECK(slice_equal(buf_slice(&caller.reply), slice_str(missing)));
    buf_deinit(&bytes);
    end(&script, &caller);
}
