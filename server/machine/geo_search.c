#include "server/machine/geo_search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/score.h"
#include "server/machine/zset_cursor.h"

enum { STORE_OPTIONS_AT = 5, DISTANCE_TEXT_MAX = 40 };

enum order { ORDER_NONE, ORDER_NEAR, ORDER_FAR };

/* A command at work. What went wrong and is written to the reply is BAD_ARGUMENT in here. */
struct search {
    struct call *call;
    struct args args;
    unsigned form;
    struct zset zset;
    struct geo_shape shape;
    enum order order;
    uint64_t count; /* 0: all. */
    bool any;       /* The first that are found will do. */
    bool with_distance;
    bool with_hash;
    bool with_place;
    bool from_member;
    bool from_place;
    bool by_radius;
    bool by_box;
    bool stores;
    bool store_distance;
    struct slice to; /* Where to. */
    struct buf *bytes;
    struct buf *room;
    size_t found;
};

/* A member that is inside. */
struct hit {
    size_t at; /* Of its sub-key in the bytes, */
    size_t len;
    size_t nth; /* in the order in which they were found. */
    double score;
    double distance;
    struct geo_place place;
};

static enum status refuse(struct search *search, const char *text)
{
    resp_write_error(search->call->reply, text);
    return STATUS_BAD_ARGUMENT;
}

bool geo_search_place(const struct slice argv[2], struct geo_place *place, struct buf *reply)
{
    double longitude = 0;
    double latitude = 0;
    if (!score_parse(argv[0], &longitude) || !score_parse(argv[1], &latitude)) {
        resp_write_error(reply, "ERR value is not a valid float");
        return false;
    }
    *place = (struct geo_place){.longitude = longitude, .latitude = latitude};
    if (!geo_valid(*place)) {
        resp_write_errorf(reply, "ERR invalid longitude,latitude pair %f,%f", longitude, latitude);
        return false;
    }
    return true;
}

