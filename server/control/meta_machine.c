#include "server/control/meta_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/control/identity.h"
#include "server/control/meta_change.h"
#include "server/control/meta_entry.h"
#include "server/control/meta_jobs.h"
#include "server/control/meta_order.h"
#include "server/control/meta_recover.h"
#include "server/control/meta_report.h"

enum { MAP_SIZE_MAX = 64 << 20 /* Encoded; a map at all its limits is below. */ };

static bool is_order(struct slice name)
{
    return command_word(name, "META.ORDER") || command_word(name, "META.REPORT");
}

enum meta_kind meta_machine_kind(struct slice name)
{
    if (command_word(name, "META.INIT") || command_word(name, "META.JOIN") || is_order(name)) {
        return META_WRITE;
    }
    if (command_word(name, "SHERD")) {
        return META_ADMIN;
    }
    bool read = command_word(name, "META.MAP") || command_word(name, "META.EVENTS");
    return read ? META_READ : META_UNKNOWN;
}

static const char *plan_order(struct args args, uint64_t now_ms, struct buf *planned)
{
    struct meta_order order;
    struct buf items;
    buf_init(&items, META_ORDER_SIZE_MAX);
    const char *fault = meta_order_parse(args, &order, &items);
    if (fault == NULL) {
        order.now_ms = now_ms;
        meta_order_encode(&order, planned);
    }
    buf_deinit(&items);
    return fault;
}

static const char *plan_entry(struct args args, struct buf *planned)
{
    struct meta_entry entry;
    const char *fault = meta_entry_parse(args, &entry);
    if (fault == NULL) {
        meta_entry_encode(&entry, planned);
    }
    return fault;
}

enum status meta_machine_plan(struct args args,
                              uint64_t now_ms,
                              struct buf *planned,
                              struct buf *reply)
{
    assert(args.argc > 0);
    if (meta_machine_kind(args.argv[0]) != META_WRITE) {
        resp_write_error(reply, "ERR unknown command of the meta group");
        return STATUS_BAD_ARGUMENT;
    }
    const char *fault =
        is_order(args.argv[0]) ? plan_order(args, now_ms, planned) : plan_entry(args, planned);
    if (fault != NULL) {
        resp_write_errorf(reply, "ERR %s", fault);
        return STATUS_BAD_ARGUMENT;
    }
    return STATUS_OK;
}

void meta_machine_birth(struct shard_desc *desc)
{
    *desc = (struct shard_desc){.id = SHARD_META, .ver = 1, .conf_ver = 1, .replica_count = 1};
    desc->birth_max = IDENTITY_REPLICA_FIRST;
    desc->replicas[0].id = IDENTITY_REPLICA_FIRST;
    desc->replicas[0].node = IDENTITY_NODE_FIRST;
}

/* Adds a node at the end: ids rise. Returns its index. */
static size_t add_node(struct meta_change *change, const struct meta_entry *entry)
{
    struct meta_rows *rows = &change->rows;
    size_t count = rows->map.node_count;
    assert(count < MAP_NODES_MAX);
    rows->map.nodes = realloc(rows->map.nodes, (count + 1) * sizeof(*rows->map.nodes));
    rows->disks = realloc(rows->disks, (count + 1) * sizeof(*rows->disks));
    assert(rows->map.nodes != NULL && rows->disks != NULL);
    struct node_desc *node = &rows->map.nodes[count];
    *node = (struct node_desc){
        .id = rows->cluster.next_node++, .incarnation = entry->incarnation, .state = NODE_UP};
    memcpy(node->address, entry->address, sizeof(node->address));
    memcpy(node->zone, entry->zone, sizeof(node->zone));
    rows->disks[count] = entry->disk;
    rows->map.node_count++;
    meta_change_put_node(change, count);
    return count;
}

/* Raises the version if anything was changed, and answers. */
static void finish(struct meta_change *change, uint64_t node)
{
    struct meta_rows *rows = &change->rows;
    meta_change_settle(change);
    resp_write_array(change->reply, 3);
    resp_write_int(change->reply, (int64_t)node);
    resp_write_bulk(change->reply, slice_of(rows->cluster.cluster, sizeof(rows->cluster.cluster)));
    resp_write_int(change->reply, (int64_t)rows->cluster.version);
}

/* The node that is at the address now, node_count if none. */
static size_t holder_of(const struct shard_map *map, const char *address)
{
    size_t i = 0;
    while (i < map->node_count &&
           (map->nodes[i].state == NODE_GONE || strcmp(map->nodes[i].address, address) != 0)) {
        i++;
    }
    return i;
}

