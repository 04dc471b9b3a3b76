#include "common/cluster/session_number.h"

#include "common/base/hash.h"

static uint64_t mask_of(uint64_t shard)
{
    return hash_bytes(slice_of(&shard, sizeof(shard))) & ~SESSION_NUMBER_INHERITED;
}

uint64_t session_number_inherited(uint64_t session, uint64_t shard)
{
    if ((session & SESSION_NUMBER_INHERITED) != 0) {
        return session;
    }
    return (session ^ mask_of(shard)) | SESSION_NUMBER_INHERITED;
}

uint64_t session_number_before(uint64_t inherited, uint64_t shard)
{
    return (inherited & ~SESSION_NUMBER_INHERITED) ^ mask_of(shard);
}

uint64_t session_number_own(uint64_t number)
{
    number &= ~SESSION_NUMBER_INHERITED;
    return number == 0 ? 1 : number;
}
