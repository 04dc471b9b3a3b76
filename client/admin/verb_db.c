/* `db list`: one row per database. */

#include "client/admin/ask.h"
#include "client/admin/grid.h"

static const char *const fields[] = {"db", "keys", "expires", "bytes", "ops_per_second"};
static const char *const heads[] = {"DB",    "KEYS",   "EXPIRES", "BYTES",
                                    "OPS/S", "SHARDS", "SHARD",   "LEADER"};
enum {
    FIELD_COUNT = sizeof fields / sizeof fields[0],
    HEAD_COUNT = sizeof heads / sizeof heads[0],
};

static void add_database(struct grid *grid, const struct sherd_reply *database)
{
    char text[ASK_TEXT_SIZE];
    for (size_t field = 0; field < FIELD_COUNT; field++) {
        grid_add(grid, ask_field(database, fields[field], text, sizeof text));
    }
    bool colocated = ask_number(database, "colocated") != 0;
    bool led = ask_number(database, "leader") != 0;
    grid_add(grid, ask_field(database, "shards", text, sizeof text));
    grid_add(grid, colocated ? ask_field(database, "shard", text, sizeof text) : "-");
    const char *nobody = colocated ? "none" : "-";
    grid_add(grid, led ? ask_field(database, "leader", text, sizeof text) : nobody);
}

enum verb_exit verb_run_db(const struct verb_call *call)
{
    if (strcmp(call->operands[0], "list") != 0) {
        fprintf(stderr, "sherd-admin: usage: sherd-admin db list\n");
        return VERB_USAGE;
    }
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_sherd(call, "DATABASES", NULL, &reply);
    if (code != VERB_DONE || verb_given(call, "json")) {
        sherd_reply_free(reply);
        return code;
    }
    struct grid grid;
    grid_init(&grid, heads, HEAD_COUNT);
    for (size_t i = 0; i < reply->count; i++) {
        add_database(&grid, &reply->elements[i]);
    }
    grid_print(&grid);
    grid_deinit(&grid);
    sherd_reply_free(reply);
    return VERB_DONE;
}
