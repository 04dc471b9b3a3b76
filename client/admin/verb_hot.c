/* `hot`: the hottest shards and keys. `heatmap`: load over time and tokens. `balancer`: its mode,
 * and the load of the nodes. */

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/admin/ask.h"
#include "client/admin/change.h"
#include "client/admin/grid.h"
#include "common/base/assert.h"

enum {
    WATCH_MS = 2000,
    TOLD_MAX = 3, /* Keys that advice is printed for. */
    COLUMNS_MAX = 256,
};

struct column {
    const char *head;
    const char *field;
};

static void print_rows(const struct sherd_reply *rows, const struct column *columns, size_t count)
{
    const char *heads[GRID_COLUMNS_MAX];
    struct grid grid;
    assert(count <= GRID_COLUMNS_MAX);
    for (size_t i = 0; i < count; i++) {
        heads[i] = columns[i].head;
    }
    grid_init(&grid, heads, count);
    for (size_t i = 0; i < rows->count; i++) {
        for (size_t k = 0; k < count; k++) {
            char text[ASK_TEXT_SIZE];
            grid_add(&grid, ask_field(&rows->elements[i], columns[k].field, text, sizeof text));
        }
    }
    grid_print(&grid);
    grid_deinit(&grid);
}

static void print_keys(const struct sherd_reply *keys)
{
    static const struct column columns[] = {
        {"KEY", "key"},
        {"DB", "db"},
        {"SHARD", "shard"},
        {"NODE", "node"},
        {"OPS/S", "ops"},
        {"SHARE%", "of_shard_percent"},
        {"WRITES%", "writes_percent"},
        {"ABSENT%", "absent_percent"},
    };
    print_rows(keys, columns, sizeof columns / sizeof columns[0]);
    unsigned told = 0;
    for (size_t i = 0; i < keys->count; i++) {
        const struct sherd_reply *key = &keys->elements[i];
        char name[ASK_TEXT_SIZE];
        char advice[ASK_TEXT_SIZE];
        ask_field(key, "advice", advice, sizeof advice);
        if (advice[0] != '\0' && strcmp(advice, "-") != 0 && told < TOLD_MAX) {
            printf("%s%.40s:\n  %s\n", told++ == 0 ? "\n" : "",
                   ask_field(key, "key", name, sizeof name), advice);
        }
    }
}

static void print_hot(const struct sherd_reply *reply)
{
    static const struct column columns[] = {
        {"SHARD", "shard"},     {"NODE", "node"},        {"OPS/S", "ops"},
        {"WRITES/S", "writes"}, {"CPU%", "cpu_percent"}, {"OF NODE%", "of_node_percent"},
        {"ADVICE", "advice"},
    };
    const struct sherd_reply *shards = sherd_reply_field(reply, "shards");
    const struct sherd_reply *keys = sherd_reply_field(reply, "keys");
    if (shards == NULL || keys == NULL) {
        return;
    }
    if (shards->count == 0) {
        printf("no shard has anything to do\n");
        return;
    }
    print_rows(shards, columns, sizeof columns / sizeof columns[0]);
    printf("\n");
    if (keys->count == 0) {
        printf("no key is hot\n");
    } else {
        print_keys(keys);
    }
}

enum verb_exit verb_run_hot(const struct verb_call *call)
{
    long count = 0;
    char number[24];
    if (verb_number(call, "count", 1, 1000, &count) != STATUS_OK) {
        return VERB_USAGE;
    }
    snprintf(number, sizeof number, "%ld", count);
    const char *words[] = {"SHERD", "HOT", number};
    for (;;) {
        struct sherd_reply *reply = NULL;
        enum verb_exit code = ask_shown(call, words, 3, &reply);
        if (reply != NULL) {
            bool screen = verb_given(call, "watch") && isatty(STDOUT_FILENO) != 0;
            printf("%s", screen ? "\x1b[H\x1b[J" : "");
            print_hot(reply);
        }
        sherd_reply_free(reply);
        if (code != VERB_DONE || !verb_given(call, "watch")) {
            return code;
        }
        (void)fflush(stdout);
        (void)poll(NULL, 0, WATCH_MS);
    }
}

static int64_t sum_of(const struct sherd_reply *cells)
{
    int64_t sum = 0;
    for (size_t i = 0; i < cells->count; i++) {
        sum += cells->elements[i].integer;
    }
    return sum;
}

