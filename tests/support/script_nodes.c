#include "tests/support/script_nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"
#include "common/cluster/shard_news.h"
#include "common/cluster/token.h"
#include "tests/support/test.h"

enum { OUT_SIZE_MAX = 1 << 24 };

static uint64_t now_ms(void *ctx)
{
    const struct script *script = ctx;
    return script->now_ms;
}

static struct buf *send_to(void *ctx, unsigned link)
{
    struct script *script = ctx;
    CHECK(link < SCRIPT_LINKS_MAX && script->links[link].used);
    struct script_link *to = &script->links[link];
    return to->up && !to->full ? &to->out : NULL;
}

static void on_connect(void *ctx, unsigned link, const char *address)
{
    struct script *script = ctx;
    CHECK(link < SCRIPT_LINKS_MAX && !script->links[link].used);
    struct script_link *to = &script->links[link];
    *to = (struct script_link){.used = true};
    (void)snprintf(to->address, sizeof(to->address), "%s", address);
    CHECK_EQ(sscanf(address, "n%" SCNu64 ":1", &to->node), 1);
    buf_init(&to->out, OUT_SIZE_MAX);
}

static void on_disconnect(void *ctx, unsigned link)
{
    struct script *script = ctx;
    CHECK(link < SCRIPT_LINKS_MAX && script->links[link].used);
    buf_deinit(&script->links[link].out);
    script->links[link] = (struct script_link){0};
}

static void save_map(void *ctx, struct slice bytes)
{
    struct script *script = ctx;
    buf_clear(&script->saved);
    buf_append_slice(&script->saved, bytes);
    script->saves++;
}

static void make_map(struct shard_map *map, uint64_t nodes, uint64_t shards)
{
    shard_map_init(map);
    memset(map->cluster, 0xC1, sizeof(map->cluster));
    map->version = 10;
    map->replicas = 3;
    map->node_count = nodes;
    map->nodes = calloc(nodes + 1, sizeof(*map->nodes));
    map->shard_count = shards;
    map->shards = calloc(shards + 1, sizeof(*map->shards));
    CHECK(map->nodes != NULL && map->shards != NULL);
    for (uint64_t i = 0; i < nodes; i++) {
        map->nodes[i].id = i + 1;
        (void)snprintf(map->nodes[i].address, sizeof(map->nodes[i].address), "n%" PRIu64 ":1",
                       i + 1);
    }
    uint64_t step = UINT64_MAX / shards + 1; /* 0 for one shard: the whole ring. */
    for (uint64_t i = 0; i < shards; i++) {
        struct shard_desc *shard = &map->shards[i];
        *shard = (struct shard_desc){.id = SHARD_FIRST + i, .start = i * step, .ver = 1};
        shard->last = i + 1 == shards ? UINT64_MAX : (i + 1) * step - 1;
        shard->replica_count = nodes < 3 ? (unsigned)nodes : 3;
        for (unsigned j = 0; j < shard->replica_count; j++) {
            shard->replicas[j] =
                (struct replica_desc){.id = 100 * shard->id + j, .node = (i + j) % nodes + 1};
        }
    }
    CHECK_EQ(shard_map_check(map), STATUS_OK);
}

void script_open(struct script *script, const struct script_setup *setup)
{
    *script = (struct script){.now_ms = 1000 * 1000};
    buf_init(&script->saved, 1 << 24);
    make_map(&script->map, setup->nodes, setup->shards);
    struct core_env env = {.ctx = script,
                           .now_ms = now_ms,
                           .send = send_to,
                           .connect = on_connect,
                           .disconnect = on_disconnect,
                           .save_map = save_map};
    struct buf map;
    buf_init(&map, 1 << 24);
    shard_map_encode(&script->map, &map);
    const char *seeds[] = {"n1:1"};
    struct core_options options = {.seed = 7,
                                   .session = 0x5E5510,
                                   .lane_parts_max = setup->lane_parts_max,
                                   .seeds = seeds,
                                   .seed_count = setup->seeds ? 1 : 0};
    if (setup->map_saved) {
        options.saved_map = buf_slice(&map);
    }
    script->core = core_new(&options, &env);
    buf_deinit(&map);
}

