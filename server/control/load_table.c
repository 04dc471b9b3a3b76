#include "server/control/load_table.h"

#include <stdlib.h>

#include "common/base/assert.h"

enum { MINUTE_MS = 60000, FORGET_MS = 60000, PERMILLE = 1000 };

void load_table_init(struct load_table *table)
{
    *table = (struct load_table){0};
    map_init(&table->nodes);
    map_init(&table->shards);
    table->heat = calloc(LOAD_HEAT_ROWS, sizeof(*table->heat));
    assert(table->heat != NULL);
}

static void free_all(struct map *map)
{
    size_t at = 0;
    for (void *entry; (entry = map_next(map, &at)) != NULL;) {
        free(entry);
    }
    map_deinit(map);
}

void load_table_deinit(struct load_table *table)
{
    free_all(&table->nodes);
    free_all(&table->shards);
    free(table->heat);
}

void load_table_clear(struct load_table *table)
{
    load_table_deinit(table);
    load_table_init(table);
}

/* The time of a look may be taken before that of a report which comes in the same turn. */
static uint64_t since(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void note_peak(struct load_shard *shard, uint64_t now_ms)
{
    uint64_t minute = now_ms / MINUTE_MS;
    uint64_t passed = minute - shard->minute;
    for (uint64_t i = 0; i < passed && i < LOAD_PEAKS; i++) {
        shard->peaks[(shard->minute + 1 + i) % LOAD_PEAKS] = 0;
    }
    shard->minute = minute;
    uint64_t *peak = &shard->peaks[minute % LOAD_PEAKS];
    *peak = shard->load.cpu > *peak ? shard->load.cpu : *peak;
}

static void take_shard(struct load_table *table,
                       uint64_t node,
                       const struct shard_load *load,
                       uint64_t now_ms)
{
    struct load_shard *shard = map_get(&table->shards, load->shard);
    if (shard == NULL) {
        shard = calloc(1, sizeof(*shard));
        assert(shard != NULL);
        shard->known_ms = now_ms;
        shard->minute = now_ms / MINUTE_MS;
        (void)map_put(&table->shards, load->shard, shard);
    }
    /* Whoever has lost the leadership without noticing is behind. */
    if (shard->node != node && shard->load.ver > load->ver &&
        since(now_ms, shard->heard_ms) < LOAD_HEARD_MS) {
        return;
    }
    /* Who has just begun to lead has not measured it yet. */
    uint64_t bytes = load->bytes == 0 && shard->load.ver == load->ver ? shard->load.bytes : 0;
    shard->load = *load;
    shard->load.bytes += bytes;
    shard->node = node;
    shard->heard_ms = now_ms;
    note_peak(shard, now_ms);
}

enum status load_table_take(struct load_table *table, struct slice bytes, uint64_t now_ms)
{
    struct load_report report;
    enum status status = load_report_open(bytes, &report);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t id = report.node.node;
    struct load_node *node = map_get(&table->nodes, id);
    if (node == NULL) {
        node = calloc(1, sizeof(*node));
        assert(node != NULL);
        (void)map_put(&table->nodes, id, node);
    }
    node->load = report.node;
    node->heard_ms = now_ms;
    struct shard_load load;
    while (load_report_next(&report, &load)) {
        take_shard(table, id, &load, now_ms);
    }
    /* What it led and does not name any more. */
    size_t at = 0;
    for (struct load_shard *shard; (shard = map_next(&table->shards, &at)) != NULL;) {
        if (shard->node == id && shard->heard_ms != now_ms) {
            shard->node = 0;
        }
    }
    return STATUS_OK;
}

/* Adds a part of the load to the columns of the ring that it lies in. */
static void spread(struct load_heat_row *row, uint64_t first, uint64_t last, double ops)
{
    const uint64_t width = UINT64_MAX / LOAD_HEAT_COLUMNS + 1;
    double span = (double)(last - first) + 1;
    for (uint64_t column = first / width; column <= last / width; column++) {
        uint64_t low = column * width;
        uint64_t high = low + (width - 1);
        low = low < first ? first : low;
        high = high > last ? last : high;
        row->ops[column] += (float)(ops * (((double)(high - low) + 1) / span));
    }
}

static void add_heat(struct load_heat_row *row, const struct shard_load *load)
{
    uint64_t width = (load->last - load->start) / SHARD_LOAD_HEAT;
    if (load->slow_ops == 0 || width == 0) {
        spread(row, load->start, load->last, (double)load->ops);
        return;
    }
    for (uint64_t i = 0; i < SHARD_LOAD_HEAT; i++) {
        uint64_t first = load->start + i * width;
        uint64_t last = i + 1 == SHARD_LOAD_HEAT ? load->last : first + width - 1;
        spread(row, first, last, (double)load->ops * load->heat[i] / PERMILLE);
    }
}

static void push_heat(struct load_table *table, uint64_t now_ms)
{
    struct load_heat_row *row = &table->heat[table->heat_next];
    *row = (struct load_heat_row){.at_ms = now_ms};
    size_t at = 0;
    for (const struct load_shard *shard; (shard = map_next(&table->shards, &at)) != NULL;) {
        if (shard->node != 0 && since(now_ms, shard->heard_ms) < LOAD_HEARD_MS) {
            add_heat(row, &shard->load);
        }
    }
    table->heat_next = (table->heat_next + 1) % LOAD_HEAT_ROWS;
    table->heat_count += table->heat_count < LOAD_HEAT_ROWS;
    table->heat_ms = now_ms;
}

void load_table_tick(struct load_table *table, uint64_t now_ms)
{
    size_t at = 0;
    for (struct load_shard *shard; (shard = map_next(&table->shards, &at)) != NULL;) {
        if (since(now_ms, shard->heard_ms) > FORGET_MS) {
            free(map_remove(&table->shards, shard->load.shard));
        }
    }
    at = 0;
    for (struct load_node *node; (node = map_next(&table->nodes, &at)) != NULL;) {
        if (since(now_ms, node->heard_ms) > FORGET_MS) {
            free(map_remove(&table->nodes, node->load.node));
        }
    }
    if (since(now_ms, table->heat_ms) >= LOAD_HEAT_ROW_MS) {
        push_heat(table, now_ms);
    }
}

const struct load_node *load_table_node(const struct load_table *table,
                                        uint64_t node,
                                        uint64_t now_ms)
{
    const struct load_node *entry = map_get(&table->nodes, node);
    return entry != NULL && since(now_ms, entry->heard_ms) < LOAD_HEARD_MS ? entry : NULL;
}

const struct load_shard *load_table_shard(const struct load_table *table,
                                          uint64_t shard,
                                          uint64_t now_ms)
{
    const struct load_shard *entry = map_get(&table->shards, shard);
    bool heard =
        entry != NULL && entry->node != 0 && since(now_ms, entry->heard_ms) < LOAD_HEARD_MS;
    return heard ? entry : NULL;
}

bool load_table_changing(const struct load_table *table, uint64_t shard, uint64_t now_ms)
{
    const struct load_shard *entry = map_get(&table->shards, shard);
    return entry != NULL && since(now_ms, entry->heard_ms) < LOAD_CHANGE_MS;
}

uint64_t load_table_peak(const struct load_shard *shard)
{
    uint64_t peak = 0;
    for (size_t i = 0; i < LOAD_PEAKS; i++) {
        peak = shard->peaks[i] > peak ? shard->peaks[i] : peak;
    }
    return peak;
}

const struct load_heat_row *load_table_heat(const struct load_table *table, size_t back)
{
    if (back >= table->heat_count) {
        return NULL;
    }
    size_t at = (table->heat_next + LOAD_HEAT_ROWS - 1 - back) % LOAD_HEAT_ROWS;
    return &table->heat[at];
}
