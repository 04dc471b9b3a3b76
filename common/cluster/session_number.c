#include "common/cluster/session_number.h"

#include "common/base/hash.h"

uint64_t session_number_inherited(uint64_t session, uint64_t absorbed)
{
    if ((session & SESSION_NUMBER_INHERITED) != 0) {
        return session;
    }
    uint64_t parts[] = {session, absorbed};
    return hash_bytes(slice_of(parts, sizeof(parts))) | SESSION_NUMBER_INHERITED;
}

uint64_t session_number_own(uint64_t number)
{
    number &= ~SESSION_NUMBER_INHERITED;
    return number == 0 ? 1 : number;
}