void script_open_led(struct script *script, uint64_t shards)
{
    struct script_setup setup = {.nodes = 3, .shards = shards, .map_saved = true};
    script_open(script, &setup);
    for (uint64_t node = 1; node <= 3; node++) {
        script_up(script, node);
    }
    for (uint64_t i = 0; i < shards; i++) {
        script_lead(script, 1, SHARD_FIRST + i, 5, 1);
    }
}

void script_close(struct script *script)
{
    core_free(script->core);
    shard_map_deinit(&script->map);
    buf_deinit(&script->saved);
    for (unsigned i = 0; i < SCRIPT_LINKS_MAX; i++) {
        CHECK(!script->links[i].used);
    }
}

static struct script_link *find_link(const struct script *script, uint64_t node)
{
    for (unsigned i = 0; i < SCRIPT_LINKS_MAX; i++) {
        if (script->links[i].used && script->links[i].node == node) {
            return (struct script_link *)(uintptr_t)&script->links[i];
        }
    }
    return NULL;
}

struct script_link *script_link(struct script *script, uint64_t node)
{
    struct script_link *link = find_link(script, node);
    CHECK(link != NULL);
    return link;
}

bool script_dials(const struct script *script, uint64_t node)
{
    return find_link(script, node) != NULL;
}

static unsigned number_of(struct script *script, uint64_t node)
{
    return (unsigned)(script_link(script, node) - script->links);
}

void script_up(struct script *script, uint64_t node)
{
    struct script_link *link = script_link(script, node);
    CHECK(!link->up);
    link->up = true;
    struct frame_hello hello = {
        .version = FRAME_VERSION, .role = FRAME_ROLE_NODE, .loops = 1, .node = node};
    memcpy(hello.cluster, script->map.cluster, sizeof(hello.cluster));
    core_link_up(script->core, number_of(script, node), &hello);
}

void script_down(struct script *script, uint64_t node)
{
    struct script_link *link = script_link(script, node);
    CHECK(link->up);
    link->up = false;
    buf_clear(&link->out);
    core_link_down(script->core, number_of(script, node));
}

void script_advance(struct script *script, uint64_t ms)
{
    uint64_t end_ms = script->now_ms + ms;
    for (;;) {
        uint64_t next_ms = core_next_ms(script->core);
        if (next_ms > end_ms) {
            break;
        }
        script->now_ms = next_ms > script->now_ms ? next_ms : script->now_ms;
        core_tick(script->core);
        if (core_next_ms(script->core) <= script->now_ms) {
            script->now_ms++; /* No more than one tick a millisecond. */
        }
    }
    script->now_ms = end_ms > script->now_ms ? end_ms : script->now_ms;
}

/* Takes the first frame off; false if there is none. */
static bool take_frame(struct script_link *link, struct frame *frame, size_t *size)
{
    if (link->out.len == 0) {
        return false;
    }
    CHECK_EQ(frame_parse(buf_slice(&link->out), FRAME_BODY_SIZE_MAX, frame, size), STATUS_OK);
    return true;
}

bool script_take(struct script *script, uint64_t node, struct script_request *request)
{
    struct script_link *link = script_link(script, node);
    struct frame frame;
    size_t size = 0;
    while (take_frame(link, &frame, &size)) {
        if (frame.type == FRAME_REQUEST) {
            CHECK(frame.body.len <= sizeof(request->text));
            memcpy(request->text, frame.body.data, frame.body.len);
            struct slice body = slice_of(request->text, frame.body.len);
            CHECK_EQ(frame_read_request(body, &request->frame, request->argv, SCRIPT_ARGS_MAX),
                     STATUS_OK);
            buf_consume(&link->out, size);
            return true;
        }
        CHECK_EQ(frame.type, FRAME_SUBSCRIBE);
        buf_consume(&link->out, size);
    }
    return false;
}

void script_expect(struct script *script, uint64_t node, struct script_request *request)
{
    CHECK(script_take(script, node, request));
}

bool script_subscribed(struct script *script, uint64_t node)
{
    struct script_link *link = script_link(script, node);
    struct frame frame;
    size_t size = 0;
    if (!take_frame(link, &frame, &size) || frame.type != FRAME_SUBSCRIBE) {
        return false;
    }
    struct reader in = reader_of(frame.body);
    CHECK_EQ(reader_u64(&in), core_map(script->core)->version);
    CHECK(reader_done(&in));
    buf_consume(&link->out, size);
    return true;
}

