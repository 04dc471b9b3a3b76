#include "replication/raft/install.h"

#include "common/base/log.h"
#include "replication/raft/core_log.h"
#include "replication/raft/group_apply.h"
#include "replication/raft/instance.h"
#include "replication/raft/ops.h"
#include "replication/raft/outbox.h"
#include "replication/raft/tail.h"

enum { INSTALL_RECORD_SIZE_MAX = MESSAGE_MANIFEST_SIZE_MAX + 1024 };

void install_encode(const struct group_state *state, struct slice manifest, struct buf *out)
{
    assert(manifest.len <= MESSAGE_MANIFEST_SIZE_MAX);
    group_state_encode(state, out);
    buf_append_bytes(out, manifest);
}

bool install_decode(struct slice data, struct group_state *state, struct slice *manifest)
{
    struct reader in = reader_of(data);
    if (!group_state_decode(&in, state)) {
        return false;
    }
    *manifest = reader_bytes(&in, MESSAGE_MANIFEST_SIZE_MAX);
    return reader_done(&in);
}

static void refuse(struct group *group, const struct message *message, uint64_t from_node)
{
    struct message out = {
        .kind = MESSAGE_NO_INSTALL,
        .group = group->id,
        .from = group->replica,
        .to = message->from,
        .term = message->term,
    };
    out.point.index = message->install.state.index;
    outbox_send(group, from_node, group->meta_lsn, &out);
}

bool install_admit(struct group *group, const struct message *message, uint64_t from_node)
{
    const struct raft *raft = &group->raft;
    const struct group_state *state = &message->install.state;
    if (message->term < raft->current_term) {
        return true; /* The library tells the sender that its term is over. */
    }
    if (group->install.stage != INSTALL_NONE) {
        if (group->install.state.index != state->index) {
            refuse(group, message, from_node);
        }
        return false; /* The answer comes when it is installed. */
    }
    group_apply(group);
    tail_finish(group);
    uint64_t term = core_log_term(raft, state->index);
    if (raft->log.snapshot.last_index >= state->index || term == state->term) {
        return true; /* Answered at once: we have all of it. */
    }
    if (term > state->term) {
        /* An entry that was never committed, in the place of a committed one: the library would
         * claim to have the snapshot (cowsql af243f81). Dropped, then the leader tries again. */
        group->cut = state->index;
        group->broken = true;
        instance_mark_dirty(group);
        refuse(group, message, from_node);
        return false;
    }
    if (!group->machine->snapshot_ready(group->ctx, state, message->install.manifest)) {
        refuse(group, message, from_node);
        return false;
    }
    return true;
}

void install_start(struct group *group,
                   struct raft_io_snapshot_put *request,
                   const struct raft_snapshot *snapshot)
{
    struct install *install = &group->install;
    struct buf record;
    assert(install->stage == INSTALL_NONE);
    assert(snapshot->n_bufs == 1 && snapshot->index > group->state.index);
    install->stage = INSTALL_STORING;
    install->request = request;
    install->bufs = snapshot->bufs;
    install->state.index = snapshot->index;
    install->state.term = snapshot->term;
    install->state.conf_index = snapshot->configuration_index;
    group_conf_from_raft(&snapshot->configuration, &install->state.conf);
    buf_init(&install->manifest, MESSAGE_MANIFEST_SIZE_MAX);
    buf_append(&install->manifest, snapshot->bufs[0].base, snapshot->bufs[0].len);

    buf_init(&record, INSTALL_RECORD_SIZE_MAX);
    install_encode(&install->state, buf_slice(&install->manifest), &record);
    struct op op = {.kind = OP_INSTALL, .first = snapshot->index};
    op.lsn = wal_port_reset(group->host->port, group->id, snapshot->index, snapshot->term,
                            buf_slice(&record));
    buf_deinit(&record);
    group->meta_lsn = op.lsn;
    group->next_index = snapshot->index + 1;
    ops_push(group, &op);
    tail_recount(group);
    log_info("group.install", "group=%llu index=%llu", (unsigned long long)group->id,
             (unsigned long long)snapshot->index);
}

static void complete(struct group *group)
{
    struct install *install = &group->install;
    struct raft_io_snapshot_put *request = install->request;
    group->state = install->state;
    install->stage = INSTALL_NONE;
    buf_deinit(&install->manifest);
    instance_enter(group);
    request->cb(request, 0);
    instance_leave(group);
    assert(group->broken || group->raft.last_applied >= group->state.index);
}

bool install_run(struct group *group)
{
    struct install *install = &group->install;
    if (install->stage == INSTALL_TELL) {
        install->stage = INSTALL_TOLD;
        group->callbacks++;
        group->machine->on_snapshot_install(group->ctx, &install->state,
                                            buf_slice(&install->manifest));
        group->callbacks--;
        return true;
    }
    if (install->stage == INSTALL_DONE) {
        complete(group);
        return true;
    }
    return false;
}
