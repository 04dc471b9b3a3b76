#include "common/cluster/token.h"

#include "common/base/hash.h"

struct slice token_tag(struct slice key)
{
    const uint8_t *open = key.len == 0 ? NULL : memchr(key.data, '{', key.len);
    if (open == NULL) {
        return key;
    }
    size_t rest = key.len - (size_t)(open + 1 - key.data);
    const uint8_t *close = rest == 0 ? NULL : memchr(open + 1, '}', rest);
    if (close == NULL || close == open + 1) {
        return key;
    }
    return slice_of(open + 1, (size_t)(close - open - 1));
}

uint64_t token_of_key(struct slice key)
{
    return hash_bytes(token_tag(key));
}

uint64_t token_of(uint8_t db, struct slice key)
{
    if (db == 0) {
        return token_of_key(key);
    }
    return hash_bytes_seeded(slice_of(&db, 1), UINT64_C(0x5368657264206462)); /* "Sherd db" */
}
