#ifndef SERVER_CONTROL_LOAD_TABLE_H
#define SERVER_CONTROL_LOAD_TABLE_H

#include "common/base/map.h"
#include "common/cluster/shard_load.h"

/* What the nodes said of their load, kept by the one that leads the meta group: the last word of
 * each, the highest load of each shard in every minute of the last half hour, and the load of the
 * whole ring over the last hour. Soft: who begins to lead begins with nothing. Pure: handed time.
 * Thread: one owner. */

enum {
    LOAD_CHANGE_MS = 4000,  /* A leader changes in less, if nobody has died. */
    LOAD_HEARD_MS = 5000,   /* Longer ago: nothing is known. */
    LOAD_PEAKS = 30,        /* Minutes. */
    LOAD_HEAT_COLUMNS = 64, /* Equal parts of the ring. */
    LOAD_HEAT_ROWS = 360,
    LOAD_HEAT_ROW_MS = 10000,
};

struct load_shard {
    struct shard_load load;
    uint64_t node; /* That leads it. */
    uint64_t heard_ms;
    uint64_t known_ms; /* Since when it is known here. */
    uint64_t minute;   /* Of the newest of these: */
    uint64_t peaks[LOAD_PEAKS];
};

struct load_node {
    struct node_load load;
    uint64_t heard_ms;
};

/* Operations per second by part of the ring. */
struct load_heat_row {
    uint64_t at_ms;
    float ops[LOAD_HEAT_COLUMNS];
};

struct load_table {
    struct map nodes;  /* Id -> struct load_node. */
    struct map shards; /* Id -> struct load_shard. */
    uint64_t heat_ms;
    size_t heat_count; /* Rows, the newest at heat_next - 1. */
    size_t heat_next;
    struct load_heat_row *heat;
};

void load_table_init(struct load_table *table);
void load_table_deinit(struct load_table *table);
/* Forgets everything. */
void load_table_clear(struct load_table *table);

/* A report (shard_load.h). PROTOCOL: nothing is changed. */
MUST_USE enum status load_table_take(struct load_table *table,
                                     struct slice report,
                                     uint64_t now_ms);
/* Every second: drops what was not heard of for long, goes on with the history of the ring. */
void load_table_tick(struct load_table *table, uint64_t now_ms);

/* NULL if nothing was heard of it in the last LOAD_HEARD_MS. */
const struct load_node *load_table_node(const struct load_table *table,
                                        uint64_t node,
                                        uint64_t now_ms);
const struct load_shard *load_table_shard(const struct load_table *table,
                                          uint64_t shard,
                                          uint64_t now_ms);
/* True if a leader of it was heard of so lately that it may just have changed. */
bool load_table_changing(const struct load_table *table, uint64_t shard, uint64_t now_ms);
/* The highest load, microseconds per second, of the last LOAD_PEAKS minutes, or of as many as it is
 * known. */
uint64_t load_table_peak(const struct load_shard *shard);
/* The row so many before the newest; NULL: there are not so many. */
const struct load_heat_row *load_table_heat(const struct load_table *table, size_t back);

#endif
