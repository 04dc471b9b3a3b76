#include "replication/raft/read_index.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "replication/raft/instance.h"
#include "replication/raft/lease.h"
#include "replication/raft/outbox.h"

static uint64_t confirmed_seq_of(const struct contact *contact)
{
    return contact->confirmed_seq;
}

/* The youngest round, if it has this seq; else a new one. */
static struct read_round *round_for(struct group *group, uint64_t seq)
{
    struct read_round *last = group->rounds;
    while (last != NULL && last->next != NULL) {
        last = last->next;
    }
    if (last != NULL && last->seq == seq) {
        return last;
    }
    struct read_round *round = calloc(1, sizeof *round);
    assert(round != NULL);
    round->seq = seq;
    if (last == NULL) {
        group->rounds = round;
    } else {
        last->next = round;
    }
    return round;
}

enum status read_index_begin(struct group *group, struct group_read *read)
{
    const struct raft *raft = &group->raft;
    assert(group->announced && raft->state == RAFT_LEADER);
    bool lease = lease_valid(group);
    if (lease && group->state.index >= raft->commit_index) {
        group->host->stats.lease_reads++;
        return STATUS_OK;
    }
    struct read_round *round = round_for(group, lease ? 0 : group->confirm_seq + 1);
    if (raft->commit_index > round->index) {
        round->index = raft->commit_index;
    }
    read->next = round->reads;
    round->reads = read;
    if (lease) {
        instance_mark_dirty(group);
    } else if (list_empty(&group->asking)) {
        list_push_back(&group->host->asking, &group->asking);
    }
    return STATUS_AGAIN;
}

static void settle(struct group *group)
{
    uint64_t seq = lease_quorum(group, confirmed_seq_of);
    for (struct read_round *round = group->rounds; round != NULL; round = round->next) {
        if (round->seq != 0 && round->seq <= seq && round->seq <= group->confirm_seq) {
            round->seq = 0;
            instance_mark_dirty(group);
        }
    }
}

void read_index_ask(struct group *group)
{
    const struct raft *raft = &group->raft;
    if (raft->state != RAFT_LEADER || group->rounds == NULL || !group->announced) {
        return;
    }
    struct message out = {
        .kind = MESSAGE_CONFIRM,
        .group = group->id,
        .from = group->replica,
        .term = raft->current_term,
    };
    group->confirm_seq++;
    group->confirm_sent_ms = clock_now_ms();
    group->host->stats.index_rounds++;
    out.confirm.seq = group->confirm_seq;
    out.confirm.sent_ns = clock_now_ns();
    for (struct read_round *round = group->rounds; round != NULL; round = round->next) {
        if (round->seq == group->confirm_seq && raft->commit_index > round->index) {
            round->index = raft->commit_index;
        }
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->id != raft->id && server->role == RAFT_VOTER) {
            out.to = server->id;
            outbox_send(group, group_conf_node(server->address), group->meta_lsn, &out);
        }
    }
    settle(group); /* The only voter needs no answer. */
}

bool read_index_tick(struct group *group, uint64_t now_ms)
{
    bool waits = false;
    for (struct read_round *round = group->rounds; round != NULL; round = round->next) {
        waits = waits || round->seq != 0;
    }
    if (waits && now_ms - group->confirm_sent_ms >= group->host->options.heartbeat_ms) {
        read_index_ask(group);
    }
    return waits;
}

void read_index_on_confirm(struct group *group, const struct message *message, uint64_t from_node)
{
    struct raft *raft = &group->raft;
    if (raft->state == RAFT_UNAVAILABLE) {
        return;
    }
    bool follows = raft->state == RAFT_FOLLOWER && raft->current_term == message->term &&
                   raft->follower_state.current_leader.id == message->from;
    if (follows) {
        raft->election_timer_start = clock_now_ms();
    }
    struct message out = {
        .kind = MESSAGE_CONFIRM_RESULT,
        .group = group->id,
        .from = group->replica,
        .to = message->from,
        .term = raft->current_term,
    };
    out.confirm_result.seq = message->confirm.seq;
    out.confirm_result.echo_ns = message->confirm.sent_ns;
    out.confirm_result.follows = follows;
    outbox_send(group, from_node, group->meta_lsn, &out);
}

void read_index_on_result(struct group *group, const struct message *message)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_LEADER || message->term != raft->current_term) {
        return;
    }
    struct contact *contact = lease_contact(group, message->from);
    if (contact == NULL || message->confirm_result.seq > group->confirm_seq) {
        return;
    }
    if (message->confirm_result.seq > contact->confirmed_seq) {
        contact->confirmed_seq = message->confirm_result.seq;
    }
    if (message->confirm_result.follows) {
        lease_echoed(group, message->from, message->confirm_result.echo_ns);
    }
    settle(group);
}

static void call_all(struct group *group, struct group_read *reads, enum status status)
{
    while (reads != NULL) {
        struct group_read *read = reads;
        reads = read->next;
        group->callbacks++;
        read->on_readable(read, status);
        group->callbacks--;
    }
}

bool read_index_run(struct group *group)
{
    struct read_round **link = &group->rounds;
    while (*link != NULL) {
        struct read_round *round = *link;
        if (round->seq != 0 || round->index > group->state.index) {
            link = &round->next;
            continue;
        }
        struct group_read *reads = round->reads;
        *link = round->next;
        free(round);
        call_all(group, reads, STATUS_OK);
        return true; /* The list may be another one now. */
    }
    return false;
}

void read_index_fail(struct group *group, enum status status)
{
    while (group->rounds != NULL) {
        struct read_round *round = group->rounds;
        struct group_read *reads = round->reads;
        group->rounds = round->next;
        free(round);
        call_all(group, reads, status);
    }
}
