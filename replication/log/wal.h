#ifndef REPLICATION_LOG_WAL_H
#define REPLICATION_LOG_WAL_H

#include "common/base/slice.h"
#include "common/base/status.h"

/* The shared log: one append-only, checksummed, segmented log per node for all raft groups. One
 * writer thread takes everything that all loops handed over, writes it once and calls fdatasync
 * once. docs/log_format.md has the bytes.
 *
 * Records of a group: entries, truncation, term and vote, reset (the log begins anew behind an
 * index: creation and snapshot installation), drop. A loop writes through its own port and learns
 * of durability per port: lsn n of a port is durable once wal_port_durable() >= n.
 *
 * A write or fdatasync that fails ends the process (never retried; fsyncgate). A torn tail of the
 * newest segment is cut at open; a bad checksum anywhere else is CORRUPT and names file, offset
 * and what to do in the log. */

struct wal;
struct wal_port;

struct wal_options {
    uint64_t segment_size; /* Bytes, preallocated; 64 MiB unless a test wants rotation. */
    unsigned spares_max;   /* Recycled segments kept for reuse. */
};

struct wal_entry {
    uint64_t term;
    uint8_t type; /* The library's entry type, not looked at here. */
    struct slice data;
};

/* What is known of a group after recovery. */
struct wal_group {
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    uint64_t base_index; /* Of the last reset: the log begins at base_index + 1 at the earliest. */
    uint64_t base_term;
    struct slice base_data; /* Given to wal_port_reset(); valid until the next reset or drop. */
    uint64_t first_index;   /* Of the entries still held; last_index + 1 if there are none. */
    uint64_t last_index;    /* base_index if there are no entries. */
};

/* Recovers what dir holds, or makes it. Does not start the writer. */
MUST_USE enum status wal_open(const char *dir, const struct wal_options *options, struct wal **wal);
/* Writes what ports submitted, stops the writer, frees. Ports are closed before. */
void wal_close(struct wal *wal);
/* Frees and writes nothing, as if the process had ended: for the simulator and for tests. Never
 * started; ports are closed before. */
void wal_abandon(struct wal *wal);

/* Starts the writer thread, which calls wal_step() whenever there is work. */
void wal_start(struct wal *wal);
/* Writes and syncs everything submitted so far as one batch, then wakes the ports. False if there
 * was nothing. The writer's loop body; the simulator calls it in place of a thread. */
bool wal_step(struct wal *wal);

/* The groups that recovery found, one after the other: start with *at = 0; false at the end. Loop
 * thread, before the group is written to. */
bool wal_next_group(struct wal *wal, size_t *at, struct wal_group *group);
/* False if the log has never heard of the group, or it was dropped. */
bool wal_find_group(struct wal *wal, uint64_t group, struct wal_group *found);
/* Calls visit for every entry from index on that is still held, in order; the slice is valid during
 * the call only. Any thread; sees what is durable. NOT_FOUND: no such group. CORRUPT, IO. */
MUST_USE enum status wal_load(struct wal *wal,
                              uint64_t group,
                              uint64_t index,
                              void (*visit)(void *arg, uint64_t index, const struct wal_entry *),
                              void *arg);

/* wake is called on the writer thread (or in wal_step) after the port's durable lsn moved; it only
 * wakes the port's loop. */
struct wal_port *wal_port_open(struct wal *wal, void (*wake)(void *arg), void *arg);
void wal_port_close(struct wal_port *port);

/* Each copies what it is given into the port's batch and returns the record's lsn (from 1, rising
 * by one). Nothing is on its way to the disk before wal_port_submit(). Loop thread of the port. */
uint64_t wal_port_append(struct wal_port *port,
                         uint64_t group,
                         uint64_t first_index,
                         const struct wal_entry *entries,
                         size_t count);
/* Entries with this index and above are gone. */
uint64_t wal_port_truncate(struct wal_port *port, uint64_t group, uint64_t index);
uint64_t wal_port_vote(struct wal_port *port, uint64_t group, uint64_t term, uint64_t vote);
/* Drops all entries; the log goes on behind index. Keeps term and vote. */
uint64_t wal_port_reset(
    struct wal_port *port, uint64_t group, uint64_t index, uint64_t term, struct slice data);
uint64_t wal_port_drop(struct wal_port *port, uint64_t group);
/* Entries of the group up to index are in a durable snapshot or a flushed state: segments that hold
 * nothing else may go. Not a record of its own. */
void wal_port_compact(struct wal_port *port, uint64_t group, uint64_t index);

/* Hands the batch to the writer: once per loop turn. */
void wal_port_submit(struct wal_port *port);
/* Any lsn up to this one is on disk. */
uint64_t wal_port_durable(const struct wal_port *port);

struct wal_stats {
    uint64_t bytes_written;
    uint64_t syncs;
    uint64_t records;
    uint64_t segments; /* In use, without spares. */
    uint64_t sync_ns_total;
    uint64_t sync_ns_max;
    uint64_t rewritten; /* Live entries copied out of old segments. */
};
void wal_stats(struct wal *wal, struct wal_stats *stats); /* Any thread. */

#endif