bool geo_search_unit(struct slice arg, double *metres, struct buf *reply)
{
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (command_word(arg, units[i].name)) {
            *metres = units[i].metres;
            return true;
        }
    }
    resp_write_error(reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

static void reply_coordinate(double value, struct buf *reply)
{
    char text[NUMBER_FLOAT_SIZE_MAX];
    size_t len = number_format_float((long double)value, text);
    buf_append_u8(reply, ',');
    buf_append(reply, text, len);
    buf_append(reply, "\r\n", 2);
}

void geo_search_reply_place(struct geo_place place, struct buf *reply)
{
    resp_write_array(reply, 2);
    reply_coordinate(place.longitude, reply);
    reply_coordinate(place.latitude, reply);
}

/* What does not fit a 64-bit integer becomes the least one, as x86-64 has it. */
static int64_t integer_of(double value)
{
    return fabs(value) < 0x1p63 ? (int64_t)value : INT64_MIN;
}

void geo_search_reply_distance(double distance, struct buf *reply)
{
    char text[DISTANCE_TEXT_MAX];
    int64_t value = integer_of(rint(distance * 10000));
    uint64_t whole = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int len = snprintf(text, sizeof(text), "%s%llu.%04llu", value < 0 ? "-" : "",
                       (unsigned long long)(whole / 10000), (unsigned long long)(whole % 10000));
    assert(len > 0 && (size_t)len < sizeof(text));
    resp_write_bulk(reply, slice_of(text, (size_t)len));
}

static enum status take_radius(struct search *search, const struct slice argv[2])
{
    double radius = 0;
    if (!score_parse(argv[0], &radius)) {
        return refuse(search, "ERR need numeric radius");
    }
    if (radius < 0) {
        return refuse(search, "ERR radius cannot be negative");
    }
    search->shape.radius = radius;
    search->shape.box = false;
    return geo_search_unit(argv[1], &search->shape.unit, search->call->reply) ? STATUS_OK
                                                                              : STATUS_BAD_ARGUMENT;
}

static enum status take_box(struct search *search, const struct slice argv[3])
{
    double width = 0;
    double height = 0;
    if (!score_parse(argv[0], &width)) {
        return refuse(search, "ERR need numeric width");
    }
    if (!score_parse(argv[1], &height)) {
        return refuse(search, "ERR need numeric height");
    }
    if (height < 0 || width < 0) {
        return refuse(search, "ERR height or width cannot be negative");
    }
    search->shape.width = width;
    search->shape.height = height;
    search->shape.box = true;
    return geo_search_unit(argv[2], &search->shape.unit, search->call->reply) ? STATUS_OK
                                                                              : STATUS_BAD_ARGUMENT;
}

static enum status take_place(struct search *search, const struct slice argv[2])
{
    return geo_search_place(argv, &search->shape.middle, search->call->reply) ? STATUS_OK
                                                                              : STATUS_BAD_ARGUMENT;
}

/* In a set that does not exist, nobody is missing. */
static enum status take_member(struct search *search, struct slice member)
{
    bool found = false;
    double score = 0;
    if (!search->zset.row.found) {
        return STATUS_OK;
    }
    enum status status = zset_find(&search->zset, member, &found, &score);
    if (status == STATUS_OK && !found) {
        return refuse(search, "ERR could not decode requested zset member");
    }
    search->shape.middle = geo_decode(score);
    return status;
}

static enum status take_count(struct search *search, struct slice text)
{
    int64_t count = 0;
    if (!number_parse_i64(text, &count)) {
        return refuse(search, ERR_NOT_INTEGER);
    }
    if (count <= 0) {
        return refuse(search, "ERR COUNT must be > 0");
    }
    search->count = (uint64_t)count;
    return STATUS_OK;
}

/* A word that stands alone. */
static bool take_word(struct search *search, struct slice word)
{
    if (command_word(word, "withdist")) {
        search->with_distance = true;
    } else if (command_word(word, "withhash")) {
        search->with_hash = true;
    } else if (command_word(word, "withcoord")) {
        search->with_place = true;
    } else if (command_word(word, "any")) {
        search->any = true;
    } else if (command_word(word, "asc")) {
        search->order = ORDER_NEAR;
    } else if (command_word(word, "desc")) {
        search->order = ORDER_FAR;
    } else if ((search->form & GEO_STORE) != 0 && command_word(word, "storedist")) {
        search->store_distance = true;
    } else {
        return false;
    }
    return true;
}

/* STORE and STOREDIST of GEORADIUS. */
static bool take_store(struct search *search, struct slice word, struct slice key)
{
    bool distance = command_word(word, "storedist");
    if ((search->form & (GEO_READ_ONLY | GEO_SEARCH)) != 0 ||
        (!distance && !command_word(word, "store"))) {
        return false;
    }
    search->stores = true;
    search->to = key;
    search->store_distance = distance;
    return true;
}

/* Options of GEOSEARCH; *used is how many arguments follow the word. */
static enum status take_search_option(struct search *search, size_t at, size_t *used)
{
    const struct slice *argv = search->args.argv + at;
    size_t behind = search->args.argc - at - 1;
    if ((search->form & GEO_SEARCH) == 0) {
        return refuse(search, ERR_SYNTAX);
    }
    if (behind >= 1 && !search->from_place && command_word(argv[0], "frommember")) {
        search->from_member = true;
        *used = 1;
        return take_member(search, argv[1]);
    }
    if (behind >= 2 && !search->from_member && command_word(argv[0], "fromlonlat")) {
        search->from_place = true;
        *used = 2;
        return take_place(search, argv + 1);
    }
    if (behind >= 2 && !search->by_box && command_word(argv[0], "byradius")) {
        search->by_radius = true;
        *used = 2;
        return take_radius(search, argv + 1);
    }
    if (behind >= 3 && !search->by_radius && command_word(argv[0], "bybox")) {
        search->by_box = true;
        *used = 3;
        return take_box(search, argv + 1);
    }
    return refuse(search, ERR_SYNTAX);
}

static enum status take_options(struct search *search, size_t at)
{
    struct args args = search->args;
    enum status status = STATUS_OK;
    for (; at < args.argc && status == STATUS_OK; at++) {
        size_t used = 0;
        bool more = at + 1 < args.argc;
        if (take_word(search, args.argv[at])) {
            continue;
        }
        if (more && command_word(args.argv[at], "count")) {
            used = 1;
            status = take_count(search, args.argv[at + 1]);
        } else if (more && take_store(search, args.argv[at], args.argv[at + 1])) {
            used = 1;
        } else {
            status = take_search_option(search, at, &used);
        }
        at += used;
    }
    return status;
}

/* The name as the user wrote it is part of two errors. */
static enum status refuse_named(struct search *search, const char *what)
{
    struct slice name = search->args.argv[0];
    resp_write_errorf(search->call->reply, "ERR exactly one of %s can be specified for %.*s", what,
                      (int)name.len, (const char *)name.data);
    return STATUS_BAD_ARGUMENT;
}

static enum status check_options(struct search *search)
{
    bool geosearch = (search->form & GEO_SEARCH) != 0;
    if (search->stores && (search->with_distance || search->with_hash || search->with_place)) {
        return refuse(search, (search->form & GEO_STORE) != 0
                                  ? "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH "
                                    "and WITHCOORD options"
                                  : "ERR STORE option in GEORADIUS is not compatible with "
                                    "WITHDIST, WITHHASH and WITHCOORD options");
    }
    if (geosearch && !search->from_member && !search->from_place) {
        return refuse_named(search, "FROMMEMBER or FROMLONLAT");
    }
    if (geosearch && !search->by_radius && !search->by_box) {
        return refuse_named(search, "BYRADIUS and BYBOX");
    }
    if (search->any && search->count == 0) {
        return refuse(search, "ERR the ANY argument requires COUNT argument");
    }
    return STATUS_OK;
}

static enum status parse(struct search *search)
{
    const struct slice *argv = search->args.argv;
    enum status status = STATUS_OK;
    size_t at = (search->form & GEO_STORE) != 0 ? 3 : 2;
    if ((search->form & GEO_AROUND_PLACE) != 0) {
        at = 6;
        status = take_place(search, argv + 2);
    } else if ((search->form & GEO_AROUND_MEMBER) != 0) {
        at = 5;
        status = take_member(search, argv[2]);
    }
    bool radius = (search->form & GEO_AROUND_PLACE) != 0 ||
                  ((search->form & GEO_AROUND_MEMBER) != 0 && search->zset.row.found);
    if (status == STATUS_OK && radius) {
        status = take_radius(search, argv + at - 2);
    }
    if (status == STATUS_OK) {
        status = take_options(search, at);
    }
    return status == STATUS_OK ? check_options(search) : status;
}

static void take_hit(struct search *search, struct slice sub_key)
{
    double score = zset_packed_score(sub_key);
    struct geo_place place = geo_decode(score);
    double distance = 0;
    if (!geo_inside(&search->shape, place, &distance)) {
        return;
    }
    struct hit *hit = (struct hit *)(void *)buf_reserve(search->room, sizeof(*hit));
    search->room->len += sizeof(*hit);
    *hit = (struct hit){.at = search->bytes->len,
                        .len = sub_key.len,
                        .nth = search->found++,
                        .score = score,
                        .distance = distance,
                        .place = place};
    buf_append_slice(search->bytes, sub_key);
}

static bool enough(const struct search *search)
{
    return search->any && search->found >= search->count;
}

static enum status look_into(struct search *search, const struct geo_box *box)
{
    struct buf *from = txn_scratch(search->call->txn, SCRATCH_ZSET_FROM);
    struct buf *to = txn_scratch(search->call->txn, SCRATCH_ZSET_TO);
    buf_append_u64_be(from, score_encode((double)box->from));
    buf_append_u64_be(to, score_encode((double)box->to));
    struct zset_range range = {.from = buf_slice(from), .to = buf_slice(to)};
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, &search->zset, range, false, 0);
    while (!enough(search) && zset_cursor_next(&cursor, &sub_key)) {
        take_hit(search, sub_key);
    }
    return zset_cursor_close(&cursor);
}

