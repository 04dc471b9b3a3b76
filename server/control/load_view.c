#include "server/control/load_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/resp.h"

enum {
    HOT_SHOWN = 20,
    HOT_MAX = 1000,
    HEAT_SHOWN = 30,
    HOT_PART = 5, /* A fifth of what its node has to do, */
    HALF_CORE_US = 500000,
    TOLD_SHARE = 100,       /* Permille of its shard, from which on there is advice for a key. */
    US_PER_PERCENT = 10000, /* Of a processor, in a second. */
    TOKEN_SIZE = 17,
};

static void field_int(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void field_text(struct buf *out, const char *name, const char *value)
{
    resp_write_text(out, name);
    resp_write_text(out, value);
}

static void field_token(struct buf *out, const char *name, uint64_t token)
{
    char text[TOKEN_SIZE];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, token);
    field_text(out, name, text);
}

static const char *mode_text(enum balancer_mode mode)
{
    switch (mode) {
    case BALANCER_ON: return "on";
    case BALANCER_ADVISE: return "advise";
    case BALANCER_OFF: return "off";
    case BALANCER_MODES: break;
    }
    return "?";
}

/* ---- LOAD ---- */

static void write_node(const struct load_view *view,
                       const struct balance_view *nodes,
                       size_t at,
                       struct buf *reply)
{
    static const struct load_node unknown;
    const struct balance_node *node = &nodes->nodes[at];
    const struct load_node *known = load_table_node(view->table, node->desc->id, view->now_ms);
    const struct node_load *load = known == NULL ? &unknown.load : &known->load;
    uint64_t loops = load->loops == 0 ? 1 : load->loops;
    resp_write_map(reply, 10);
    field_int(reply, "node", node->desc->id);
    resp_write_text(reply, "heard");
    resp_write_bool(reply, known != NULL);
    field_int(reply, "use_percent", load->cpu / US_PER_PERCENT / loops);
    field_int(reply, "busiest_percent", load->busiest / US_PER_PERCENT);
    field_int(reply, "ops", load->ops);
    field_int(reply, "leads", node->leads);
    field_int(reply, "replicas", node->replicas);
    field_int(reply, "bytes", node->bytes);
    field_int(reply, "disk_free", load->disk_free);
    field_int(reply, "up_s", load->up_ms / 1000);
}

static void write_load(const struct load_view *view, struct buf *reply)
{
    static const struct balancer_stats none;
    static const struct job_list no_jobs;
    const struct balancer_stats *stats =
        view->balancer == NULL ? &none : balancer_stats(view->balancer);
    struct balance_input input = {
        .map = view->map, .table = view->table, .jobs = &no_jobs, .now_ms = view->now_ms};
    struct balance_view nodes;
    balance_view_init(&nodes, &input, NULL, 0);
    resp_write_map(reply, 9);
    field_text(reply, "mode", mode_text(view->mode));
    field_text(reply, "waits", view->balancer == NULL ? "" : balancer_waits(view->balancer));
    field_int(reply, "skew_percent", (uint64_t)(stats->skew * 100));
    field_int(reply, "hot", stats->hot);
    field_int(reply, "splits", stats->splits);
    field_int(reply, "transfers", stats->transfers);
    field_int(reply, "moves", stats->moves);
    field_int(reply, "merges", stats->merges);
    resp_write_text(reply, "nodes");
    resp_write_array(reply, nodes.node_count);
    for (size_t i = 0; i < nodes.node_count; i++) {
        write_node(view, &nodes, i, reply);
    }
    balance_view_deinit(&nodes);
}

/* ---- HOT ---- */

struct hot_key {
    const struct load_shard *shard;
    const struct key_load *key;
    uint64_t ops;
    bool hot; /* Its shard is. */
};

static int by_load(const void *a, const void *b)
{
    const struct shard_load *left = &(*(const struct load_shard *const *)a)->load;
    const struct shard_load *right = &(*(const struct load_shard *const *)b)->load;
    if (left->cpu != right->cpu) {
        return (left->cpu < right->cpu) - (left->cpu > right->cpu);
    }
    return (left->shard > right->shard) - (left->shard < right->shard);
}

static int by_ops(const void *a, const void *b)
{
    const struct hot_key *left = a;
    const struct hot_key *right = b;
    if (left->ops != right->ops) {
        return (left->ops < right->ops) - (left->ops > right->ops);
    }
    return (left->key->token > right->key->token) - (left->key->token < right->key->token);
}

static uint64_t node_cpu(const struct load_view *view, uint64_t node)
{
    uint64_t cpu = 0;
    size_t at = 0;
    for (const struct load_shard *shard; (shard = map_next(&view->table->shards, &at)) != NULL;) {
        cpu += shard->node == node ? shard->load.cpu : 0;
    }
    return cpu;
}

static bool is_hot(const struct shard_load *load, uint64_t cpu)
{
    return load->cpu * HOT_PART >= cpu || load->cpu >= HALF_CORE_US;
}

static void write_shard(const struct load_view *view,
                        const struct load_shard *shard,
                        struct buf *reply)
{
    const struct shard_load *load = &shard->load;
    uint64_t cpu = node_cpu(view, shard->node);
    resp_write_map(reply, 13);
    field_int(reply, "shard", load->shard);
    field_int(reply, "node", shard->node);
    field_token(reply, "start", load->start);
    field_token(reply, "last", load->last);
    field_int(reply, "ops", load->ops);
    field_int(reply, "reads", load->reads);
    field_int(reply, "writes", load->writes);
    field_int(reply, "absent", load->absent);
    field_int(reply, "of_node_percent", cpu == 0 ? 0 : load->cpu * 100 / cpu);
    field_int(reply, "cpu_percent", load->cpu / US_PER_PERCENT);
    field_int(reply, "bytes", load->bytes);
    field_int(reply, "keys", load->keys);
    field_text(reply, "advice", is_hot(load, cpu) ? shard_load_verdict_text(load->verdict) : "");
}

