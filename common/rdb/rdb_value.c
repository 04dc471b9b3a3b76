#include "common/rdb/rdb_value.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/rdb/compact.h"
#include "common/rdb/rdb_private.h"

enum { TYPE_END = 22 };
enum { NODE_PLAIN = 1, NODE_PACKED = 2 }; /* Of a quicklist. */
/* What values of modules are made of: rdb.h, RDB_MODULE_OPCODE_*. */
enum { MODULE_END, MODULE_SIGNED, MODULE_UNSIGNED, MODULE_FLOAT, MODULE_DOUBLE, MODULE_STRING };

/* How a type is written: strings one by one, or one or more pieces that hold them. */
enum layout { LAYOUT_NONE, LAYOUT_STRINGS, LAYOUT_PIECE, LAYOUT_PIECES, LAYOUT_STREAM };
static const struct shape {
    enum rdb_kind kind;
    enum layout layout;
    enum compact_form form;
} shapes[TYPE_END] = {
    [RDB_TYPE_STRING] = {RDB_STRING, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_LIST] = {RDB_LIST, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_SET] = {RDB_SET, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_ZSET] = {RDB_ZSET, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_HASH] = {RDB_HASH, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_ZSET_2] = {RDB_ZSET, LAYOUT_STRINGS, COMPACT_LISTPACK},
    [RDB_TYPE_HASH_ZIPMAP] = {RDB_HASH, LAYOUT_PIECE, COMPACT_ZIPMAP},
    [RDB_TYPE_LIST_ZIPLIST] = {RDB_LIST, LAYOUT_PIECE, COMPACT_ZIPLIST},
    [RDB_TYPE_SET_INTSET] = {RDB_SET, LAYOUT_PIECE, COMPACT_INTSET},
    [RDB_TYPE_ZSET_ZIPLIST] = {RDB_ZSET, LAYOUT_PIECE, COMPACT_ZIPLIST},
    [RDB_TYPE_HASH_ZIPLIST] = {RDB_HASH, LAYOUT_PIECE, COMPACT_ZIPLIST},
    [RDB_TYPE_LIST_QUICKLIST] = {RDB_LIST, LAYOUT_PIECES, COMPACT_ZIPLIST},
    [RDB_TYPE_STREAM_LISTPACKS] = {RDB_STREAM, LAYOUT_STREAM, COMPACT_LISTPACK},
    [RDB_TYPE_HASH_LISTPACK] = {RDB_HASH, LAYOUT_PIECE, COMPACT_LISTPACK},
    [RDB_TYPE_ZSET_LISTPACK] = {RDB_ZSET, LAYOUT_PIECE, COMPACT_LISTPACK},
    [RDB_TYPE_LIST_QUICKLIST_2] = {RDB_LIST, LAYOUT_PIECES, COMPACT_LISTPACK},
    [RDB_TYPE_STREAM_LISTPACKS_2] = {RDB_STREAM, LAYOUT_STREAM, COMPACT_LISTPACK},
    [RDB_TYPE_SET_LISTPACK] = {RDB_SET, LAYOUT_PIECE, COMPACT_LISTPACK},
    [RDB_TYPE_STREAM_LISTPACKS_3] = {RDB_STREAM, LAYOUT_STREAM, COMPACT_LISTPACK},
};

bool rdb_value_known(uint8_t type)
{
    return type < TYPE_END && shapes[type].layout != LAYOUT_NONE;
}

void rdb_value_init(struct rdb_value *value, size_t size_max)
{
    *value = (struct rdb_value){0};
    buf_init(&value->bytes, size_max);
}

void rdb_value_deinit(struct rdb_value *value)
{
    buf_deinit(&value->bytes);
}

bool rdb_private_room(struct rdb_build *build, uint64_t size)
{
    if (build->in->status == STATUS_OK && size > build->out->size_max - build->out->len) {
        rdb_source_fail(build->in, STATUS_TOO_BIG);
    }
    return build->in->status == STATUS_OK;
}

void rdb_private_raw(struct rdb_build *build, struct slice bytes)
{
    if (rdb_private_room(build, bytes.len)) {
        buf_append_slice(build->out, bytes);
    }
}

void rdb_private_bytes(struct rdb_build *build, struct slice bytes)
{
    if (rdb_private_room(build, sizeof(uint32_t) + bytes.len)) {
        buf_append_bytes(build->out, bytes);
    }
}

void rdb_private_u64(struct rdb_build *build, uint64_t value)
{
    if (rdb_private_room(build, sizeof(value))) {
        buf_append_u64(build->out, value);
    }
}

void rdb_private_patch(struct rdb_build *build, size_t offset, uint64_t value)
{
    if (build->in->status == STATUS_OK) {
        assert(offset + sizeof(value) <= build->out->len);
        memcpy(build->out->data + offset, &value, sizeof(value));
    }
}

/* A text among those that have to differ. */
struct mark {
    uint32_t hash;
    uint32_t offset;
};

static struct slice text_at(const struct rdb_texts *texts, uint32_t offset)
{
    struct reader in = reader_of(slice_of(texts->bytes.data + offset, texts->bytes.len - offset));
    return reader_bytes(&in, UINT32_MAX);
}

