/* `shards`: one row per shard. */

#include <inttypes.h>

#include "client/admin/ask.h"
#include "client/admin/grid.h"

static const char *const heads[] = {"ID",     "START", "LAST",   "VER",
                                    "LEADER", "TERM",  "VOTERS", "REPLICAS"};
enum { HEAD_COUNT = sizeof heads / sizeof heads[0] };

/* A token: 16 hexadecimal digits, however it was sent. */
static void add_token(struct grid *grid, const struct sherd_reply *token)
{
    char text[ASK_TEXT_SIZE];
    if (token != NULL && token->type == SHERD_INTEGER) {
        snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)token->integer);
    } else {
        ask_text(token, text, sizeof text);
    }
    grid_add(grid, text);
}

/* "17@2": replica 17 on node 2; a star marks the node that leads. */
static void add_replicas(struct grid *grid, const struct sherd_reply *shard, const char *leader)
{
    const struct sherd_reply *replicas = sherd_reply_field(shard, "replicas");
    char text[ASK_TEXT_SIZE] = "";
    size_t at = 0;
    for (size_t i = 0; replicas != NULL && i < replicas->count && at < sizeof text; i++) {
        const char *replica = replicas->elements[i].text;
        const char *node = replica == NULL ? NULL : strchr(replica, '@');
        bool leads = node != NULL && strcmp(node + 1, leader) == 0;
        int n = snprintf(text + at, sizeof text - at, "%s%s%s", i == 0 ? "" : " ",
                         replica == NULL ? "?" : replica, leads ? "*" : "");
        at += n < 0 ? 0 : (size_t)n;
    }
    grid_add(grid, text);
}

static void add_shard(struct grid *grid, const struct sherd_reply *shard)
{
    char text[ASK_TEXT_SIZE];
    char leader[ASK_TEXT_SIZE];
    char version[ASK_TEXT_SIZE];
    grid_add(grid, ask_field(shard, "id", text, sizeof text));
    add_token(grid, sherd_reply_field(shard, "start"));
    add_token(grid, sherd_reply_field(shard, "last"));
    snprintf(version, sizeof version, "%" PRId64 ".%" PRId64, ask_number(shard, "ver"),
             ask_number(shard, "conf_ver"));
    grid_add(grid, version);
    ask_field(shard, "leader", leader, sizeof leader);
    grid_add(grid, strcmp(leader, "0") == 0 ? "none" : leader);
    grid_add(grid, ask_field(shard, "term", text, sizeof text));
    grid_add(grid, ask_field(shard, "voters", text, sizeof text));
    add_replicas(grid, shard, leader);
}

enum verb_exit verb_run_shards(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_sherd(call, "SHARDS", NULL, &reply);
    if (code != VERB_DONE || verb_given(call, "json")) {
        sherd_reply_free(reply);
        return code;
    }
    struct grid grid;
    grid_init(&grid, heads, HEAD_COUNT);
    for (size_t i = 0; i < reply->count; i++) {
        add_shard(&grid, &reply->elements[i]);
    }
    grid_print(&grid);
    grid_deinit(&grid);
    sherd_reply_free(reply);
    return VERB_DONE;
}