static void deliver(struct script *script, uint64_t node, enum frame_type type, struct slice body)
{
    struct frame frame = {.type = type, .body = body};
    CHECK_EQ(core_frame(script->core, number_of(script, node), &frame), STATUS_OK);
}

static void answer_bytes(
    struct script *script, uint64_t node, uint64_t id, enum status status, struct slice bytes)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_append_u64(&body, id);
    buf_append_u8(&body, (uint8_t)status);
    buf_append_slice(&body, bytes);
    deliver(script, node, FRAME_REPLY, buf_slice(&body));
    buf_deinit(&body);
}

void script_answer(struct script *script,
                   uint64_t node,
                   const struct script_request *request,
                   enum status status,
                   const char *body)
{
    answer_bytes(script, node, request->frame.id, status, slice_str(body));
}

void script_answer_bytes(struct script *script,
                         uint64_t node,
                         const struct script_request *request,
                         enum status status,
                         struct slice body)
{
    answer_bytes(script, node, request->frame.id, status, body);
}

void script_park(struct script *script, uint64_t node, const struct script_request *request)
{
    script_park_as(script, node, request, slice_of(NULL, 0));
}

void script_park_as(struct script *script,
                    uint64_t node,
                    const struct script_request *request,
                    struct slice frozen)
{
    struct buf out;
    buf_init(&out, 256);
    struct frame_ref ref = {
        .shard = request->frame.shard, .id = request->frame.id, .frozen = frozen};
    frame_write_ref(&out, FRAME_PARKED, &ref);
    struct frame frame;
    size_t size = 0;
    CHECK_EQ(frame_parse(buf_slice(&out), 256, &frame, &size), STATUS_OK);
    deliver(script, node, FRAME_PARKED, frame.body);
    buf_deinit(&out);
}

bool script_cancelled(struct script *script, uint64_t node, struct frame_ref *ref)
{
    struct script_link *link = script_link(script, node);
    struct frame frame;
    size_t size = 0;
    if (!take_frame(link, &frame, &size) || frame.type != FRAME_CANCEL) {
        return false;
    }
    CHECK_EQ(frame_read_ref(frame.body, ref), STATUS_OK);
    buf_consume(&link->out, size);
    return true;
}

void script_redirect(struct script *script,
                     uint64_t node,
                     const struct script_request *request,
                     uint64_t term,
                     uint64_t leader)
{
    struct buf hint;
    buf_init(&hint, 64);
    struct leader_hint bytes = {.shard = request->frame.shard, .term = term, .node = leader};
    leader_hint_encode(&bytes, &hint);
    answer_bytes(script, node, request->frame.id, STATUS_NOT_LEADER, buf_slice(&hint));
    buf_deinit(&hint);
}

void script_lead(struct script *script, uint64_t via, uint64_t shard, uint64_t term, uint64_t node)
{
    script_lead_with(script, via, shard, term, node, 3);
}

void script_lead_with(struct script *script,
                      uint64_t via,
                      uint64_t shard,
                      uint64_t term,
                      uint64_t node,
                      uint64_t voters)
{
    struct buf body;
    buf_init(&body, 64);
    struct leader_hint hint = {.shard = shard, .term = term, .node = node, .voters = voters};
    leader_hint_encode(&hint, &body);
    deliver(script, via, FRAME_LEADERS, buf_slice(&body));
    buf_deinit(&body);
}

void script_send_map(struct script *script, uint64_t via)
{
    struct buf body;
    buf_init(&body, 1 << 24);
    shard_map_encode(&script->map, &body);
    deliver(script, via, FRAME_MAP, buf_slice(&body));
    buf_deinit(&body);
}

void script_split(struct script *script, size_t position, uint64_t id)
{
    struct shard_map *map = &script->map;
    map->shards = realloc(map->shards, (map->shard_count + 1) * sizeof(*map->shards));
    CHECK(map->shards != NULL && position < map->shard_count);
    struct shard_desc *low = &map->shards[position];
    memmove(low + 1, low, (map->shard_count - position) * sizeof(*low));
    map->shard_count++;
    map->version++;
    uint64_t middle = low->start + (low->last - low->start) / 2;
    low[0].last = middle;
    low[0].ver++;
    low[1].start = middle + 1;
    low[1].ver = low[0].ver;
    low[1].id = id;
    low[1].parent = low[0].id;
    CHECK_EQ(shard_map_check(map), STATUS_OK);
}

