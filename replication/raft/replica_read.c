#include "replication/raft/replica_read.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "replication/raft/core_log.h"
#include "replication/raft/inbox.h"
#include "replication/raft/instance.h"
#include "replication/raft/outbox.h"
#include "replication/raft/read_index.h"

/* A question of a follower, while the leader makes sure that it leads. */
struct question {
    struct group_read read;
    struct group *group;
    uint64_t replica, node, seq;
};

static bool installing(const struct group *group)
{
    return group->install.stage != INSTALL_NONE;
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

/* ---- who asks ---- */

static void note_asking(struct group *group)
{
    if (list_empty(&group->asking)) {
        list_push_back(&group->host->asking, &group->asking);
    }
}

enum status replica_read_begin(struct group *group, struct group_read *read)
{
    if (group->told_leader == 0 || group->state.index == 0 || installing(group)) {
        return STATUS_NOT_LEADER;
    }
    struct replica_read *own = &group->replica_read;
    read->next = own->next;
    own->next = read;
    note_asking(group);
    return STATUS_AGAIN;
}

void replica_read_warm(struct group *group)
{
    struct replica_read *own = &group->replica_read;
    if (group->told_leader != 0 && !own->flying && own->points == NULL) {
        own->warm = true;
        note_asking(group);
    }
}

static void send_question(struct group *group)
{
    struct replica_read *own = &group->replica_read;
    const struct raft *raft = &group->raft;
    struct message out = {.kind = MESSAGE_ASK_POINT,
                          .group = group->id,
                          .from = group->replica,
                          .term = raft->current_term};
    /* Random: an answer to a question of before a restart is nobody's. */
    own->seq = rand_u64(&group->host->rand) | 1;
    own->flying = true;
    own->warm = false;
    own->sent_ns = clock_now_ns();
    own->sent_ms = clock_now_ms();
    out.to = raft->state == RAFT_FOLLOWER ? raft->follower_state.current_leader.id : 0;
    out.ask_point.seq = own->seq;
    if (out.to != 0 && out.to != group->replica) {
        outbox_send(group, group->told_leader, group->meta_lsn, &out);
    }
}

/* Puts the chain in front of the other. */
static struct group_read *join(struct group_read *front, struct group_read *back)
{
    if (front == NULL) {
        return back;
    }
    struct group_read *last = front;
    while (last->next != NULL) {
        last = last->next;
    }
    last->next = back;
    return front;
}

void replica_read_ask(struct group *group)
{
    struct replica_read *own = &group->replica_read;
    if (own->flying || (own->next == NULL && !own->warm) || group->closed) {
        return;
    }
    assert(own->asked == NULL);
    own->asked = own->next;
    own->next = NULL;
    own->began_ms = clock_now_ms();
    if (list_empty(&own->ticked)) {
        list_push_back(&group->host->replica_reads, &own->ticked);
    }
    send_question(group);
}

static void fail_points(struct group *group, enum status status)
{
    struct replica_read *own = &group->replica_read;
    while (own->points != NULL) {
        struct replica_point *point = own->points;
        struct group_read *reads = point->reads;
        own->points = point->next;
        free(point);
        call_all(group, reads, status);
    }
}

void replica_read_fail(struct group *group, bool all, enum status status)
{
    struct replica_read *own = &group->replica_read;
    struct group_read *reads = join(own->asked, own->next);
    own->asked = NULL;
    own->next = NULL;
    own->flying = false;
    own->warm = false;
    own->refused = false;
    call_all(group, reads, status);
    if (all) {
        fail_points(group, status);
    }
}

bool replica_read_tick(struct group *group, uint64_t now_ms)
{
    struct replica_read *own = &group->replica_read;
    uint64_t patience_ms = group->host->options.election_ms;
    if (own->flying && now_ms - own->began_ms > patience_ms) {
        own->refused = true;
        instance_mark_dirty(group);
    }
    if (own->points != NULL && now_ms - own->points->began_ms > 2 * patience_ms) {
        own->late = true;
        instance_mark_dirty(group);
    }
    if (own->flying && !own->refused &&
        now_ms - own->sent_ms >= group->host->options.heartbeat_ms) {
        own->asked = join(own->asked, own->next);
        own->next = NULL;
        send_question(group);
    }
    return own->flying || own->points != NULL;
}

/* An AppendEntries without entries. */
static struct message commit_of(const struct message *point)
{
    struct message commit = {.kind = MESSAGE_APPEND,
                             .group = point->group,
                             .from = point->from,
                             .to = point->to,
                             .term = point->term};
    commit.append.prev_index = point->read_point.index;
    commit.append.prev_term = point->read_point.index_term;
    commit.append.commit = point->read_point.index;
    return commit;
}

void replica_read_on_point(struct group *group, const struct message *message, struct lane *lane)
{
    struct replica_read *own = &group->replica_read;
    if (!own->flying || message->read_point.seq != own->seq) {
        return;
    }
    if (message->read_point.index == 0) {
        own->refused = true;
        instance_mark_dirty(group);
        return;
    }
    struct replica_point *point = calloc(1, sizeof *point);
    assert(point != NULL);
    *point = (struct replica_point){.index = message->read_point.index,
                                    .stamp = message->read_point.stamp,
                                    .asked_ns = own->sent_ns,
                                    .began_ms = own->began_ms,
                                    .commit = commit_of(message),
                                    .lane = lane,
                                    .reads = own->asked};
    struct replica_point **end = &own->points;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = point;
    own->asked = NULL;
    own->flying = false;
    if (own->next != NULL) {
        note_asking(group);
    }
    instance_mark_dirty(group);
}

/* The library hears of what is committed with the next entries or heartbeat. The point says so now:
 * as soon as the entries are stored the library is shown the heartbeat that the leader could have
 * sent instead. */
static bool show_commit(struct group *group, struct replica_point *point)
{
    const struct raft *raft = &group->raft;
    const struct message *commit = &point->commit;
    if (raft->state != RAFT_FOLLOWER || raft->current_term != commit->term ||
        raft->follower_state.current_leader.id != commit->from || installing(group) ||
        raft->commit_index >= point->index || raft->last_stored < point->index ||
        raft->last_stored == point->stored ||
        core_log_term(raft, point->index) != commit->append.prev_term) {
        return false;
    }
    point->stored = raft->last_stored;
    inbox_deliver(group, commit, point->lane);
    return true;
}

bool replica_read_run(struct group *group)
{
    struct replica_read *own = &group->replica_read;
    if (own->refused) {
        replica_read_fail(group, false, STATUS_NOT_LEADER);
        return true;
    }
    struct replica_point *point = own->points;
    bool applied = guard_on(group, GUARD_POINT)
                       ? point != NULL && point->index <= group->state.index
                       : point != NULL;
    if (!applied && point != NULL && show_commit(group, point)) {
        return true;
    }
    if (!applied) {
        bool late = own->late;
        own->late = false;
        if (late) {
            fail_points(group, STATUS_NOT_LEADER);
        }
        return late;
    }
    struct group_read *reads = point->reads;
    own->points = point->next;
    enum status status = installing(group) ? STATUS_NOT_LEADER : STATUS_OK;
    if (status == STATUS_OK) {
        own->fresh_ns = point->asked_ns > own->fresh_ns ? point->asked_ns : own->fresh_ns;
        own->stamp = point->stamp > own->stamp ? point->stamp : own->stamp;
    }
    free(point);
    call_all(group, reads, status);
    return true;
}

/* ---- who leads ---- */

static void answer(struct group *group, const struct question *question, bool good)
{
    struct message out = {.kind = MESSAGE_READ_POINT,
                          .group = group->id,
                          .from = group->replica,
                          .to = question->replica,
                          .term = group->raft.current_term};
    out.read_point.seq = question->seq;
    if (good) {
        out.read_point.index = group->state.index;
        out.read_point.index_term = group->state.term;
        out.read_point.stamp =
            group->machine->read_stamp == NULL ? 0 : group->machine->read_stamp(group->ctx);
    }
    outbox_send(group, question->node, group->meta_lsn, &out);
}

static void on_readable(struct group_read *read, enum status status)
{
    struct question *question = list_entry(read, struct question, read);
    if (status != STATUS_CLOSED) {
        answer(question->group, question, status == STATUS_OK);
    }
    free(question);
}

void replica_read_on_ask(struct group *group, const struct message *message, uint64_t from_node)
{
    struct question *question = calloc(1, sizeof *question);
    assert(question != NULL);
    *question = (struct question){.read = {.on_readable = on_readable},
                                  .group = group,
                                  .replica = message->from,
                                  .node = from_node,
                                  .seq = message->ask_point.seq};
    enum status status = group_read(group, &question->read);
    if (status == STATUS_AGAIN) {
        return;
    }
    answer(group, question, status == STATUS_OK);
    free(question);
}
