#include "tests/shard/group_fake.h"

#include <stdlib.h>

#include "tests/support/test.h"

enum { WAITING_MAX = 64 };

struct waiting_entry {
    struct buf bytes;
    struct proposal *proposal;
};

struct group {
    struct group_options options;
    struct group_state state;
    enum group_role role;
    uint64_t term;
    struct waiting_entry waiting[WAITING_MAX];
    size_t waiting_count;
    struct group_read *reads;
    bool hold_reads, full;
    bool lonely;
    unsigned warmed;
    struct group_freshness freshness;
    bool applying;
};

enum status group_open(struct host *host, const struct group_options *options, struct group **group)
{
    (void)host;
    struct group *self = calloc(1, sizeof(*self));
    CHECK(self != NULL);
    self->options = *options;
    self->state = options->state;
    *group = self;
    return STATUS_OK;
}

static void fail_reads(struct group *group, enum status status)
{
    while (group->reads != NULL) {
        struct group_read *read = group->reads;
        group->reads = read->next;
        read->on_readable(read, status);
    }
}

static void fail_proposals(struct group *group, enum status status)
{
    while (group->waiting_count > 0) {
        struct waiting_entry entry = group->waiting[0];
        group->waiting_count--;
        memmove(group->waiting, group->waiting + 1, group->waiting_count * sizeof(entry));
        entry.proposal->on_done(entry.proposal, status);
        buf_deinit(&entry.bytes);
    }
}

void group_close(struct group *group)
{
    fail_proposals(group, STATUS_CLOSED);
    fail_reads(group, STATUS_CLOSED);
    free(group);
}

bool group_can_propose(const struct group *group)
{
    return !group->full && group->waiting_count < WAITING_MAX;
}

enum status group_propose(struct group *group, struct slice entry, struct proposal *proposal)
{
    CHECK(!group->applying);
    if (group->role != GROUP_LEADER) {
        return STATUS_NOT_LEADER;
    }
    if (!group_can_propose(group)) {
        return STATUS_BUSY;
    }
    struct waiting_entry *waiting = &group->waiting[group->waiting_count++];
    *waiting = (struct waiting_entry){.proposal = proposal};
    buf_init(&waiting->bytes, SIZE_MAX / 2);
    buf_append_slice(&waiting->bytes, entry);
    return STATUS_OK;
}

enum status group_read(struct group *group, struct group_read *read)
{
    CHECK(!group->applying);
    if (group->role != GROUP_LEADER) {
        return STATUS_NOT_LEADER;
    }
    if (!group->hold_reads) {
        return STATUS_OK;
    }
    read->next = group->reads;
    group->reads = read;
    return STATUS_AGAIN;
}

enum status group_read_replica(struct group *group, struct group_read *read)
{
    if (group->role == GROUP_LEADER) {
        return group_read(group, read);
    }
    if (group->lonely) {
        return STATUS_NOT_LEADER;
    }
    read->next = group->reads;
    group->reads = read;
    return STATUS_AGAIN;
}

void group_freshness(struct group *group, bool warm, struct group_freshness *freshness)
{
    group->warmed += warm;
    *freshness = group->freshness;
}

void group_fake_fresh(struct group *group, uint64_t since_ns, uint64_t stamp)
{
    group->freshness = (struct group_freshness){.since_ns = since_ns, .stamp = stamp};
}

unsigned group_fake_warmed(const struct group *group)
{
    return group->warmed;
}

void group_fake_isolate(struct group *group, bool lonely)
{
    group->lonely = lonely;
}

void group_flushed(struct group *group, uint64_t index)
{
    CHECK(index <= group->state.index);
}

void group_info(const struct group *group, struct group_info *info)
{
    *info = (struct group_info){.id = group->options.id,
                                .replica = group->options.replica,
                                .role = group->role,
                                .term = group->term,
                                .applied_index = group->state.index,
                                .last_index = group->state.index,
                                .conf = group->state.conf};
    for (unsigned i = 0; i < info->conf.count; i++) {
        info->match[i] = info->last_index;
    }
}

void group_snapshot_installed(struct group *group)
{
    (void)group;
}

static void set_role(struct group *group, enum group_role role, uint64_t term, uint64_t leader)
{
    group->role = role;
    group->term = term;
    group->options.machine->on_role(group->options.ctx, role, term, leader);
}

void group_fake_lead(struct group *group, uint64_t term)
{
    group_fake_feed(group, slice_of(NULL, 0)); /* Its barrier. */
    set_role(group, GROUP_LEADER, term, 1);
}

void group_fake_depose(struct group *group, uint64_t term, uint64_t leader_node)
{
    set_role(group, GROUP_FOLLOWER, term, leader_node);
    fail_reads(group, STATUS_NOT_LEADER);
    fail_proposals(group, STATUS_LEADERSHIP_LOST);
}

size_t group_fake_waiting(const struct group *group)
{
    return group->waiting_count;
}

struct slice group_fake_oldest(const struct group *group)
{
    CHECK(group->waiting_count > 0);
    return buf_slice(&group->waiting[0].bytes);
}

static void apply(struct group *group, struct slice entry, struct proposal *mine)
{
    group->state.index++;
    group->state.term = group->term;
    group->applying = true;
    group->options.machine->apply(group->options.ctx, &group->state, entry, mine);
    group->applying = false;
}

void group_fake_commit(struct group *group)
{
    CHECK(group->waiting_count > 0);
    struct waiting_entry entry = group->waiting[0];
    group->waiting_count--;
    memmove(group->waiting, group->waiting + 1, group->waiting_count * sizeof(entry));
    apply(group, buf_slice(&entry.bytes), entry.proposal);
    entry.proposal->on_done(entry.proposal, STATUS_OK);
    buf_deinit(&entry.bytes);
}

void group_fake_feed(struct group *group, struct slice entry)
{
    apply(group, entry, NULL);
}

void group_fake_hold_reads(struct group *group, bool hold)
{
    group->hold_reads = hold;
}

void group_fake_confirm(struct group *group, enum status status)
{
    fail_reads(group, status);
}

void group_fake_fill(struct group *group, bool full)
{
    group->full = full;
}