/* A node that has its data came back, perhaps at another address. */
static void join_again(struct meta_change *change, const struct meta_entry *entry, size_t index)
{
    struct shard_map *map = &change->rows.map;
    struct node_desc *node = &map->nodes[index];
    if (node->state == NODE_GONE) {
        resp_write_errorf(change->reply,
                          "GONE node %" PRIu64
                          " is no longer part of the cluster: it was removed, or an empty node took"
                          " its place; start with an empty data directory",
                          node->id);
        return;
    }
    if (change->rows.disks[index] != entry->disk) {
        resp_write_errorf(change->reply,
                          "CONFLICT this is a copy of the data directory of node %" PRIu64
                          ": start with an empty data directory",
                          node->id);
        return;
    }
    size_t holder = holder_of(map, entry->address);
    if (holder < map->node_count && holder != index) {
        /* Two nodes cannot be at one address, and a node with its data that says where it is knows
         * best. Where the other one went it will say itself. */
        memset(map->nodes[holder].address, 0, sizeof(map->nodes[holder].address));
        meta_change_put_node(change, holder);
    }
    if (node->incarnation != entry->incarnation || strcmp(node->address, entry->address) != 0 ||
        strcmp(node->zone, entry->zone) != 0) {
        node->incarnation = entry->incarnation;
        memcpy(node->address, entry->address, sizeof(node->address));
        memcpy(node->zone, entry->zone, sizeof(node->zone));
        meta_change_put_node(change, index);
    }
    finish(change, node->id);
}

/* How many shards have their only copy on the node. */
static size_t only_copies(const struct shard_map *map, uint64_t node)
{
    size_t count = 0;
    for (size_t i = 0; i <= map->shard_count; i++) {
        const struct shard_desc *shard = i < map->shard_count ? &map->shards[i] : &map->meta;
        count += shard->replica_count == 1 && shard->replicas[0].node == node;
    }
    return count;
}

static void replace_in(struct meta_change *change,
                       struct shard_desc *shard,
                       uint64_t from,
                       uint64_t to)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        if (shard->replicas[i].node == from) {
            assert(shard_map_replica_on(shard, to) == NULL);
            shard->replicas[i].id = change->rows.cluster.next_replica++;
            shard->replicas[i].node = to;
            shard->conf_ver++;
            meta_change_put_shard(change, shard);
            return;
        }
    }
}

/* An empty directory at the address of a node: that node's disk is lost. The new node takes its
 * place in every shard, with replica ids of its own: the old ones have voted and may not vote
 * again. */
static void replace_node(struct meta_change *change, size_t lost, uint64_t by)
{
    struct shard_map *map = &change->rows.map;
    meta_jobs_lost(change, map->nodes[lost].id);
    map->nodes[lost].state = NODE_GONE;
    memset(map->nodes[lost].address, 0, sizeof(map->nodes[lost].address));
    meta_change_put_node(change, lost);
    uint64_t from = map->nodes[lost].id;
    replace_in(change, &map->meta, from, by);
    for (size_t i = 0; i < map->shard_count; i++) {
        replace_in(change, &map->shards[i], from, by);
    }
}

static void join_new(struct meta_change *change, const struct meta_entry *entry)
{
    struct shard_map *map = &change->rows.map;
    for (size_t i = 0; i < map->node_count; i++) {
        if (change->rows.disks[i] == entry->disk) {
            join_again(change, entry, i); /* It crashed before it knew that it had joined. */
            return;
        }
    }
    if (map->node_count == MAP_NODES_MAX) {
        resp_write_errorf(change->reply, "LIMIT the cluster has had %d nodes, its maximum",
                          MAP_NODES_MAX);
        return;
    }
    size_t lost = holder_of(map, entry->address);
    size_t alone = lost == map->node_count ? 0 : only_copies(map, map->nodes[lost].id);
    if (alone > 0) {
        resp_write_errorf(change->reply,
                          "CONFLICT node %" PRIu64
                          " at %s has the only copy of %zu shards: start it"
                          " with its own data directory, or this one at another address",
                          map->nodes[lost].id, entry->address, alone);
        return;
    }
    size_t index = add_node(change, entry);
    uint64_t id = map->nodes[index].id;
    if (lost < index) {
        replace_node(change, lost, id);
    }
    finish(change, id);
}

static void apply_join(struct meta_change *change, const struct meta_entry *entry)
{
    const struct meta_rows *rows = &change->rows;
    if (!rows->exists) {
        resp_write_error(change->reply, "TRYAGAIN the cluster is being created");
        return;
    }
    if (entry->node == 0) {
        join_new(change, entry);
        return;
    }
    size_t index = meta_change_node_index(&rows->map, entry->node);
    if (memcmp(entry->cluster, rows->cluster.cluster, sizeof(entry->cluster)) != 0) {
        resp_write_error(change->reply,
                         "WRONGCLUSTER the data directory belongs to another cluster: give"
                         " --join an address of that one, or start with an empty directory");
    } else if (index == rows->map.node_count) {
        resp_write_errorf(change->reply, "CONFLICT the cluster has no node %" PRIu64, entry->node);
    } else {
        join_again(change, entry, index);
    }
}