static struct hit *hits(const struct search *search)
{
    return (struct hit *)(void *)search->room->data;
}

static int compare_near(const void *a, const void *b)
{
    const struct hit *left = a;
    const struct hit *right = b;
    if (left->distance != right->distance) {
        return left->distance < right->distance ? -1 : 1;
    }
    return (left->nth > right->nth) - (left->nth < right->nth);
}

static int compare_far(const void *a, const void *b)
{
    const struct hit *left = a;
    const struct hit *right = b;
    if (left->distance != right->distance) {
        return left->distance > right->distance ? -1 : 1;
    }
    return (left->nth > right->nth) - (left->nth < right->nth);
}

/* All hits in the order that is wanted, and how many of them are. */
static enum status collect(struct search *search, size_t *count)
{
    struct geo_box boxes[GEO_BOXES_MAX];
    size_t box_count = geo_cover(&search->shape, boxes);
    enum status status = STATUS_OK;
    search->bytes = txn_scratch(search->call->txn, SCRATCH_WORK);
    search->room = txn_scratch(search->call->txn, SCRATCH_RESULT);
    for (size_t i = 0; i < box_count && !enough(search) && status == STATUS_OK; i++) {
        status = look_into(search, &boxes[i]);
    }
    if (search->count > 0 && search->order == ORDER_NONE && !search->any) {
        search->order = ORDER_NEAR;
    }
    if (search->order != ORDER_NONE && search->found > 1) {
        qsort(hits(search), search->found, sizeof(struct hit),
              search->order == ORDER_NEAR ? compare_near : compare_far);
    }
    bool cut = search->count > 0 && search->found > search->count;
    *count = cut ? (size_t)search->count : search->found;
    return status;
}

