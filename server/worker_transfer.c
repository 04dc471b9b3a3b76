#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/resp.h"
#include "server/worker_private.h"

/* How far the snapshots are that this loop sends, and how fast they may be. docs/elastic.md. */

static void write_pair(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, (int64_t)value);
}

size_t worker_transfers(const struct worker *worker, uint64_t shard, struct buf *rows)
{
    struct transfer_progress progress;
    size_t count = 0;
    for (size_t i = 0; transfer_progress(worker->transfer, i, &progress); i++) {
        if (shard != 0 && progress.shard != shard) {
            continue;
        }
        resp_write_map(rows, 7);
        write_pair(rows, "shard", progress.shard);
        write_pair(rows, "replica", progress.to.replica);
        write_pair(rows, "node", progress.to.node);
        write_pair(rows, "done", progress.done);
        write_pair(rows, "total", progress.total);
        write_pair(rows, "rate", progress.rate);
        write_pair(rows, "limit", progress.limit);
        count++;
    }
    return count;
}

bool transfer_is_asked(const struct command *command)
{
    return command->id == CMD_shard_transfers || command->id == CMD_shard_rate;
}

static enum status set_rate(struct worker *worker, const struct worker_op *op, struct buf *reply)
{
    uint64_t rate = 0;
    if (!number_parse_u64(op->op.args.argv[1], &rate)) {
        return STATUS_BAD_ARGUMENT;
    }
    transfer_set_rate(worker->transfer, op->shard, rate);
    resp_write_ok(reply);
    return STATUS_OK;
}

enum status transfer_run_asked(struct worker *worker, const struct worker_op *op, struct buf *reply)
{
    if (!shard_leads(op->op.shard)) {
        return STATUS_NOT_LEADER; /* Leaders send. */
    }
    if (op->op.command->id == CMD_shard_rate) {
        return set_rate(worker, op, reply);
    }
    struct buf rows;
    buf_init(&rows, FRAME_BODY_SIZE_MAX);
    resp_write_array(reply, worker_transfers(worker, op->shard, &rows));
    buf_append_slice(reply, buf_slice(&rows));
    buf_deinit(&rows);
    return STATUS_OK;
}