static void apply_init(struct meta_change *change, const struct meta_entry *entry)
{
    struct meta_rows *rows = &change->rows;
    if (rows->exists) {
        apply_join(change, entry); /* The same cluster: repeated; another: refused. */
        return;
    }
    memcpy(rows->cluster.cluster, entry->cluster, sizeof(entry->cluster));
    rows->cluster.replicas = entry->replicas;
    rows->cluster.shards = entry->shards;
    rows->cluster.next_node = IDENTITY_NODE_FIRST;
    rows->cluster.next_shard = SHARD_FIRST;
    rows->cluster.next_replica = IDENTITY_REPLICA_FIRST + 1;
    rows->cluster.next_job = 1;
    rows->cluster.next_event = 1;
    rows->exists = true;
    memcpy(rows->map.cluster, entry->cluster, sizeof(entry->cluster));
    rows->map.replicas = entry->replicas;
    rows->map.shards_wanted = entry->shards;
    meta_machine_birth(&rows->map.meta);
    meta_change_put_shard(change, &rows->map.meta);
    size_t index = add_node(change, entry);
    assert(rows->map.nodes[index].id == IDENTITY_NODE_FIRST);
    finish(change, IDENTITY_NODE_FIRST);
}

static void apply_order(struct meta_change *change, const struct meta_order *order)
{
    if (!change->rows.exists) {
        resp_write_error(change->reply, "TRYAGAIN the cluster is being created");
        return;
    }
    switch (order->op) {
    case META_REPORT: meta_report_take(change, order); return;
    case META_JOB_ADD: meta_jobs_add(change, order); break;
    case META_JOB_STEP: meta_jobs_step(change, order); break;
    case META_JOB_END: meta_jobs_end(change, order); break;
    case META_JOB_SET: meta_jobs_set(change, order); break;
    case META_NODE: meta_jobs_node(change, order); break;
    case META_MODE: meta_jobs_mode(change, order); break;
    case META_RECOVER: meta_recover_shard(change, order); break;
    case META_NOTE:
        meta_change_note(change, order->id, order->text, order->why, order->effect);
        resp_write_ok(change->reply);
        break;
    case META_INIT:
    case META_JOIN:
    case META_OPS: assert(false);
    }
    meta_change_settle(change);
}

enum status meta_machine_apply(struct txn *txn,
                               struct slice planned,
                               struct buf *reply,
                               bool *changed)
{
    struct meta_entry entry;
    struct meta_order order;
    struct meta_change change = {.txn = txn, .reply = reply};
    bool is_entry = planned.len > 0 && planned.data[0] == META_ENTRY_FORMAT;
    enum status status =
        is_entry ? meta_entry_decode(planned, &entry) : meta_order_decode(planned, &order);
    *changed = false;
    if (status != STATUS_OK) {
        return status;
    }
    status = meta_rows_load(txn, &change.rows);
    if (status == STATUS_OK) {
        if (!is_entry) {
            change.now_ms = order.now_ms;
            apply_order(&change, &order);
        } else if (entry.op == META_INIT) {
            apply_init(&change, &entry);
        } else {
            apply_join(&change, &entry);
        }
        *changed = change.changed;
    }
    meta_rows_deinit(&change.rows);
    return status;
}

enum status meta_machine_load(struct txn *txn, struct shard_map *map)
{
    struct job_list jobs = {0};
    uint8_t mode = 0;
    enum status status = meta_machine_load_all(txn, map, &jobs, &mode);
    job_list_deinit(&jobs);
    return status;
}

enum status meta_machine_load_all(struct txn *txn,
                                  struct shard_map *map,
                                  struct job_list *jobs,
                                  uint8_t *mode)
{
    struct meta_rows rows;
    enum status status = meta_rows_load(txn, &rows);
    if (status == STATUS_OK) {
        struct shard_map old = *map;
        struct job_list old_jobs = *jobs;
        *map = rows.map;
        *jobs = rows.jobs;
        *mode = rows.cluster.balancer;
        rows.map = old;
        rows.jobs = old_jobs;
    }
    meta_rows_deinit(&rows);
    return status;
}

static bool parse_version(struct slice text, uint64_t *version)
{
    *version = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        *version = *version * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.len > 0 && text.len < 20;
}

static void write_map(const struct shard_map *map, struct buf *reply)
{
    struct buf bytes;
    buf_init(&bytes, MAP_SIZE_MAX);
    shard_map_encode(map, &bytes);
    resp_write_bulk(reply, buf_slice(&bytes));
    buf_deinit(&bytes);
}

