#ifndef COMMON_RDB_RDB_NODE_H
#define COMMON_RDB_RDB_NODE_H

#include "common/base/buf.h"

/* Writes entries of a stream to a dump, in the nodes that Redis keeps them in: the fields of the
 * first entry stand once (t_stream.c, streamAppendItem()). Pure. Thread: one owner at a time. */

struct rdb_node {
    struct buf fields;  /* Of the first entry: u32 length, bytes. */
    struct buf entries; /* Elements of the listpack behind the first ones. */
    struct buf pack;
    uint64_t ms; /* Id of the first entry. */
    uint64_t seq;
    uint64_t count;
    uint64_t field_count;
    uint64_t elements; /* In entries. */
};

void rdb_node_init(struct rdb_node *node, size_t size_max);
void rdb_node_deinit(struct rdb_node *node);

/* True if it should be put out before more comes. */
bool rdb_node_full(const struct rdb_node *node);
/* An entry: fields and values in turn, each u32 length, bytes. False: it is not so. */
bool rdb_node_add(struct rdb_node *node, uint64_t ms, uint64_t seq, struct slice strings);
/* Appends the node, and is empty again. There are entries. */
void rdb_node_put(struct rdb_node *node, struct buf *out);

#endif
