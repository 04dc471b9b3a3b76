#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "router/core.h"
#include "router/fanout.h"
#include "router/route.h"

/* Routes arbitrary commands, merges arbitrary replies, and hands a core arbitrary frames of a node.
 * The first byte chooses. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARGS_MAX = 16, SHARDS = 5, OUT_SIZE_MAX = 1 << 24, PARTS_MAX = 4 };

static void make_map(struct shard_map *map)
{
    shard_map_init(map);
    map->version = 1;
    map->node_count = 1;
    map->nodes = calloc(1, sizeof(*map->nodes));
    map->shard_count = SHARDS;
    map->shards = calloc(SHARDS, sizeof(*map->shards));
    assert(map->nodes != NULL && map->shards != NULL);
    map->nodes[0] = (struct node_desc){.id = 1, .address = "n:1"};
    uint64_t step = UINT64_MAX / SHARDS;
    for (uint64_t i = 0; i < SHARDS; i++) {
        struct shard_desc *shard = &map->shards[i];
        *shard = (struct shard_desc){.id = i + 2, .start = i * step, .replica_count = 1};
        shard->last = i + 1 == SHARDS ? UINT64_MAX : (i + 1) * step - 1;
        shard->replicas[0] = (struct replica_desc){.id = 9, .node = 1};
    }
}

/* Length-prefixed words (one byte) from the input. */
static size_t take_words(struct reader *in, struct slice *words, size_t words_max)
{
    size_t count = 0;
    while (count < words_max && in->rest.len > 0) {
        uint8_t len = reader_u8(in);
        struct slice word = reader_raw(in, len < in->rest.len ? len : in->rest.len);
        words[count] = word;
        count++;
    }
    return count;
}

static void fuzz_plan(struct reader *in)
{
    const struct command *command = command_at(reader_u8(in) % CMD_COUNT);
    uint8_t db = reader_u8(in) % 16;
    struct slice argv[ARGS_MAX];
    size_t argc = take_words(in, argv + 1, ARGS_MAX - 1) + 1;
    argv[0] = slice_str(command->name);
    struct args args = {.argv = argv, .argc = argc};
    if ((command->flags & CMD_FRONT) != 0 || command_check(command, argc) != STATUS_OK) {
        return;
    }
    struct shard_map map;
    struct route route;
    struct buf error;
    make_map(&map);
    route_init(&route);
    buf_init(&error, OUT_SIZE_MAX);
    enum status status = route_plan(&route, command, &args, db, &map, &error);
    assert(status == STATUS_OK || error.len > 0);
    size_t keys = 0;
    for (size_t i = 0; status == STATUS_OK && route.shape == ROUTE_SPREAD && i < route.share_count;
         i++) {
        assert(route.shares[i].shard < SHARDS && route.shares[i].key_from == keys);
        keys += route.shares[i].key_count;
    }
    for (size_t i = 0; i < keys; i++) {
        assert(route.keys[i] > 0 && route.keys[i] < argc);
    }
    buf_deinit(&error);
    route_deinit(&route);
    shard_map_deinit(&map);
}

static void fuzz_merge(struct reader *in)
{
    static const uint32_t keys[PARTS_MAX][2] = {{1, 5}, {2, 6}, {3, 7}, {4, 8}};
    const struct command *command = command_at(reader_u8(in) % CMD_COUNT);
    struct slice replies[PARTS_MAX];
    size_t count = take_words(in, replies, PARTS_MAX);
    struct fanout_part parts[PARTS_MAX];
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct fanout_part){.reply = replies[i], .keys = keys[i], .key_count = 2};
    }
    struct buf out;
    buf_init(&out, OUT_SIZE_MAX);
    bool one = command->merge == MERGE_NONE || command->merge == MERGE_ANY;
    if (command->merge == MERGE_SCAN && count > 0) {
        fanout_scan(replies[0], 99, &out);
    } else if (!one && command->merge != MERGE_SCAN && count == PARTS_MAX) {
        fanout_merge(command, parts, count, &out);
        assert(out.len > 0);
    }
    buf_deinit(&out);
}

static struct buf link_out;
static uint64_t now_ms;

static uint64_t get_now(void *ctx)
{
    (void)ctx;
    return now_ms;
}

static struct buf *get_out(void *ctx, unsigned link)
{
    (void)ctx;
    (void)link;
    buf_clear(&link_out);
    return &link_out;
}

static void ignore_connect(void *ctx, unsigned link, const char *address)
{
    (void)ctx;
    (void)link;
    (void)address;
}

static void ignore_disconnect(void *ctx, unsigned link)
{
    (void)ctx;
    (void)link;
}

static void on_done(struct core_request *request, struct slice reply)
{
    assert(reply.len > 0);
    request->on_done = NULL;
}

static void fuzz_frames(struct reader *in)
{
    struct shard_map map;
    struct buf saved;
    make_map(&map);
    buf_init(&saved, OUT_SIZE_MAX);
    buf_init(&link_out, OUT_SIZE_MAX);
    shard_map_encode(&map, &saved);
    struct core_env env = {.now_ms = get_now,
                           .send = get_out,
                           .connect = ignore_connect,
                           .disconnect = ignore_disconnect};
    struct core_options options = {.seed = 1, .session = 1, .saved_map = buf_slice(&saved)};
    now_ms = 1000;
    struct core *core = core_new(&options, &env);
    struct frame_hello hello = {.version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .node = 1};
    core_link_up(core, 0, &hello);
    const struct slice get[] = {slice_str("mget"), slice_str("a"), slice_str("b"), slice_str("c")};
    struct core_request request = {.command = command_find(get[0]), .on_done = on_done};
    request.args = (struct args){.argv = get, .argc = 4};
    core_execute(core, &request);
    struct slice words[ARGS_MAX];
    size_t count = take_words(in, words, ARGS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct frame frame = {.body = words[i]};
        if (words[i].len > 0) {
            frame.type = (enum frame_type)(words[i].data[0] % FRAME_TYPE_COUNT);
            frame.body = slice_of(words[i].data + 1, words[i].len - 1);
        }
        enum status status = core_frame(core, 0, &frame);
        assert(status == STATUS_OK || status == STATUS_PROTOCOL);
        now_ms += 50;
        core_tick(core);
    }
    core_free(core);
    buf_deinit(&link_out);
    buf_deinit(&saved);
    shard_map_deinit(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_level(LOG_ERROR);
    struct reader in = reader_of(slice_of(data, size));
    uint8_t what = reader_u8(&in) % 3;
    if (what == 0) {
        fuzz_plan(&in);
    } else if (what == 1) {
        fuzz_merge(&in);
    } else {
        fuzz_frames(&in);
    }
    return 0;
}
