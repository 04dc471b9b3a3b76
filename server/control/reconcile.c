#include "server/control/reconcile.h"

#include "common/base/assert.h"
#include "common/base/hash.h"

bool reconcile_wants(const struct shard_desc *desc, uint64_t replica)
{
    for (unsigned i = 0; i < desc->replica_count; i++) {
        if (desc->replicas[i].id == replica) {
            return true;
        }
    }
    return false;
}

/* Index in conf.members, conf.count if it is not a member. */
static unsigned member_of(const struct group_info *info, uint64_t replica)
{
    unsigned i = 0;
    while (i < info->conf.count && info->conf.members[i].replica != replica) {
        i++;
    }
    return i;
}

/* The replica of member i answers and has about everything. */
static bool is_ready(const struct reconcile_input *input, unsigned i)
{
    const struct group_info *info = input->info;
    bool self = info->conf.members[i].replica == info->replica;
    bool connected = (input->connected >> i & 1) != 0;
    return self || (connected && info->match[i] + RECONCILE_LAG_MAX >= info->commit_index);
}

static struct reconcile_step step_for(const struct reconcile_input *input,
                                      enum reconcile_kind kind,
                                      unsigned i)
{
    const struct group_member *member = &input->info->conf.members[i];
    assert(i < input->info->conf.count);
    return (struct reconcile_step){
        .kind = kind, .replica = member->replica, .node = member->node, .role = member->role};
}

static const struct reconcile_step nothing = {.kind = RECONCILE_NONE};

/* An unwanted member without a vote can go at any time. */
static struct reconcile_step drop_bystander(const struct reconcile_input *input)
{
    const struct group_conf *conf = &input->info->conf;
    for (unsigned i = 0; i < conf->count; i++) {
        if (conf->members[i].role != MEMBER_VOTER &&
            !reconcile_wants(input->desc, conf->members[i].replica)) {
            return step_for(input, RECONCILE_REMOVE, i);
        }
    }
    return nothing;
}

/* The next step of one wanted replica towards its vote. */
static struct reconcile_step raise_one(const struct reconcile_input *input,
                                       const struct replica_desc *replica,
                                       unsigned i)
{
    const struct group_conf *conf = &input->info->conf;
    if (i == conf->count) {
        bool room = conf->count < GROUP_MEMBERS_MAX;
        return (struct reconcile_step){.kind = room ? RECONCILE_ADD : RECONCILE_NONE,
                                       .replica = replica->id,
                                       .node = replica->node};
    }
    struct reconcile_step step = step_for(input, RECONCILE_ASSIGN, i);
    if (step.role == MEMBER_SPARE) {
        step.role = MEMBER_STANDBY;
        return step;
    }
    step.role = MEMBER_VOTER;
    return is_ready(input, i) ? step : nothing;
}

/* Brings the wanted replicas towards votes. One that is down does not hold up the others. */
static struct reconcile_step raise_wanted(const struct reconcile_input *input, bool *complete)
{
    const struct shard_desc *desc = input->desc;
    const struct group_info *info = input->info;
    *complete = true;
    for (unsigned n = 0; n < desc->replica_count; n++) {
        unsigned i = member_of(info, desc->replicas[n].id);
        if (i < info->conf.count && info->conf.members[i].role == MEMBER_VOTER) {
            continue;
        }
        *complete = false;
        struct reconcile_step step = raise_one(input, &desc->replicas[n], i);
        if (step.kind != RECONCILE_NONE) {
            return step;
        }
    }
    return nothing;
}

/* True if enough of the wanted voters are ready to be a group of their own. */
static bool wanted_stand(const struct reconcile_input *input)
{
    const struct group_conf *conf = &input->info->conf;
    unsigned ready = 0;
    for (unsigned i = 0; i < conf->count; i++) {
        bool in = reconcile_wants(input->desc, conf->members[i].replica);
        ready += in && conf->members[i].role == MEMBER_VOTER && is_ready(input, i);
    }
    return ready > input->desc->replica_count / 2;
}

/* Removes the unwanted voter that is least of use, if those left that are ready are a majority of
 * those left: they commit the change, and all after it. */
static struct reconcile_step drop_voter(const struct reconcile_input *input)
{
    const struct group_info *info = input->info;
    unsigned voters = 0;
    unsigned ready = 0;
    unsigned victim = info->conf.count;
    for (unsigned i = 0; i < info->conf.count; i++) {
        const struct group_member *member = &info->conf.members[i];
        if (member->role != MEMBER_VOTER) {
            continue;
        }
        voters++;
        ready += is_ready(input, i);
        bool droppable =
            member->replica != info->replica && !reconcile_wants(input->desc, member->replica);
        if (droppable && (victim == info->conf.count || !is_ready(input, i))) {
            victim = i;
        }
    }
    if (victim == info->conf.count) {
        return nothing;
    }
    ready -= is_ready(input, victim);
    return ready > (voters - 1) / 2 ? step_for(input, RECONCILE_REMOVE, victim) : nothing;
}

