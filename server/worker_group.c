#include "server/control/group_ask.h"
#include "server/worker_private.h"

/* What the control plane asks of the leader of a group: how it stands, and that it goes elsewhere.
 */

static uint64_t size_of(struct worker *worker, const struct shard_desc *desc)
{
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    if (desc->id == SHARD_META) {
        return 0;
    }
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, STORE_DATA, &from, &to);
    uint64_t size = txn_size(worker->txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
    return size;
}

/* How far snapshots of the shard are. */
static void add_transfers(const struct worker *worker, uint64_t shard, struct group_report *report)
{
    struct transfer_progress progress;
    for (size_t nth = 0; transfer_progress(worker->transfer, nth, &progress); nth++) {
        for (unsigned i = 0; i < report->count && progress.shard == shard; i++) {
            if (report->members[i].replica == progress.to.replica) {
                report->members[i].sent = progress.done;
                report->members[i].size = progress.total;
            }
        }
    }
}

void worker_group_report(struct worker *worker, struct shard *shard, struct buf *reply)
{
    struct group_info info;
    group_info(shard_group(shard), &info);
    unsigned connected = replica_connected(worker, &info);
    struct group_report report = {.term = info.term, .commit_index = info.commit_index};
    report.size = size_of(worker, &shard_state(shard)->desc);
    report.count = info.conf.count;
    for (unsigned i = 0; i < info.conf.count; i++) {
        const struct group_member *member = &info.conf.members[i];
        report.members[i].replica = member->replica;
        report.members[i].node = member->node;
        report.members[i].role = (uint64_t)member->role;
        report.members[i].match = member->replica == info.replica ? info.last_index : info.match[i];
        report.members[i].connected = (connected >> i & 1) != 0;
    }
    add_transfers(worker, shard_id(shard), &report);
    group_ask_write_report(&report, reply);
}

enum status worker_group_obey(struct worker *worker, struct slot *slot, const struct worker_op *op)
{
    if (op->ask == GROUP_ASK_PACE) {
        transfer_set_rate(worker->transfer, shard_id(slot->shard), op->numbers[1]);
        return STATUS_OK;
    }
    if (slot->stepping || worker->leaving) {
        return STATUS_BUSY;
    }
    enum status status = group_transfer(shard_group(slot->shard), op->numbers[0], &slot->step);
    slot->stepping = status == STATUS_OK;
    return status;
}
