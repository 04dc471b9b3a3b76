/* Places of a geospatial index, which is a sorted set: GEOADD, GEOPOS, GEODIST, GEOHASH. Semantics:
 * Redis 7.0 geo.c. */

#include <math.h>

#include "common/base/assert.h"
#include "server/machine/geo_search.h"
#include "server/machine/score.h"
#include "server/machine/zset_add.h"

static unsigned geoadd_word(struct slice word)
{
    if (command_word(word, "nx")) {
        return ZADD_NX;
    }
    if (command_word(word, "xx")) {
        return ZADD_XX;
    }
    return command_word(word, "ch") ? ZADD_CH : 0;
}

enum status cmd_geoadd_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    unsigned flags = 0;
    size_t at = 2;
    for (unsigned flag = 1; at < args.argc && flag != 0; at += flag != 0) {
        flag = geoadd_word(args.argv[at]);
        flags |= flag;
    }
    size_t count = (args.argc - at) / 3;
    bool both = (flags & ZADD_NX) != 0 && (flags & ZADD_XX) != 0;
    if ((args.argc - at) % 3 != 0 || both || count == 0) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    struct geo_place place;
    for (size_t i = at; i < args.argc; i += 3) {
        if (!geo_search_place(args.argv + i, &place, plan->reply)) {
            return STATUS_BAD_ARGUMENT;
        }
    }
    for (size_t i = at + 2; i < args.argc; i += 3) {
        if (args.argv[i].len > ZSET_MEMBER_SIZE_MAX) {
            return planned_refuse(plan, ERR_MEMBER_SIZE);
        }
    }
    zset_add_begin(plan, input, flags, count);
    for (size_t i = at; i < args.argc; i += 3) {
        bool valid = geo_search_place(args.argv + i, &place, plan->reply);
        assert(valid);
        zset_add_pair(plan, (double)geo_encode(place), args.argv[i + 2]);
    }
    return STATUS_OK;
}

enum status cmd_geoadd_apply(struct call *call)
{
    (void)call;
    return STATUS_CORRUPT; /* It is planned as ZADD. */
}

enum status cmd_geopos_read(struct call *call)
{
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    resp_write_array(call->reply, call->args.argc - 2);
    for (size_t i = 2; i < call->args.argc && status == STATUS_OK; i++) {
        bool found = false;
        double score = 0;
        status = zset_find(&zset, call->args.argv[i], &found, &score);
        if (found) {
            geo_search_reply_place(geo_decode(score), call->reply);
        } else {
            resp_write_null_array(call->reply);
        }
    }
    return status;
}

enum status cmd_geohash_read(struct call *call)
{
    struct zset zset;
    enum status status = zset_load(call, SLOT_A, call->args.argv[1], &zset);
    resp_write_array(call->reply, call->args.argc - 2);
    for (size_t i = 2; i < call->args.argc && status == STATUS_OK; i++) {
        bool found = false;
        double score = 0;
        char text[GEO_HASH_SIZE];
        status = zset_find(&zset, call->args.argv[i], &found, &score);
        if (found) {
            geo_hash_text(score, text);
            resp_write_bulk(call->reply, slice_of(text, sizeof(text)));
        } else {
            resp_write_null(call->reply);
        }
    }
    return status;
}

enum status cmd_geodist_read(struct call *call)
{
    struct args args = call->args;
    double unit = 1;
    if (args.argc > 5) {
        resp_write_error(call->reply, ERR_SYNTAX);
        return STATUS_OK;
    }
    if (args.argc == 5 && !geo_search_unit(args.argv[4], &unit, call->reply)) {
        return STATUS_OK;
    }
    struct zset zset;
    double scores[2] = {0};
    bool found = true;
    enum status status = zset_load(call, SLOT_A, args.argv[1], &zset);
    for (size_t i = 0; i < 2 && found && status == STATUS_OK; i++) {
        status = zset_find(&zset, args.argv[2 + i], &found, &scores[i]);
    }
    if (status != STATUS_OK || !found) {
        resp_write_null(call->reply);
        return status;
    }
    double distance = geo_distance(geo_decode(scores[0]), geo_decode(scores[1]));
    geo_search_reply_distance(distance / unit, call->reply);
    return STATUS_OK;
}