/* The wanted voter to lead instead of this one, which is not wanted: the preferred leader if it is
 * ready, else the one that has most. conf.count if none is ready. */
static unsigned successor(const struct reconcile_input *input)
{
    const struct group_info *info = input->info;
    unsigned best = info->conf.count;
    for (unsigned n = 0; n < input->desc->replica_count; n++) {
        unsigned i = member_of(info, input->desc->replicas[n].id);
        if (i == info->conf.count || info->conf.members[i].role != MEMBER_VOTER ||
            !is_ready(input, i)) {
            continue;
        }
        if (n == 0) {
            return i;
        }
        if (best == info->conf.count || info->match[i] > info->match[best]) {
            best = i;
        }
    }
    return best;
}

static struct reconcile_step drop_unwanted(const struct reconcile_input *input, bool *complete)
{
    const struct group_info *info = input->info;
    for (unsigned i = 0; i < info->conf.count; i++) {
        *complete = *complete && reconcile_wants(input->desc, info->conf.members[i].replica);
    }
    if (*complete) {
        return nothing;
    }
    if (!reconcile_wants(input->desc, info->replica)) {
        unsigned i = successor(input);
        return i == info->conf.count ? nothing : step_for(input, RECONCILE_TRANSFER, i);
    }
    return wanted_stand(input) ? drop_voter(input) : nothing;
}

/* Spread over shards, so that a node that comes back is not given everything in one moment. */
static uint64_t stable_ms(uint64_t shard)
{
    return RECONCILE_STABLE_MS + hash_bytes(slice_of(&shard, sizeof(shard))) % RECONCILE_STABLE_MS;
}

static struct reconcile_step go_home(struct reconcile_state *state,
                                     const struct reconcile_input *input)
{
    const struct group_info *info = input->info;
    assert(input->desc->replica_count > 0);
    unsigned i = member_of(info, input->desc->replicas[0].id);
    assert(i < info->conf.count);
    if (input->desc->replicas[0].id == info->replica || !is_ready(input, i)) {
        state->home_since_ms = 0;
        return nothing;
    }
    if (state->home_since_ms == 0) {
        state->home_since_ms = input->now_ms;
    }
    uint64_t since = input->now_ms - state->home_since_ms;
    return since < stable_ms(input->desc->id) ? nothing : step_for(input, RECONCILE_TRANSFER, i);
}

struct reconcile_step reconcile_next(struct reconcile_state *state,
                                     const struct reconcile_input *input)
{
    assert(input->info->conf.count <= GROUP_MEMBERS_MAX);
    assert(input->desc->replica_count <= SHARD_REPLICAS_MAX);
    if (input->info->role != GROUP_LEADER || input->desc->replica_count == 0) {
        return nothing;
    }
    if (state->term != input->info->term) {
        state->term = input->info->term;
        state->home_since_ms = 0;
    }
    if (input->now_ms < state->retry_at_ms) {
        return nothing;
    }
    bool complete = false;
    struct reconcile_step step = drop_bystander(input);
    if (step.kind == RECONCILE_NONE) {
        step = raise_wanted(input, &complete);
    }
    if (step.kind == RECONCILE_NONE && !complete && input->info->conf.count == GROUP_MEMBERS_MAX) {
        step = drop_voter(input); /* There is no room for a wanted one. */
    }
    if (step.kind == RECONCILE_NONE && complete) {
        step = drop_unwanted(input, &complete);
    }
    if (step.kind == RECONCILE_NONE && complete) {
        return go_home(state, input);
    }
    state->home_since_ms = 0;
    return step;
}

void reconcile_done(struct reconcile_state *state, enum status status, uint64_t now_ms)
{
    if (status == STATUS_OK) {
        state->retry_ms = 0;
        state->retry_at_ms = 0;
        return;
    }
    uint32_t next = state->retry_ms * 2;
    next = next < RECONCILE_RETRY_MS_MIN ? RECONCILE_RETRY_MS_MIN : next;
    state->retry_ms = next > RECONCILE_RETRY_MS_MAX ? RECONCILE_RETRY_MS_MAX : next;
    state->retry_at_ms = now_ms + state->retry_ms;
    state->home_since_ms = 0;
}
