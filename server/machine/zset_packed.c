#include "server/machine/zset_packed.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/score.h"

int zset_packed_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

double zset_packed_score(struct slice sub_key)
{
    struct reader in = reader_of(sub_key);
    uint64_t bits = reader_u64_be(&in);
    assert(!in.failed);
    return score_decode(bits);
}

struct slice zset_packed_next(struct slice *rest)
{
    assert(rest->len > SCORE_SIZE);
    size_t size = 1U + SCORE_SIZE + rest->data[0];
    assert(size <= rest->len);
    struct slice sub_key = slice_of(rest->data + 1, size - 1);
    *rest = slice_of(rest->data + size, rest->len - size);
    return sub_key;
}

bool zset_packed_valid(struct slice body, uint64_t count)
{
    struct reader in = reader_of(body);
    struct slice last = slice_of(NULL, 0);
    if (count > ZSET_PACKED_COUNT_MAX) {
        return false;
    }
    for (uint64_t n = 0; n < count; n++) {
        size_t len = reader_u8(&in);
        struct slice sub_key = reader_raw(&in, SCORE_SIZE + len);
        if (in.failed || len > ZSET_PACKED_MEMBER_MAX || zset_packed_compare(last, sub_key) >= 0) {
            return false;
        }
        struct reader score = reader_of(sub_key);
        if (!score_valid(reader_u64_be(&score))) {
            return false;
        }
        last = sub_key;
    }
    return reader_done(&in);
}

size_t zset_packed_place(struct slice body, struct slice sub_key, uint64_t *before)
{
    struct slice rest = body;
    *before = 0;
    while (rest.len > 0) {
        struct slice next = rest;
        if (zset_packed_compare(zset_packed_next(&next), sub_key) >= 0) {
            break;
        }
        (*before)++;
        rest = next;
    }
    return body.len - rest.len;
}

bool zset_packed_find(struct slice body, struct slice member, double *score)
{
    struct slice rest = body;
    while (rest.len > 0) {
        struct slice sub_key = zset_packed_next(&rest);
        if (slice_equal(zset_packed_member(sub_key), member)) {
            *score = zset_packed_score(sub_key);
            return true;
        }
    }
    return false;
}

void zset_packed_insert(struct buf *body, struct slice sub_key)
{
    assert(sub_key.len >= SCORE_SIZE && sub_key.len <= SCORE_SIZE + ZSET_PACKED_MEMBER_MAX);
    uint8_t plain[SCORE_SIZE + ZSET_PACKED_MEMBER_MAX];
    if (zset_packed_score(sub_key) == 0) {
        uint64_t zero = __builtin_bswap64(score_encode(0));
        memcpy(plain, sub_key.data, sub_key.len);
        memcpy(plain, &zero, sizeof(zero));
        sub_key = slice_of(plain, sub_key.len);
    }
    uint64_t before = 0;
    size_t at = zset_packed_place(buf_slice(body), sub_key, &before);
    assert(before < ZSET_PACKED_COUNT_MAX);
    buf_reserve(body, 1 + sub_key.len);
    uint8_t *place = body->data + at;
    memmove(place + 1 + sub_key.len, place, body->len - at);
    place[0] = (uint8_t)(sub_key.len - SCORE_SIZE);
    memcpy(place + 1, sub_key.data, sub_key.len);
    body->len += 1 + sub_key.len;
}

void zset_packed_cut(struct buf *body, size_t at, size_t len)
{
    assert(at + len <= body->len);
    if (len > 0) {
        memmove(body->data + at, body->data + at + len, body->len - at - len);
        body->len -= len;
    }
}
