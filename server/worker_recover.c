#include "server/worker_recover.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/worker_private.h"

enum { NUMBER_SIZE = 24, TEXT_SIZE = 256, FIELDS = 14 };

static void run_done(struct worker *origin, struct worker_mail *mail)
{
    (void)origin;
    struct recover_ask *ask = list_entry(mail, struct recover_ask, mail);
    ask->done(ask);
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    char text[NUMBER_SIZE];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    resp_write_text(out, name);
    resp_write_text(out, text);
}

static const char *role_text(const struct group_info *info)
{
    switch (info->role) {
    case GROUP_LEADER: return "leader";
    case GROUP_CANDIDATE: return "candidate";
    case GROUP_FOLLOWER: break;
    }
    return info->applied_index == 0 ? "empty" : "follower";
}

/* replica@node, a word each; those that do not vote with a question mark. */
static void put_members(struct buf *out, const struct group_conf *conf)
{
    resp_write_text(out, "members");
    resp_write_array(out, conf->count);
    for (unsigned i = 0; i < conf->count; i++) {
        char text[TEXT_SIZE];
        (void)snprintf(text, sizeof(text), "%llu@%llu%s",
                       (unsigned long long)conf->members[i].replica,
                       (unsigned long long)conf->members[i].node,
                       conf->members[i].role == MEMBER_VOTER ? "" : "?");
        resp_write_text(out, text);
    }
}

static void list_replicas(struct worker *worker, struct recover_ask *ask)
{
    struct buf *out = &ask->reply;
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        struct group_info info;
        const struct shard_state *state = shard_state(slot->shard);
        group_info(shard_group(slot->shard), &info);
        resp_write_map(out, FIELDS);
        put_number(out, "shard", state->desc.id);
        put_number(out, "start", state->desc.start);
        put_number(out, "last", state->desc.last);
        put_number(out, "ver", state->desc.ver);
        put_number(out, "replica", state->replica);
        resp_write_text(out, "role");
        resp_write_text(out, role_text(&info));
        put_number(out, "leader", info.leader_node);
        put_number(out, "term", info.term);
        put_number(out, "last_term", info.last_term);
        put_number(out, "last_index", info.last_index);
        put_number(out, "commit", info.commit_index);
        put_number(out, "applied", info.applied_index);
        put_number(out, "time_ms", state->machine.time_ms);
        put_members(out, &info.conf);
        ask->count++;
    }
}

static enum status check(const struct slot *slot, const struct recover_ask *ask)
{
    struct group_info info;
    const struct shard_state *state = shard_state(slot->shard);
    group_info(shard_group(slot->shard), &info);
    if (state->replica != ask->replica) {
        return STATUS_NO_SHARD;
    }
    if (state->group.index == 0 || ask->fresh <= ask->replica) {
        return STATUS_BAD_ARGUMENT;
    }
    bool led = info.role == GROUP_LEADER || info.leader_node != 0;
    bool free_now = !led && !slot->installing && !info.installing && !slot->removing &&
                    !slot->stepping && shard_quiet(slot->shard);
    return free_now ? STATUS_OK : STATUS_BUSY;
}

static enum status rebirth(struct worker *worker, const struct recover_ask *ask)
{
    struct slot *slot = worker_slot(worker, ask->shard);
    if (slot == NULL) {
        return STATUS_NO_SHARD;
    }
    if (shard_state(slot->shard)->replica == ask->fresh) {
        return STATUS_OK; /* It was done before. */
    }
    enum status status = check(slot, ask);
    if (status != STATUS_OK) {
        return status;
    }
    struct birth *fresh = calloc(1, sizeof(*fresh));
    assert(fresh != NULL);
    fresh->state = *shard_state(slot->shard);
    fresh->reborn = true;
    worker->rebirths++;
    fresh->state.replica = ask->fresh;
    fresh->state.group.conf_index = fresh->state.group.index;
    fresh->state.group.conf = (struct group_conf){
        .count = 1,
        .members = {{.replica = ask->fresh, .node = worker->options.node, .role = MEMBER_VOTER}}};
    log_warn("shard.rebirth", "shard=%llu replica=%llu as=%llu index=%llu",
             (unsigned long long)ask->shard, (unsigned long long)ask->replica,
             (unsigned long long)ask->fresh, (unsigned long long)fresh->state.group.index);
    struct group_info info;
    group_info(shard_group(slot->shard), &info);
    replica_drop(worker, slot);
    /* Nothing of it may be under way when the log is read again; whom it voted for does not matter
     * any more. */
    fresh->lsn = wal_port_vote(worker->port, ask->shard, info.term, 0);
    replica_rename(worker, ask->replica, &fresh->state);
    list_push_back(&worker->births, &fresh->link);
    worker->env.again(worker->env.ctx);
    return STATUS_OK;
}

static void run_ask(struct worker *worker, struct worker_mail *mail)
{
    struct recover_ask *ask = list_entry(mail, struct recover_ask, mail);
    ask->status = STATUS_OK;
    if (worker->quit) {
        ask->status = STATUS_CLOSED;
    } else if (ask->rebirth) {
        ask->status = rebirth(worker, ask);
    } else if (worker->rebirths > 0) {
        ask->status = STATUS_BUSY; /* A list without them would say that they are lost. */
    } else {
        list_replicas(worker, ask);
    }
    ask->mail.run = run_done;
    worker->env.post(worker->env.ctx, ask->origin->options.loop, &ask->mail);
}

void worker_recover_ask(struct worker *origin, unsigned loop, struct recover_ask *ask)
{
    assert(ask->done != NULL);
    ask->origin = origin;
    ask->mail.run = run_ask;
    origin->env.post(origin->env.ctx, loop, &ask->mail);
}