static struct slice member_of(const struct search *search, const struct hit *hit)
{
    return zset_packed_member(slice_of(search->bytes->data + hit->at, hit->len));
}

static enum status reply_hits(struct search *search, size_t count)
{
    struct buf *reply = search->call->reply;
    size_t start = reply->len;
    size_t parts = 1U + search->with_distance + search->with_hash + search->with_place;
    enum status status = STATUS_OK;
    resp_write_array(reply, count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct hit *hit = &hits(search)[i];
        if (parts > 1) {
            resp_write_array(reply, parts);
        }
        resp_write_bulk(reply, member_of(search, hit));
        if (search->with_distance) {
            geo_search_reply_distance(hit->distance / search->shape.unit, reply);
        }
        if (search->with_hash) {
            resp_write_int(reply, integer_of(hit->score));
        }
        if (search->with_place) {
            geo_search_reply_place(hit->place, reply);
        }
        status = zset_may_reply(search->call, reply->len - start);
    }
    return status;
}

static int compare_sub_keys(const void *a, const void *b)
{
    return zset_packed_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static enum status store_hits(struct search *search, size_t count)
{
    static_assert(sizeof(struct slice) <= sizeof(struct hit), "they take the place of the hits");
    struct slice *sub_keys = (struct slice *)(void *)search->room->data;
    for (size_t i = 0; i < count; i++) {
        struct hit hit = hits(search)[i];
        double score = search->store_distance ? hit.distance / search->shape.unit : hit.score;
        uint64_t bits = __builtin_bswap64(score_encode(isnan(score) ? 0 : score));
        memcpy(search->bytes->data + hit.at, &bits, sizeof(bits));
        struct slice sub_key = slice_of(search->bytes->data + hit.at, hit.len);
        memcpy(&sub_keys[i], &sub_key, sizeof(sub_key));
    }
    if (count > 1) {
        qsort(sub_keys, count, sizeof(*sub_keys), compare_sub_keys);
    }
    const char *event = (search->form & GEO_SEARCH) != 0 ? "geosearchstore" : "georadiusstore";
    return zset_store(search->call, search->to, sub_keys, count, event);
}

enum status geo_search_run(struct call *call, struct args args, unsigned form)
{
    struct search search = {.call = call, .args = args, .form = form};
    bool to_first = (form & GEO_STORE) != 0;
    search.stores = to_first;
    search.to = args.argv[1];
    enum status status = zset_load(call, SLOT_B, args.argv[to_first ? 2 : 1], &search.zset);
    if (status == STATUS_OK) {
        status = parse(&search);
    }
    size_t count = 0;
    if (status == STATUS_OK && search.zset.row.found) {
        status = collect(&search, &count);
    }
    if (status != STATUS_OK) {
        return status == STATUS_BAD_ARGUMENT ? STATUS_OK : status;
    }
    if (search.stores && search.room == NULL) {
        search.room = txn_scratch(call->txn, SCRATCH_RESULT);
    }
    return search.stores ? store_hits(&search, count) : reply_hits(&search, count);
}

size_t geo_search_store_at(struct args args)
{
    size_t found = 0;
    for (size_t i = STORE_OPTIONS_AT; i + 1 < args.argc; i++) {
        if (command_word(args.argv[i], "store") || command_word(args.argv[i], "storedist")) {
            found = ++i;
        }
    }
    return found;
}
