#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/shard/shard.h"

enum { STATE_FORMAT = 1, STATE_FROZEN = 2 /* Target and its version stand behind the rest. */ };

void shard_state_key(uint64_t shard, struct buf *out)
{
    buf_append_u64_be(out, shard);
    buf_append_u8(out, 'A');
}

void shard_state_encode(const struct shard_state *state, struct buf *out)
{
    buf_append_u8(out, state->target == 0 ? STATE_FORMAT : STATE_FROZEN);
    buf_append_u64(out, state->replica);
    shard_desc_encode(&state->desc, out);
    group_state_encode(&state->group, out);
    machine_state_encode(&state->machine, out);
    if (state->target != 0) {
        buf_append_u64(out, state->target);
        buf_append_u64(out, state->target_ver);
    }
}

enum status shard_state_decode(struct slice bytes, struct shard_state *state)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    if (!in.failed && format > STATE_FROZEN) {
        return STATUS_NEWER_FORMAT;
    }
    state->replica = reader_u64(&in);
    *state = (struct shard_state){.replica = state->replica};
    bool good = format >= STATE_FORMAT && shard_desc_decode(&in, &state->desc) &&
                group_state_decode(&in, &state->group) &&
                machine_state_decode(&in, &state->machine);
    if (good && format == STATE_FROZEN) {
        state->target = reader_u64(&in);
        state->target_ver = reader_u64(&in);
        good = state->target != 0; /* Has one encoding only. */
    }
    return good && reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

void shard_state_birth(const struct shard_desc *desc, uint64_t replica, struct shard_state *state)
{
    *state = (struct shard_state){.replica = replica, .desc = *desc};
    struct group_state *group = &state->group;
    group->index = GROUP_BIRTH_INDEX;
    group->term = GROUP_BIRTH_TERM;
    group->conf_index = GROUP_BIRTH_INDEX;
    /* Every birth member must start from the same configuration in the same order, whatever the map
     * wants by now: those up to birth_max. */
    for (unsigned i = 0; i < desc->replica_count; i++) {
        if (desc->replicas[i].id <= desc->birth_max) {
            group->conf.members[group->conf.count++] =
                (struct group_member){.replica = desc->replicas[i].id,
                                      .node = desc->replicas[i].node,
                                      .role = MEMBER_VOTER};
        }
    }
    assert(group->conf.count > 0);
}

void shard_state_empty(const struct shard_desc *desc, uint64_t replica, struct shard_state *state)
{
    *state = (struct shard_state){.replica = replica, .desc = *desc};
}
