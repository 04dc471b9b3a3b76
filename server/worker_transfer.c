#include "common/proto/resp.h"
#include "server/worker_private.h"

/* How far the snapshots are that this loop sends. */

static void write_pair(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, (int64_t)value);
}

size_t worker_transfers(const struct worker *worker, struct buf *rows)
{
    struct transfer_progress progress;
    size_t count = 0;
    for (; transfer_progress(worker->transfer, count, &progress); count++) {
        resp_write_map(rows, 7);
        write_pair(rows, "shard", progress.shard);
        write_pair(rows, "replica", progress.to.replica);
        write_pair(rows, "node", progress.to.node);
        write_pair(rows, "done", progress.done);
        write_pair(rows, "total", progress.total);
        write_pair(rows, "rate", progress.rate);
        write_pair(rows, "limit", progress.limit);
    }
    return count;
}
