/* `zone`: one row per zone. */

#include <inttypes.h>
#include <stdlib.h>

#include "client/admin/ask.h"
#include "client/admin/grid.h"
#include "common/base/assert.h"
#include "common/cluster/shard_map.h"

static const char *const heads[] = {"ZONE", "NODES", "UP", "REPLICAS", "LEADS", "AT RISK"};
enum { HEAD_COUNT = sizeof heads / sizeof heads[0] };

struct zone {
    char name[NODE_ZONE_SIZE_MAX];
    int64_t nodes, up, replicas, leads, risk;
};

struct zones {
    struct zone *rows;
    size_t count;
};

static struct zone *zone_of(struct zones *zones, const char *name)
{
    size_t i = 0;
    while (i < zones->count && strcmp(zones->rows[i].name, name) != 0) {
        i++;
    }
    if (i == zones->count) {
        zones->rows = realloc(zones->rows, (i + 1) * sizeof *zones->rows);
        assert(zones->rows != NULL);
        zones->rows[i] = (struct zone){0};
        snprintf(zones->rows[i].name, sizeof zones->rows[i].name, "%s", name);
        zones->count++;
    }
    return &zones->rows[i];
}

static void count_nodes(struct zones *zones, const struct sherd_reply *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        const struct sherd_reply *node = &nodes->elements[i];
        char text[ASK_TEXT_SIZE];
        if (strcmp(ask_field(node, "state", text, sizeof text), "gone") == 0) {
            continue;
        }
        struct zone *zone = zone_of(zones, ask_field(node, "zone", text, sizeof text));
        zone->nodes++;
        zone->up += ask_number(node, "up") != 0;
        zone->replicas += ask_number(node, "replicas");
        zone->leads += ask_number(node, "leads");
    }
}

/* The zone of the node; "" if it is unknown. */
static const char *zone_name(const struct sherd_reply *nodes,
                             const char *id,
                             char *text,
                             size_t size)
{
    for (size_t i = 0; i < nodes->count; i++) {
        char found[ASK_TEXT_SIZE];
        ask_field(&nodes->elements[i], "id", found, sizeof found);
        if (strcmp(found, id) == 0) {
            return ask_field(&nodes->elements[i], "zone", text, size);
        }
    }
    return "";
}

static void count_risks(struct zones *zones,
                        const struct sherd_reply *nodes,
                        const struct sherd_reply *shard)
{
    const struct sherd_reply *replicas = sherd_reply_field(shard, "replicas");
    for (size_t z = 0; replicas != NULL && z < zones->count; z++) {
        size_t inside = 0;
        for (size_t i = 0; i < replicas->count; i++) {
            char text[ASK_TEXT_SIZE];
            const char *replica = replicas->elements[i].text;
            const char *node = replica == NULL ? NULL : strchr(replica, '@');
            inside += node != NULL && strcmp(zone_name(nodes, node + 1, text, sizeof text),
                                             zones->rows[z].name) == 0;
        }
        zones->rows[z].risk += 2 * (replicas->count - inside) <= replicas->count;
    }
}

static void print_zones(const struct zones *zones)
{
    struct grid grid;
    grid_init(&grid, heads, HEAD_COUNT);
    for (size_t i = 0; i < zones->count; i++) {
        const struct zone *zone = &zones->rows[i];
        const int64_t cells[] = {zone->nodes, zone->up, zone->replicas, zone->leads, zone->risk};
        grid_add(&grid, zone->name);
        for (size_t j = 0; j < sizeof cells / sizeof cells[0]; j++) {
            char text[24];
            snprintf(text, sizeof text, "%" PRId64, cells[j]);
            grid_add(&grid, text);
        }
    }
    grid_print(&grid);
    grid_deinit(&grid);
}

static void print_zones_json(const struct zones *zones)
{
    putchar('[');
    for (size_t i = 0; i < zones->count; i++) {
        const struct zone *zone = &zones->rows[i]; /* Names are printable, without quotes. */
        printf("%s{\"zone\":\"%s\",\"nodes\":%" PRId64 ",\"up\":%" PRId64, i == 0 ? "" : ",",
               strcmp(zone->name, "-") == 0 ? "" : zone->name, zone->nodes, zone->up);
        printf(",\"replicas\":%" PRId64 ",\"leads\":%" PRId64 ",\"at_risk\":%" PRId64 "}",
               zone->replicas, zone->leads, zone->risk);
    }
    printf("]\n");
}

enum verb_exit verb_run_zone(const struct verb_call *call)
{
    struct sherd_reply *nodes = NULL;
    struct sherd_reply *shards = NULL;
    struct zones zones = {0};
    const char *words[] = {"SHERD", "NODES"};
    enum verb_exit code = ask_command(call, words, 2, false, &nodes);
    words[1] = "SHARDS";
    if (code == VERB_DONE) {
        code = ask_command(call, words, 2, false, &shards);
    }
    if (code == VERB_DONE) {
        count_nodes(&zones, nodes);
        for (size_t i = 0; i < shards->count; i++) {
            count_risks(&zones, nodes, &shards->elements[i]);
        }
        if (verb_given(call, "json")) {
            print_zones_json(&zones);
        } else {
            print_zones(&zones);
        }
    }
    sherd_reply_free(nodes);
    sherd_reply_free(shards);
    free(zones.rows);
    return code;
}
