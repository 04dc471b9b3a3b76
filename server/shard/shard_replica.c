#include "common/base/assert.h"
#include "common/base/clock.h"
#include "server/shard/shard_private.h"

/* Reads at a replica that does not lead: docs/replication.md, Reads at replicas. Whatever cannot be
 * answered here in time is NOT_LEADER, and the sender asks the leader. */

enum { NS_PER_MS = 1000000, BOUND_MS_MAX = 24 * 3600 * 1000 };

bool shard_replica_may_read(const struct shard *shard, const struct op *op)
{
    return op->replica && !op->write && !op->trial && !op->wait.wanted && !op->staged &&
           op->command != NULL && (op->command->flags & CMD_READ) != 0 &&
           shard->role != GROUP_LEADER;
}

static void read_here(struct shard *shard, struct op *op)
{
    struct group_freshness freshness;
    if (shard_frozen(shard)) { /* Another shard may have the keys, and have written them. */
        shard->stats.replica_refused++;
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
        return;
    }
    group_freshness(shard->group, false, &freshness);
    op->replica_ms = freshness.stamp;
    shard_read_now(shard, op);
}

static void on_readable(struct group_read *read, enum status status)
{
    struct op *op = list_entry(read, struct op, read);
    struct shard *shard = op->shard;
    assert(shard->reads_pending > 0);
    shard->reads_pending--;
    if (status == STATUS_OK) {
        shard->stats.replica_reads++;
        read_here(shard, op);
    } else {
        shard->stats.replica_refused++;
        shard_finish(op, status, slice_of(NULL, 0));
    }
    shard_release(shard);
}

/* True if what is applied is as young as op demands; it is asked anew when it is half as old. */
static bool is_young(struct shard *shard, const struct op *op)
{
    struct group_freshness freshness;
    uint64_t bound_ms = op->bound_ms < BOUND_MS_MAX ? op->bound_ms : BOUND_MS_MAX;
    uint64_t bound_ns = bound_ms * NS_PER_MS;
    group_freshness(shard->group, false, &freshness);
    uint64_t age_ns = clock_now_ns() - freshness.since_ns;
    if (freshness.since_ns == 0 || age_ns > bound_ns) {
        return false;
    }
    if (age_ns > bound_ns / 2) {
        group_freshness(shard->group, true, &freshness);
    }
    return true;
}

void shard_replica_submit(struct shard *shard, struct op *op)
{
    if (op->expires_ms < clock_now_ms()) {
        shard_finish(op, STATUS_TIMEOUT, slice_of(NULL, 0));
        return;
    }
    if (shard->reads_pending + shard->reads_slow >= WAITING_OPS_MAX) {
        shard_finish(op, STATUS_BUSY, slice_of(NULL, 0));
        return;
    }
    if (op->bound_ms > 0 && is_young(shard, op)) {
        shard->stats.replica_bounded++;
        read_here(shard, op);
        return;
    }
    shard->stats.replica_stale += op->bound_ms > 0;
    op->read.on_readable = on_readable;
    enum status status = group_read_replica(shard->group, &op->read);
    if (status == STATUS_AGAIN) {
        shard->reads_pending++;
    } else if (status == STATUS_OK) { /* It leads by now, and is about to be told. */
        shard->stats.replica_reads++;
        read_here(shard, op);
    } else {
        shard->stats.replica_refused++;
        shard_finish(op, STATUS_NOT_LEADER, slice_of(NULL, 0));
    }
}