static void write_key(const struct hot_key *hot, struct buf *reply)
{
    const struct key_load *key = hot->key;
    unsigned share = key->share == 0 ? 1 : key->share;
    resp_write_map(reply, 10);
    resp_write_text(reply, "key");
    resp_write_bulk(reply, slice_of(key->key, key->key_len));
    field_int(reply, "db", key->db);
    field_token(reply, "token", key->token);
    field_int(reply, "shard", hot->shard->load.shard);
    field_int(reply, "node", hot->shard->node);
    field_int(reply, "ops", hot->ops);
    field_int(reply, "of_shard_percent", key->share / 10U);
    field_int(reply, "writes_percent", key->writes * 100U / share);
    field_int(reply, "absent_percent", key->absent * 100U / share);
    field_text(reply, "advice", key->share >= TOLD_SHARE && hot->hot ? shard_load_remedy(key) : "");
}

static size_t collect(const struct load_view *view, const struct load_shard **shards)
{
    size_t count = 0;
    size_t at = 0;
    for (const struct load_shard *shard; (shard = map_next(&view->table->shards, &at)) != NULL;) {
        if (load_table_shard(view->table, shard->load.shard, view->now_ms) != NULL &&
            shard->load.ops > 0) {
            shards[count++] = shard;
        }
    }
    qsort(shards, count, sizeof(shards[0]), by_load);
    return count;
}

static void write_keys(const struct load_view *view,
                       const struct load_shard *const *shards,
                       size_t count,
                       size_t max,
                       struct buf *reply)
{
    struct hot_key *keys = calloc(count * SHARD_LOAD_KEYS_MAX + 1, sizeof(*keys));
    assert(keys != NULL);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct shard_load *load = &shards[i]->load;
        bool hot = is_hot(load, node_cpu(view, shards[i]->node));
        for (size_t k = 0; k < load->key_count; k++) {
            uint64_t ops = load->ops * load->hot[k].share / 1000;
            keys[found++] = (struct hot_key){shards[i], &load->hot[k], ops, hot};
        }
    }
    qsort(keys, found, sizeof(keys[0]), by_ops);
    found = found < max ? found : max;
    resp_write_array(reply, found);
    for (size_t i = 0; i < found; i++) {
        write_key(&keys[i], reply);
    }
    free(keys);
}

static void write_hot(const struct load_view *view, size_t max, struct buf *reply)
{
    const struct load_shard **shards =
        calloc(view->table->shards.count + 1, sizeof(const struct load_shard *));
    assert(shards != NULL);
    size_t count = collect(view, shards);
    size_t shown = count < max ? count : max;
    resp_write_map(reply, 2);
    resp_write_text(reply, "shards");
    resp_write_array(reply, shown);
    for (size_t i = 0; i < shown; i++) {
        write_shard(view, shards[i], reply);
    }
    resp_write_text(reply, "keys");
    write_keys(view, shards, count, max, reply);
    free(shards);
}

/* ---- HEAT ---- */

static void write_heat(const struct load_view *view, size_t max, struct buf *reply)
{
    size_t rows = view->table->heat_count < max ? view->table->heat_count : max;
    resp_write_map(reply, 3);
    field_int(reply, "columns", LOAD_HEAT_COLUMNS);
    field_int(reply, "row_ms", LOAD_HEAT_ROW_MS);
    resp_write_text(reply, "rows");
    resp_write_array(reply, rows);
    for (size_t back = 0; back < rows; back++) {
        const struct load_heat_row *row = load_table_heat(view->table, back);
        resp_write_map(reply, 2);
        field_int(reply, "ago_ms", view->now_ms - row->at_ms);
        resp_write_text(reply, "ops");
        resp_write_array(reply, LOAD_HEAT_COLUMNS);
        for (size_t i = 0; i < LOAD_HEAT_COLUMNS; i++) {
            resp_write_int(reply, (int64_t)(row->ops[i] + 0.5F));
        }
    }
}

bool load_view_answer(const struct load_view *view, const struct args *args, struct buf *reply)
{
    bool load = args->argc >= 2 && command_word(args->argv[1], "load");
    bool hot = args->argc >= 2 && command_word(args->argv[1], "hot");
    bool heat = args->argc >= 2 && command_word(args->argv[1], "heat");
    if (!load && !hot && !heat) {
        return false;
    }
    uint64_t count = hot ? HOT_SHOWN : HEAT_SHOWN;
    bool counted = args->argc == 3 && !load && number_parse_u64(args->argv[2], &count) &&
                   count > 0 && count <= HOT_MAX;
    if (args->argc != 2 && !counted) {
        resp_write_errorf(reply,
                          "ERR usage: SHERD LOAD, SHERD HOT [count], SHERD HEAT [count]; "
                          "count: 1 to %d",
                          HOT_MAX);
        return true;
    }
    if (load) {
        write_load(view, reply);
    } else if (hot) {
        write_hot(view, (size_t)count, reply);
    } else {
        write_heat(view, (size_t)count, reply);
    }
    return true;
}
