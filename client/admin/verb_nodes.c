/* `nodes`: one row per storage node. */

#include "client/admin/ask.h"
#include "client/admin/grid.h"

static const char *const fields[] = {"id", "address", "zone", "state", "up", "leads", "replicas"};
static const char *const heads[] = {"NODE", "ADDRESS", "ZONE", "STATE", "UP", "LEADS", "REPLICAS"};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

enum verb_exit verb_run_nodes(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_sherd(call, "NODES", NULL, &reply);
    if (code != VERB_DONE || verb_given(call, "json")) {
        sherd_reply_free(reply);
        return code;
    }
    struct grid grid;
    grid_init(&grid, heads, FIELD_COUNT);
    char text[ASK_TEXT_SIZE];
    for (size_t i = 0; i < reply->count; i++) {
        for (size_t field = 0; field < FIELD_COUNT; field++) {
            grid_add(&grid, ask_field(&reply->elements[i], fields[field], text, sizeof text));
        }
    }
    grid_print(&grid);
    grid_deinit(&grid);
    sherd_reply_free(reply);
    return VERB_DONE;
}
