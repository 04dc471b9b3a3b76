#include "replication/raft/lease.h"

#include "common/base/clock.h"

/* Two clocks may drift apart by 1 %, far beyond what NTP slews (0.05 %) and crystals err; the
 * library counts whole milliseconds, rounded down, on both sides. */
enum { LEASE_DRIFT_PERCENT = 1, LEASE_ROUNDING_NS = 2000000 };

static bool is_member(const struct raft *raft, uint64_t replica)
{
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == replica) {
            return true;
        }
    }
    return false;
}

static const struct contact *find(const struct group *group, uint64_t replica)
{
    if (group->contacts_term != group->raft.current_term) {
        return NULL;
    }
    for (unsigned i = 0; i < GROUP_CONTACTS_MAX; i++) {
        if (group->contacts[i].replica == replica) {
            return &group->contacts[i];
        }
    }
    return NULL;
}

struct contact *lease_contact(struct group *group, uint64_t replica)
{
    if (group->contacts_term != group->raft.current_term || !is_member(&group->raft, replica)) {
        return NULL;
    }
    struct contact *spare = NULL;
    for (unsigned i = 0; i < GROUP_CONTACTS_MAX; i++) {
        struct contact *contact = &group->contacts[i];
        if (contact->replica == replica) {
            return contact;
        }
        if (spare == NULL &&
            (contact->replica == 0 || !is_member(&group->raft, contact->replica))) {
            spare = contact;
        }
    }
    assert(spare != NULL); /* Twice as many as members. */
    *spare = (struct contact){.replica = replica};
    return spare;
}

void lease_new_term(struct group *group)
{
    assert(group->raft.state == RAFT_LEADER);
    memset(group->contacts, 0, sizeof group->contacts);
    group->contacts_term = group->raft.current_term;
    group->lease_suspect = 0;
}

void lease_restart(struct group *group)
{
    memset(group->contacts, 0, sizeof group->contacts);
    group->contacts_term = 0;
    group->echo_ns = 0;
    group->heard_ns = 0;
    if (group->host->options.lease_reads) {
        group->blackout_until_ms = clock_now_ms() + group->host->options.election_ms;
    }
}

void lease_hear(struct group *group, uint64_t from, uint64_t term, uint64_t ns)
{
    assert(!group->in_library);
    group->heard_from = from;
    group->heard_term = term;
    group->heard_ns = ns;
}

void lease_heard(struct group *group)
{
    const struct raft *raft = &group->raft;
    if (!group->in_receive || group->heard_ns == 0) {
        return;
    }
    bool follows = raft->state == RAFT_FOLLOWER && raft->current_term == group->heard_term &&
                   raft->follower_state.current_leader.id == group->heard_from;
    if (!follows) {
        return;
    }
    bool same = group->echo_term == group->heard_term && group->echo_to == group->heard_from;
    if (!same || group->heard_ns > group->echo_ns) {
        group->echo_ns = group->heard_ns;
    }
    group->echo_term = group->heard_term;
    group->echo_to = group->heard_from;
    group->heard_ns = 0;
}

uint64_t lease_echo(const struct group *group, uint64_t to, uint64_t term)
{
    bool same = group->echo_term == term && group->echo_to == to;
    return same && group->raft.current_term == term ? group->echo_ns : 0;
}

void lease_echoed(struct group *group, uint64_t replica, uint64_t ns)
{
    if (ns == 0 || ns > clock_now_ns()) {
        return;
    }
    struct contact *contact = lease_contact(group, replica);
    if (contact != NULL && ns > contact->lease_ns) {
        contact->lease_ns = ns;
    }
    if (group->lease_suspect == replica && ns > group->lease_suspect_ns) {
        group->lease_suspect = 0;
    }
}

void lease_suspend(struct group *group, uint64_t replica)
{
    group->lease_suspect = replica;
    group->lease_suspect_ns = clock_now_ns();
}

uint64_t lease_quorum(const struct group *group, uint64_t (*value_of)(const struct contact *))
{
    const struct raft *raft = &group->raft;
    uint64_t values[GROUP_MEMBERS_MAX + 1];
    unsigned others = 0;
    unsigned voters = 0;
    unsigned self = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role != RAFT_VOTER) {
            continue;
        }
        voters++;
        if (server->id == raft->id) {
            self = 1;
            continue;
        }
        const struct contact *contact = find(group, server->id);
        uint64_t value = contact == NULL ? 0 : value_of(contact);
        unsigned at = others++;
        assert(at < GROUP_MEMBERS_MAX);
        for (; at > 0 && values[at - 1] < value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
    unsigned needed = voters / 2 + 1 - self;
    if (needed == 0) {
        return UINT64_MAX;
    }
    return needed <= others ? values[needed - 1] : 0;
}

static uint64_t lease_ns_of(const struct contact *contact)
{
    return contact->lease_ns;
}

bool lease_valid(const struct group *group)
{
    const struct host_options *options = &group->host->options;
    if (!options->lease_reads || !group->announced || group->lease_suspect != 0) {
        return false;
    }
    assert(group->raft.state == RAFT_LEADER);
    uint64_t stamp = lease_quorum(group, lease_ns_of);
    if (stamp == UINT64_MAX) {
        return true; /* The only voter: nobody can be elected without us. */
    }
    uint64_t length = (uint64_t)options->election_ms * 1000000 / 100 * (100 - LEASE_DRIFT_PERCENT);
    assert(length > LEASE_ROUNDING_NS);
    return stamp != 0 && clock_now_ns() < stamp + length - LEASE_ROUNDING_NS;
}
