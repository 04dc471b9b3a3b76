#include "replication/raft/group_conf.h"

#include <inttypes.h>
#include <raft.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { CONF_ENTRY_FORMAT = 1, STATE_FORMAT = 1 };

void group_conf_address(uint64_t replica, uint64_t node, char *out)
{
    int len = snprintf(out, GROUP_ADDRESS_SIZE, "%" PRIu64 "@%" PRIu64, replica, node);
    assert(len > 0 && len < GROUP_ADDRESS_SIZE);
}

uint64_t group_conf_node(const char *address)
{
    const char *at = strchr(address, '@');
    return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

static int role_to_raft(enum member_role role)
{
    switch (role) {
    case MEMBER_SPARE: return RAFT_SPARE;
    case MEMBER_STANDBY: return RAFT_STANDBY;
    case MEMBER_VOTER: return RAFT_VOTER;
    }
    assert(false);
    return RAFT_SPARE;
}

static enum member_role role_from_raft(int role)
{
    assert(role == RAFT_SPARE || role == RAFT_STANDBY || role == RAFT_VOTER);
    return role == RAFT_VOTER ? MEMBER_VOTER : role == RAFT_STANDBY ? MEMBER_STANDBY : MEMBER_SPARE;
}

void group_conf_to_raft(const struct group_conf *conf, struct raft_configuration *out)
{
    assert(conf->count <= GROUP_MEMBERS_MAX);
    raft_configuration_init(out);
    for (unsigned i = 0; i < conf->count; i++) {
        const struct group_member *member = &conf->members[i];
        char address[GROUP_ADDRESS_SIZE];
        group_conf_address(member->replica, member->node, address);
        int rv = raft_configuration_add(out, member->replica, address, role_to_raft(member->role));
        assert(rv == 0);
    }
}

void group_conf_from_raft(const struct raft_configuration *in, struct group_conf *conf)
{
    assert(in->n <= GROUP_MEMBERS_MAX);
    *conf = (struct group_conf){.count = in->n};
    for (unsigned i = 0; i < in->n; i++) {
        conf->members[i].replica = in->servers[i].id;
        conf->members[i].node = group_conf_node(in->servers[i].address);
        conf->members[i].role = role_from_raft(in->servers[i].role);
    }
}

/* Reads "replica@node" up to its NUL and checks that it belongs to id. */
static bool take_address(struct reader *in, uint64_t id, struct group_member *member)
{
    char text[GROUP_ADDRESS_SIZE] = {0};
    char want[GROUP_ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)reader_u8(in);
        if (text[i] == '\0') {
            break;
        }
    }
    if (in->failed || text[sizeof text - 1] != '\0') {
        return false;
    }
    member->replica = id;
    member->node = group_conf_node(text);
    group_conf_address(id, member->node, want);
    return member->node != 0 && strcmp(text, want) == 0;
}

bool group_conf_decode_entry(struct slice entry, struct group_conf *conf)
{
    struct reader in = reader_of(entry);
    uint8_t format = reader_u8(&in);
    uint64_t count = reader_u64(&in);
    if (in.failed || format != CONF_ENTRY_FORMAT || count == 0 || count > GROUP_MEMBERS_MAX) {
        return false;
    }
    *conf = (struct group_conf){.count = 0};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = reader_u64(&in);
        struct group_member *member = &conf->members[i];
        if (id == 0 || group_conf_find(conf, id) != NULL || !take_address(&in, id, member)) {
            return false;
        }
        uint8_t role = reader_u8(&in);
        if (role != RAFT_STANDBY && role != RAFT_VOTER && role != RAFT_SPARE) {
            return false;
        }
        member->role = role_from_raft(role);
        conf->count++;
    }
    return !in.failed;
}

const struct group_member *group_conf_find(const struct group_conf *conf, uint64_t replica)
{
    for (unsigned i = 0; i < conf->count; i++) {
        if (conf->members[i].replica == replica) {
            return &conf->members[i];
        }
    }
    return NULL;
}

unsigned group_conf_voters(const struct group_conf *conf)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < conf->count; i++) {
        voters += conf->members[i].role == MEMBER_VOTER;
    }
    return voters;
}

bool group_conf_is_voter(const struct group_conf *conf, uint64_t replica)
{
    const struct group_member *member = group_conf_find(conf, replica);
    return member != NULL && member->role == MEMBER_VOTER;
}

bool group_conf_is_solo(const struct group_conf *conf, uint64_t replica)
{
    return group_conf_voters(conf) == 1 && group_conf_is_voter(conf, replica);
}

/* u8 1, u64 index, u64 term, u64 conf index, u8 count, count x {u64 replica, u64 node, u8 role} */
void group_state_encode(const struct group_state *state, struct buf *out)
{
    assert(state->conf.count <= GROUP_MEMBERS_MAX);
    buf_append_u8(out, STATE_FORMAT);
    buf_append_u64(out, state->index);
    buf_append_u64(out, state->term);
    buf_append_u64(out, state->conf_index);
    buf_append_u8(out, (uint8_t)state->conf.count);
    for (unsigned i = 0; i < state->conf.count; i++) {
        buf_append_u64(out, state->conf.members[i].replica);
        buf_append_u64(out, state->conf.members[i].node);
        buf_append_u8(out, (uint8_t)state->conf.members[i].role);
    }
}

bool group_state_decode(struct reader *in, struct group_state *state)
{
    struct group_state got = {0};
    uint8_t format = reader_u8(in);
    got.index = reader_u64(in);
    got.term = reader_u64(in);
    got.conf_index = reader_u64(in);
    unsigned count = reader_u8(in);
    if (in->failed || format != STATE_FORMAT || count > GROUP_MEMBERS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        struct group_member *member = &got.conf.members[i];
        member->replica = reader_u64(in);
        member->node = reader_u64(in);
        uint8_t role = reader_u8(in);
        bool known = role <= MEMBER_VOTER && member->replica != 0 && member->node != 0;
        if (in->failed || !known || group_conf_find(&got.conf, member->replica) != NULL) {
            return false;
        }
        member->role = (enum member_role)role;
        got.conf.count++;
    }
    bool sane = got.conf_index <= got.index && (got.index == 0) == (got.term == 0);
    if (sane) {
        *state = got;
    }
    return sane;
}
