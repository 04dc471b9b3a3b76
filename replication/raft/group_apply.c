#include "replication/raft/group_apply.h"

#include <stdlib.h>

#include "replication/raft/core_log.h"
#include "replication/raft/instance.h"

void group_apply_complete(struct group *group, struct proposal *proposal, enum status status)
{
    struct done *done = malloc(sizeof *done);
    assert(done != NULL);
    *done = (struct done){.proposal = proposal, .status = status};
    *group->done_end = done;
    group->done_end = &done->next;
    instance_mark_dirty(group);
}

bool group_apply_run(struct group *group)
{
    bool any = false;
    while (group->done != NULL) {
        struct done *done = group->done;
        struct proposal *proposal = done->proposal;
        enum status status = done->status;
        group->done = done->next;
        if (group->done == NULL) {
            group->done_end = &group->done;
        }
        free(done);
        group->callbacks++;
        proposal->on_done(proposal, status);
        group->callbacks--;
        any = true;
    }
    return any;
}

static void remove_pending(struct group *group, struct pending **link)
{
    struct pending *pending = *link;
    *link = pending->next;
    if (*link == NULL) {
        group->pending_end = link;
    }
    assert(group->pending_count > 0 && group->pending_bytes >= pending->size);
    group->pending_count--;
    group->pending_bytes -= pending->size;
    free(pending);
}

void group_apply_reap(struct group *group)
{
    struct pending **link = &group->pending;
    while (*link != NULL) {
        struct pending *pending = *link;
        if (pending->proposal != NULL || pending->in_core) {
            link = &pending->next;
        } else {
            remove_pending(group, link);
        }
    }
}

static void on_committed(struct raft_apply *request, int status, void *result)
{
    struct pending *pending = request->data;
    (void)result;
    assert(pending->in_core);
    pending->in_core = false;
    if (status != 0 && pending->proposal != NULL) {
        group_apply_complete(pending->group, pending->proposal, STATUS_LEADERSHIP_LOST);
        pending->proposal = NULL;
    }
}

void group_apply_fail(struct group *group, enum status status)
{
    for (struct pending *pending = group->pending; pending != NULL; pending = pending->next) {
        if (pending->proposal != NULL) {
            group_apply_complete(group, pending->proposal, status);
            pending->proposal = NULL;
        }
    }
    group_apply_reap(group);
}

bool group_apply_has_room(const struct group *group)
{
    return group->pending_count < GROUP_PROPOSALS_MAX &&
           group->pending_bytes < GROUP_PROPOSED_BYTES_MAX && group->raft.transfer == NULL &&
           group->handover_stage == HANDOVER_NONE;
}

enum status group_apply_propose(struct group *group, struct slice entry, struct proposal *proposal)
{
    struct raft *raft = &group->raft;
    struct pending *pending = calloc(1, sizeof *pending);
    struct raft_buffer buffer = {.base = raft_malloc(entry.len + 1), .len = entry.len};
    assert(pending != NULL && buffer.base != NULL);
    if (entry.len > 0) {
        memcpy(buffer.base, entry.data, entry.len);
    }
    pending->group = group;
    pending->proposal = proposal;
    pending->request.data = pending;
    pending->index = core_log_last(raft) + 1;
    pending->term = raft->current_term;
    pending->size = entry.len;
    pending->in_core = true;
    instance_enter(group);
    int rv = raft_apply(raft, &pending->request, &buffer, 1, on_committed);
    instance_leave(group);
    if (rv != 0) {
        assert(rv == RAFT_NOTLEADER);
        raft_free(buffer.base);
        free(pending);
        return STATUS_NOT_LEADER;
    }
    *group->pending_end = pending;
    group->pending_end = &pending->next;
    group->pending_count++;
    group->pending_bytes += pending->size;
    return STATUS_OK;
}

/* The proposal that made the entry, taken out of the list; NULL if it was another's. */
static struct proposal *take_mine(struct group *group, uint64_t index, uint64_t term)
{
    for (struct pending **link = &group->pending; *link != NULL; link = &(*link)->next) {
        struct pending *pending = *link;
        if (pending->index == index && pending->term == term && pending->proposal != NULL) {
            struct proposal *proposal = pending->proposal;
            assert(!pending->in_core);
            remove_pending(group, link);
            return proposal;
        }
    }
    return NULL;
}

void group_apply(struct group *group)
{
    const struct raft *raft = &group->raft;
    while (group->state.index < raft->last_applied) {
        uint64_t index = group->state.index + 1;
        const struct raft_entry *entry = core_log_entry(raft, index);
        struct slice data = slice_of(NULL, 0);
        struct proposal *mine = NULL;
        assert(entry != NULL);
        assert(entry->term >= group->state.term);
        group->state.index = index;
        group->state.term = entry->term;
        if (entry->type == RAFT_COMMAND) {
            data = slice_of(entry->buf.base, entry->buf.len);
            mine = take_mine(group, index, entry->term);
        } else if (entry->type == RAFT_CHANGE) {
            struct slice conf = slice_of(entry->buf.base, entry->buf.len);
            bool whole = group_conf_decode_entry(conf, &group->state.conf);
            assert(whole);
            group->state.conf_index = index;
        }
        group->callbacks++;
        group->machine->apply(group->ctx, &group->state, data, mine);
        group->callbacks--;
        if (mine != NULL) {
            group_apply_complete(group, mine, STATUS_OK);
        }
    }
}
