/* `explain KEY`: where a key lives and who answers for it. */

#include <inttypes.h>

#include "client/admin/ask.h"
#include "client/admin/grid.h"

/* Rows of maps, whatever their fields are: the first one names the columns. */
static void print_maps(const struct sherd_reply *maps)
{
    if (maps == NULL || maps->count == 0 || maps->elements[0].type != SHERD_MAP) {
        return;
    }
    const struct sherd_reply *first = &maps->elements[0];
    const char *names[GRID_COLUMNS_MAX];
    size_t columns = 0;
    for (size_t i = 0; i < first->count && columns < GRID_COLUMNS_MAX; i += 2) {
        const char *name = first->elements[i].text;
        names[columns++] = name == NULL ? "?" : name;
    }
    struct grid grid;
    grid_init(&grid, names, columns);
    char text[ASK_TEXT_SIZE];
    for (size_t i = 0; i < maps->count; i++) {
        for (size_t column = 0; column < columns; column++) {
            grid_add(&grid, ask_field(&maps->elements[i], names[column], text, sizeof text));
        }
    }
    printf("\n");
    grid_print(&grid);
    grid_deinit(&grid);
}

static void print_key(const struct sherd_reply *reply)
{
    char text[ASK_TEXT_SIZE];
    printf("key       %s\n", ask_field(reply, "key", text, sizeof text));
    printf("database  %s\n", ask_field(reply, "db", text, sizeof text));
    printf("tag       %s\n", ask_field(reply, "tag", text, sizeof text));
    const struct sherd_reply *token = sherd_reply_field(reply, "token");
    if (token != NULL && token->type == SHERD_INTEGER) {
        printf("token     %016" PRIx64 "\n", (uint64_t)token->integer);
    } else {
        printf("token     %s\n", ask_text(token, text, sizeof text));
    }
    printf("shard     %s", ask_field(reply, "shard", text, sizeof text));
    printf(", tokens %s", ask_field(reply, "range", text, sizeof text));
    printf(", version %s\n", ask_field(reply, "ver", text, sizeof text));
    if (ask_number(reply, "leader") == 0) {
        printf("leader    none at the moment\n");
    } else {
        printf("leader    node %s", ask_field(reply, "leader", text, sizeof text));
        printf(" at %s", ask_field(reply, "leader_address", text, sizeof text));
        printf(", term %s\n", ask_field(reply, "term", text, sizeof text));
    }
}

enum verb_exit verb_run_explain(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_sherd(call, "EXPLAIN", call->operands[0], &reply);
    if (code == VERB_DONE && !verb_given(call, "json")) {
        print_key(reply);
        print_maps(sherd_reply_field(reply, "replicas"));
    }
    sherd_reply_free(reply);
    return code;
}