struct event_list {
    struct buf *reply;
    size_t count;
};

static void write_event(void *arg, const struct job_event *event)
{
    struct event_list *list = arg;
    list->count++;
    resp_write_map(list->reply, 6);
    resp_write_text(list->reply, "number");
    resp_write_int(list->reply, (int64_t)event->number);
    resp_write_text(list->reply, "time_ms");
    resp_write_int(list->reply, (int64_t)event->time_ms);
    resp_write_text(list->reply, "job");
    resp_write_int(list->reply, (int64_t)event->job);
    resp_write_text(list->reply, "what");
    resp_write_text(list->reply, event->what);
    resp_write_text(list->reply, "why");
    resp_write_text(list->reply, event->why);
    resp_write_text(list->reply, "effect");
    resp_write_text(list->reply, event->effect);
}

static enum status read_events(struct txn *txn, struct args args, struct buf *reply)
{
    uint64_t wanted = 0;
    if (args.argc != 2 || !parse_version(args.argv[1], &wanted)) {
        resp_write_error(reply, "ERR META.EVENTS takes how many of the newest are wanted");
        return STATUS_OK;
    }
    size_t at = reply->len;
    struct event_list list = {.reply = reply};
    enum status status = meta_rows_events(txn, wanted, write_event, &list);
    if (status == STATUS_OK) {
        resp_insert_array(reply, at, list.count);
    } else {
        reply->len = at;
    }
    return status;
}

enum status meta_machine_read(struct txn *txn, struct args args, struct buf *reply)
{
    uint64_t version = 0;
    assert(args.argc > 0);
    if (meta_machine_kind(args.argv[0]) != META_READ) {
        resp_write_error(reply, "ERR unknown command of the meta group");
        return STATUS_OK;
    }
    if (command_word(args.argv[0], "META.EVENTS")) {
        return read_events(txn, args, reply);
    }
    if (args.argc != 2 || !parse_version(args.argv[1], &version)) {
        resp_write_error(reply, "ERR META.MAP takes the version of the map that you have");
        return STATUS_OK;
    }
    struct meta_cluster cluster = {0};
    enum status status = meta_rows_get_cluster(txn, &cluster);
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && cluster.version <= version)) {
        resp_write_null(reply);
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct shard_map map;
    shard_map_init(&map);
    status = meta_machine_load(txn, &map);
    if (status == STATUS_OK) {
        write_map(&map, reply);
    }
    shard_map_deinit(&map);
    return status;
}

void meta_machine_range(enum store_family family, struct buf *from, struct buf *to)
{
    if (family == STORE_LOCAL) {
        meta_rows_range(from, to);
    }
}

static enum status error_status(struct slice text)
{
    static const struct {
        const char *code;
        enum status status;
    } rows[] = {
        {"TRYAGAIN ", STATUS_AGAIN},
        {"WRONGCLUSTER ", STATUS_WRONG_CLUSTER},
        {"GONE ", STATUS_CONFLICT},
        {"CONFLICT ", STATUS_CONFLICT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].code);
        if (text.len > len && memcmp(text.data, rows[i].code, len) == 0) {
            return rows[i].status;
        }
    }
    return STATUS_BAD_ARGUMENT;
}

/* Takes the next value off the reply; false if it is not of that type. */
static bool take_value(struct slice *rest, uint8_t type, struct resp_value *value)
{
    if (resp_value_read(*rest, value) != STATUS_OK || value->type != type || value->null ||
        value->size_used > rest->len) {
        return false;
    }
    *rest = slice_of(rest->data + value->size_used, rest->len - value->size_used);
    return true;
}

enum status meta_machine_read_joined(struct slice reply,
                                     struct meta_joined *joined,
                                     char *text,
                                     size_t text_size)
{
    struct resp_value array;
    struct resp_value node;
    struct resp_value cluster;
    struct resp_value version;
    struct slice rest = reply;
    assert(text_size > 0);
    text[0] = '\0';
    if (take_value(&rest, '-', &array)) {
        snprintf(text, text_size, "%.*s", (int)array.bytes.len, (const char *)array.bytes.data);
        return error_status(array.bytes);
    }
    if (!take_value(&rest, '*', &array) || array.number != 3 || !take_value(&rest, ':', &node) ||
        !take_value(&rest, '$', &cluster) || !take_value(&rest, ':', &version) || rest.len > 0 ||
        cluster.bytes.len != sizeof(joined->cluster) || node.number < 1 || version.number < 1) {
        return STATUS_PROTOCOL;
    }
    joined->node = (uint64_t)node.number;
    joined->version = (uint64_t)version.number;
    memcpy(joined->cluster, cluster.bytes.data, cluster.bytes.len);
    return STATUS_OK;
}