static int64_t most_of(const struct sherd_reply *rows)
{
    int64_t most = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct sherd_reply *cells = sherd_reply_field(&rows->elements[i], "ops");
        for (size_t k = 0; cells != NULL && k < cells->count; k++) {
            most = cells->elements[k].integer > most ? cells->elements[k].integer : most;
        }
    }
    return most;
}

static void print_row(const struct sherd_reply *row, int64_t most)
{
    static const char shades[] = " .:-=+*#%@";
    const int64_t steps = (int64_t)sizeof shades - 2;
    const struct sherd_reply *cells = sherd_reply_field(row, "ops");
    char line[COLUMNS_MAX + 1];
    size_t len = 0;
    for (; cells != NULL && len < cells->count && len < COLUMNS_MAX; len++) {
        int64_t ops = cells->elements[len].integer;
        int64_t shade = most == 0 ? 0 : (ops * steps + most - 1) / most;
        line[len] = shades[shade < 0 ? 0 : shade > steps ? steps : shade];
    }
    line[len] = '\0';
    printf("%5" PRId64 "s %s %" PRId64 "\n", ask_number(row, "ago_ms") / 1000, line,
           cells == NULL ? 0 : sum_of(cells));
}

enum verb_exit verb_run_heatmap(const struct verb_call *call)
{
    long count = 0;
    char number[24];
    struct sherd_reply *reply = NULL;
    if (verb_number(call, "count", 1, 360, &count) != STATUS_OK) {
        return VERB_USAGE;
    }
    snprintf(number, sizeof number, "%ld", count);
    const char *words[] = {"SHERD", "HEAT", number};
    enum verb_exit code = ask_shown(call, words, 3, &reply);
    const struct sherd_reply *rows = reply == NULL ? NULL : sherd_reply_field(reply, "rows");
    if (rows != NULL && rows->count == 0) {
        printf("nothing was measured yet: try again in ten seconds\n");
    } else if (rows != NULL) {
        int64_t most = most_of(rows);
        printf("%6s 0%15s4%15s8%15sc%14sf OPS/S\n", "AGO", "", "", "", "");
        for (size_t i = rows->count; i > 0; i--) {
            print_row(&rows->elements[i - 1], most);
        }
        printf("%6s @ is %" PRId64 " operations per second in one column\n", "", most);
    }
    sherd_reply_free(reply);
    return code;
}

static void print_balancer(const struct sherd_reply *reply)
{
    static const struct column columns[] = {
        {"NODE", "node"},   {"USE%", "use_percent"},    {"BUSIEST LOOP%", "busiest_percent"},
        {"OPS/S", "ops"},   {"LEADS", "leads"},         {"REPLICAS", "replicas"},
        {"BYTES", "bytes"}, {"DISK FREE", "disk_free"},
    };
    char mode[ASK_TEXT_SIZE];
    char waits[ASK_TEXT_SIZE];
    const struct sherd_reply *nodes = sherd_reply_field(reply, "nodes");
    ask_field(reply, "waits", waits, sizeof waits);
    printf("balancer: %s%s%s\n", ask_field(reply, "mode", mode, sizeof mode),
           waits[0] == '\0' || strcmp(waits, "-") == 0 ? "" : "; ",
           strcmp(waits, "-") == 0 ? "" : waits);
    printf("busiest node: %" PRId64 "%% of the mean; hot shards: %" PRId64 "\n",
           ask_number(reply, "skew_percent"), ask_number(reply, "hot"));
    printf("decided here: %" PRId64 " splits, %" PRId64 " transfers, %" PRId64 " moves, %" PRId64
           " merges\n\n",
           ask_number(reply, "splits"), ask_number(reply, "transfers"), ask_number(reply, "moves"),
           ask_number(reply, "merges"));
    if (nodes != NULL) {
        print_rows(nodes, columns, sizeof columns / sizeof columns[0]);
    }
}

enum verb_exit verb_run_balancer(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    if (call->operand_count == 1) {
        struct change change = {
            .call = call, .words = {"SHERD", "BALANCER", call->operands[0]}, .count = 3};
        return change_send(&change);
    }
    const char *words[] = {"SHERD", "LOAD"};
    enum verb_exit code = ask_shown(call, words, 2, &reply);
    if (reply != NULL) {
        print_balancer(reply);
    }
    sherd_reply_free(reply);
    return code;
}