static int compare_marks(const void *a, const void *b, void *ctx)
{
    const struct mark *one = a;
    const struct mark *other = b;
    if (one->hash != other->hash) {
        return one->hash < other->hash ? -1 : 1;
    }
    struct slice text = text_at(ctx, one->offset);
    struct slice other_text = text_at(ctx, other->offset);
    if (text.len != other_text.len) {
        return text.len < other_text.len ? -1 : 1;
    }
    return text.len == 0 ? 0 : memcmp(text.data, other_text.data, text.len);
}

void rdb_private_unique(struct rdb_build *build, struct rdb_texts texts)
{
    if (build->in->status != STATUS_OK || texts.count < 2) {
        return;
    }
    /* Every text takes four bytes at least. */
    assert(texts.count <= texts.bytes.len && texts.bytes.len <= UINT32_MAX);
    struct mark *marks = malloc(texts.count * sizeof(*marks));
    assert(marks != NULL);
    struct reader in = reader_of(texts.bytes);
    for (uint64_t i = 0; i < texts.count; i++) {
        (void)reader_raw(&in, texts.lead);
        marks[i].offset = (uint32_t)(texts.bytes.len - in.rest.len);
        marks[i].hash = (uint32_t)hash_bytes(reader_bytes(&in, UINT32_MAX));
        for (size_t n = 1; n < texts.step; n++) {
            (void)reader_bytes(&in, UINT32_MAX);
        }
    }
    assert(reader_done(&in));
    qsort_r(marks, texts.count, sizeof(*marks), compare_marks, &texts);
    for (uint64_t i = 1; i < texts.count; i++) {
        if (compare_marks(&marks[i - 1], &marks[i], &texts) == 0) {
            rdb_source_fail(build->in, STATUS_CORRUPT);
        }
    }
    free(marks);
}

/* Fails for what is no number. */
static uint64_t score_bits(struct rdb_build *build, double score)
{
    uint64_t bits = 0;
    if (isnan(score)) {
        rdb_source_fail(build->in, STATUS_CORRUPT);
    }
    memcpy(&bits, &score, sizeof(bits));
    return bits;
}

static double take_double(struct rdb_source *in)
{
    uint64_t bits = rdb_source_u64(in);
    double score = 0;
    memcpy(&score, &bits, sizeof(score));
    return score;
}

/* The score follows the member, and comes before it in the value. */
static void put_scored(struct rdb_build *build, uint8_t type)
{
    size_t at = build->out->len;
    rdb_private_u64(build, 0);
    rdb_private_bytes(build, rdb_source_string(build->in));
    double score = type == RDB_TYPE_ZSET_2 ? take_double(build->in) : rdb_source_score(build->in);
    uint64_t bits = score_bits(build, score);
    rdb_private_patch(build, at, bits);
}

static uint64_t put_strings(struct rdb_build *build, uint8_t type, enum rdb_kind kind)
{
    if (kind == RDB_STRING) {
        rdb_private_raw(build, rdb_source_string(build->in));
        return 1;
    }
    uint64_t count = rdb_source_length(build->in);
    for (uint64_t i = 0; i < count && build->in->status == STATUS_OK; i++) {
        if (kind == RDB_ZSET) {
            put_scored(build, type);
            continue;
        }
        rdb_private_bytes(build, rdb_source_string(build->in));
        if (kind == RDB_HASH) {
            rdb_private_bytes(build, rdb_source_string(build->in));
        }
    }
    return count;
}