void script_merge(struct script *script, size_t position, uint64_t id)
{
    struct shard_map *map = &script->map;
    CHECK(position + 1 < map->shard_count);
    struct shard_desc *low = &map->shards[position];
    struct shard_desc all = low[0].id == id ? low[0] : low[1];
    CHECK_EQ(all.id, id);
    all.start = low[0].start;
    all.last = low[1].last;
    all.ver = (low[0].ver > low[1].ver ? low[0].ver : low[1].ver) + 1;
    *low = all;
    memmove(low + 1, low + 2, (map->shard_count - position - 2) * sizeof(*low));
    map->shard_count--;
    map->version++;
    CHECK_EQ(shard_map_check(map), STATUS_OK);
}

static void write_news(const struct script *script, size_t from, size_t to, struct buf *body)
{
    struct shard_news news = {0};
    CHECK(from <= to && to < script->map.shard_count);
    for (size_t i = from; i <= to; i++) {
        shard_news_add(&news, &script->map.shards[i], NULL);
    }
    shard_news_encode(&news, body);
}

void script_disown(struct script *script,
                   uint64_t node,
                   const struct script_request *request,
                   enum status status,
                   const size_t positions[2])
{
    struct buf body;
    buf_init(&body, 1 << 16);
    write_news(script, positions[0], positions[1], &body);
    answer_bytes(script, node, request->frame.id, status, buf_slice(&body));
    buf_deinit(&body);
}

void script_send_descs(struct script *script, uint64_t via, size_t from, size_t to)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    write_news(script, from, to, &body);
    deliver(script, via, FRAME_DESCS, buf_slice(&body));
    buf_deinit(&body);
}

static void on_done(struct core_request *request, struct slice reply)
{
    static uint64_t order;
    struct script_client *client =
        (struct script_client *)(void *)((char *)request - offsetof(struct script_client, request));
    order++;
    client->done++;
    client->done_order = order;
    buf_append_slice(&client->reply, reply);
}

void script_make(struct script_client *client, const char *line)
{
    *client = (struct script_client){0};
    buf_init(&client->reply, 1 << 20);
    size_t count = 0;
    for (const char *at = line; *at != '\0';) {
        size_t len = strcspn(at, " ");
        CHECK(count < SCRIPT_ARGS_MAX && len < SCRIPT_TEXT_SIZE);
        memcpy(client->words[count], at, len);
        client->argv[count] = slice_of(client->words[count], len);
        count++;
        at += len + (at[len] == ' ' ? 1 : 0);
    }
    client->request.args = (struct args){.argv = client->argv, .argc = count};
    client->request.command = command_find(client->argv[0]);
    CHECK(client->request.command != NULL);
    CHECK_EQ(command_check(client->request.command, count), STATUS_OK);
    client->request.on_done = on_done;
}

void script_run(struct script *script, struct script_client *client, const char *line)
{
    script_make(client, line);
    core_execute(script->core, &client->request);
}

void script_client_free(struct script_client *client)
{
    buf_deinit(&client->reply);
}

bool script_replied(const struct script_client *client, const char *reply)
{
    return client->done == 1 && slice_equal(buf_slice(&client->reply), slice_str(reply));
}

bool script_failed(const struct script_client *client, const char *code)
{
    size_t len = strlen(code);
    return client->done == 1 && client->reply.len > len + 1 && client->reply.data[0] == '-' &&
           memcmp(client->reply.data + 1, code, len) == 0;
}

void script_key(const struct script *script, size_t position, int nth, char *text)
{
    const struct shard_desc *shard = &script->map.shards[position];
    for (int i = 0;; i++) {
        (void)snprintf(text, SCRIPT_TEXT_SIZE, "k%d", i);
        uint64_t token = token_of_key(slice_str(text));
        if (token >= shard->start && token <= shard->last && nth-- == 0) {
            return;
        }
    }
}
