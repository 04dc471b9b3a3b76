#ifndef SERVER_SHARD_SHARD_METER_H
#define SERVER_SHARD_SHARD_METER_H

#include "common/base/space_saving.h"
#include "common/cluster/shard_load.h"
#include "server/shard/split_point.h"

/* What one replica of a shard has to do, measured always and everywhere, at less than a hundredth
 * of its cost: counts per command, a histogram over its tokens, and the work of its log entries and
 * of one read in sixteen by the clock. The keys that are hot are looked for only while its owner
 * says that the load is worth it.
 *
 * Work is measured in nanoseconds of the clock, which is cheap to read and exact while nobody else
 * takes the processor. The owner shares out what the loop's thread really used in proportion, so
 * that the sum over the shards is what the loop had to do.
 *
 * About 1.5 KB; 13 KB more while it is engaged. Pure: handed time. Thread: the shard's loop. */

struct meter_count {
    uint64_t ops, reads, writes, absent, traffic;
    uint64_t work;  /* Nanoseconds, all of the following included: */
    uint64_t apply; /* of entries, which every replica does; */
    uint64_t pool;  /* of processor time on other threads. */
};

/* Weighted over time, per second. */
struct meter_rate {
    double ops, reads, writes, absent, traffic, cpu, follower_cpu, slow_ops, slow_cpu;
};

struct shard_meter {
    struct heat heat;
    struct space_saving *top; /* NULL: not engaged. */
    uint64_t dice;
    struct meter_count now; /* Since the last tick. */
    struct meter_rate rate;
    uint64_t ticked_ms;
    uint64_t halved_ms;
    uint64_t engaged_ms; /* When it was worth it last. */
};

/* A key that a command names. */
struct meter_hit {
    uint64_t token;
    struct slice key;
    uint8_t db;
    bool write;
    bool absent; /* A read that found nothing. */
    size_t size; /* Of the command, and of its reply if it is known. */
};

void shard_meter_init(struct shard_meter *meter, uint64_t start, uint64_t last, uint64_t now_ms);
void shard_meter_deinit(struct shard_meter *meter);

/* A command came: its size is that of its arguments. */
void shard_meter_op(struct shard_meter *meter, bool write, size_t size);
void shard_meter_hit(struct shard_meter *meter, const struct meter_hit *hit);
/* Whether the next read's work is to be measured: then METER_SAMPLE times it is to be added. */
enum { METER_SAMPLE = 16 };
bool shard_meter_due(struct shard_meter *meter);
void shard_meter_work(struct shard_meter *meter, uint64_t ns);
/* An entry was applied. */
void shard_meter_apply(struct shard_meter *meter, uint64_t ns);
void shard_meter_pool(struct shard_meter *meter, uint64_t ns);

/* What is to be shared out since the last tick, in nanoseconds of work on the loop. */
uint64_t shard_meter_pending_ns(const struct shard_meter *meter);
/* About once a second: loop_us is what the shard used of its loop's thread. engage: its load is
 * worth a look at its keys. */
void shard_meter_tick(struct shard_meter *meter, uint64_t now_ms, uint64_t loop_us, bool engage);

/* All but shard, ver, bytes and keys. */
void shard_meter_read(const struct shard_meter *meter, struct shard_load *load);

/* The shard was split: *child, of which nothing is known yet, covers what is from token on. Both
 * together have what the one had. */
void shard_meter_split(struct shard_meter *parent, struct shard_meter *child, uint64_t token);
/* The shard took another over: it covers start..last now, and has what both had. */
void shard_meter_absorb(struct shard_meter *meter,
                        const struct shard_meter *other,
                        uint64_t start,
                        uint64_t last);
/* It covers another range now, of which nothing else is known. */
void shard_meter_range(struct shard_meter *meter, uint64_t start, uint64_t last);

#endif