/* A score in a piece: an integer, or text. */
static double piece_score(struct compact *piece, struct slice text)
{
    char copy[NUMBER_FLOAT_SIZE_MAX + 1];
    if (piece->is_number) {
        return (double)piece->number;
    }
    if (text.len == 0 || text.len > NUMBER_FLOAT_SIZE_MAX) {
        return (double)NAN;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    double score = strtod(copy, &end);
    return end == copy + text.len ? score : (double)NAN;
}

static uint64_t put_piece(struct rdb_build *build, const struct shape *shape, struct slice bytes)
{
    struct compact piece = compact_of(shape->form, bytes);
    struct slice text;
    uint64_t count = 0;
    bool whole = true;
    while (build->in->status == STATUS_OK && compact_next(&piece, &text)) {
        count++;
        size_t at = build->out->len;
        if (shape->kind == RDB_ZSET) {
            rdb_private_u64(build, 0);
        }
        rdb_private_bytes(build, text);
        if (shape->kind == RDB_HASH || shape->kind == RDB_ZSET) {
            whole = compact_next(&piece, &text);
        }
        if (!whole) {
            break;
        }
        if (shape->kind == RDB_HASH) {
            rdb_private_bytes(build, text);
        } else if (shape->kind == RDB_ZSET) {
            uint64_t bits = score_bits(build, piece_score(&piece, text));
            rdb_private_patch(build, at, bits);
        }
    }
    if (piece.corrupt || !whole) {
        rdb_source_fail(build->in, STATUS_CORRUPT);
    }
    return count;
}

static uint64_t put_pieces(struct rdb_build *build, uint8_t type, const struct shape *shape)
{
    uint64_t pieces = rdb_source_length(build->in);
    uint64_t count = 0;
    for (uint64_t i = 0; i < pieces && build->in->status == STATUS_OK; i++) {
        uint64_t node =
            type == RDB_TYPE_LIST_QUICKLIST_2 ? rdb_source_length(build->in) : NODE_PACKED;
        struct slice bytes = rdb_source_string(build->in);
        if (build->in->status == STATUS_OK &&
            (bytes.len == 0 || (node != NODE_PLAIN && node != NODE_PACKED))) {
            rdb_source_fail(build->in, STATUS_CORRUPT);
        } else if (node == NODE_PLAIN) {
            rdb_private_bytes(build, bytes);
            count++;
        } else if (build->in->status == STATUS_OK) {
            count += put_piece(build, shape, bytes);
        }
    }
    return count;
}

static void check_collection(struct rdb_build *build, enum rdb_kind kind, uint64_t count)
{
    if (count == 0 && kind != RDB_STREAM) {
        rdb_source_fail(build->in, STATUS_CORRUPT);
    }
    if (kind == RDB_HASH || kind == RDB_SET || kind == RDB_ZSET) {
        const struct rdb_texts texts = {.bytes = buf_slice(build->out),
                                        .lead = kind == RDB_ZSET ? sizeof(uint64_t) : 0,
                                        .step = kind == RDB_HASH ? 2 : 1,
                                        .count = count};
        rdb_private_unique(build, texts);
    }
}

enum status rdb_value_decode(uint8_t type, struct slice bytes, struct rdb_value *value)
{
    if (!rdb_value_known(type)) {
        return STATUS_CORRUPT;
    }
    const struct shape *shape = &shapes[type];
    struct buf text;
    buf_clear(&value->bytes);
    buf_init(&text, value->bytes.size_max);
    struct rdb_source in = rdb_source_of(bytes, value->bytes.size_max, &text);
    struct rdb_build build = {.in = &in, .out = &value->bytes};
    value->kind = shape->kind;
    switch (shape->layout) {
    case LAYOUT_STRINGS: value->count = put_strings(&build, type, shape->kind); break;
    case LAYOUT_PIECE: value->count = put_piece(&build, shape, rdb_source_string(&in)); break;
    case LAYOUT_PIECES: value->count = put_pieces(&build, type, shape); break;
    case LAYOUT_STREAM: value->count = rdb_private_stream(&build, type); break;
    case LAYOUT_NONE: break;
    }
    check_collection(&build, shape->kind, value->count);
    buf_deinit(&text);
    /* There is nothing more to come: what ends too early is no value. */
    return in.status == STATUS_AGAIN ? STATUS_CORRUPT : in.status;
}

static void skip_strings(struct rdb_source *in, uint8_t type, enum rdb_kind kind)
{
    if (kind == RDB_STRING) {
        rdb_source_skip_string(in);
        return;
    }
    uint64_t count = rdb_source_length(in);
    for (uint64_t i = 0; i < count && in->status == STATUS_OK; i++) {
        rdb_source_skip_string(in);
        if (kind == RDB_HASH) {
            rdb_source_skip_string(in);
        } else if (type == RDB_TYPE_ZSET_2) {
            (void)rdb_source_u64(in);
        } else if (kind == RDB_ZSET) {
            (void)rdb_source_score(in);
        }
    }
}

static void skip_pieces(struct rdb_source *in, uint8_t type)
{
    uint64_t count = rdb_source_length(in);
    for (uint64_t i = 0; i < count && in->status == STATUS_OK; i++) {
        if (type == RDB_TYPE_LIST_QUICKLIST_2) {
            (void)rdb_source_length(in);
        }
        rdb_source_skip_string(in);
    }
}

static void skip_module(struct rdb_source *in)
{
    (void)rdb_source_length(in); /* Which module. */
    while (in->status == STATUS_OK) {
        switch (rdb_source_length(in)) {
        case MODULE_END: return;
        case MODULE_SIGNED:
        case MODULE_UNSIGNED: (void)rdb_source_length(in); break;
        case MODULE_FLOAT: (void)rdb_source_u32(in); break;
        case MODULE_DOUBLE: (void)rdb_source_u64(in); break;
        case MODULE_STRING: rdb_source_skip_string(in); break;
        default: rdb_source_fail(in, STATUS_CORRUPT);
        }
    }
}

void rdb_value_skip(uint8_t type, struct rdb_source *source)
{
    if (type == RDB_TYPE_MODULE_2) {
        skip_module(source);
        return;
    }
    if (!rdb_value_known(type)) {
        rdb_source_fail(source, STATUS_CORRUPT);
        return;
    }
    switch (shapes[type].layout) {
    case LAYOUT_STRINGS: skip_strings(source, type, shapes[type].kind); break;
    case LAYOUT_PIECE: rdb_source_skip_string(source); break;
    case LAYOUT_PIECES: skip_pieces(source, type); break;
    case LAYOUT_STREAM: rdb_private_skip_stream(source, type); break;
    case LAYOUT_NONE: break;
    }
}
