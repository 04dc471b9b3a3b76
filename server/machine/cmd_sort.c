/* SORT, SORT_RO. Semantics: Redis 7.0 sort.c.
 *
 * The elements are loaded, each gets a weight, and the order is total: so it is the same on every
 * replica. Keys that BY and GET make of the elements have to be of the shard. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/collection.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "server/machine/sequence.h"
#include "server/machine/zset_cursor.h"

#define ERR_FOREIGN                                                                          \
    "CROSSSLOT BY or GET of SORT names a key of another shard: give all keys one hash tag, " \
    "or use a database other than 0"

enum sort_flag {
    SORT_DESC = 1 << 0,
    SORT_ALPHA = 1 << 1,
    SORT_BY = 1 << 2,     /* By the values of other keys. */
    SORT_NATIVE = 1 << 3, /* Not at all: BY a constant. */
    SORT_STORES = 1 << 4,
    SORT_ORDERED = 1 << 5, /* A set that is not sorted has the order of its elements. */
};

struct spec {
    unsigned flags;
    int64_t start;
    int64_t count; /* Negative: all. */
    struct slice by;
    struct slice store;
    struct slice *gets; /* Owned. */
    size_t get_count;
};

static bool has_star(struct slice pattern)
{
    return pattern.len > 0 && memchr(pattern.data, '*', pattern.len) != NULL;
}

/* One option at argv[*at], which moves to its last argument. NULL or an error. */
static const char *parse_option(struct args args, size_t *at, struct spec *spec)
{
    struct slice word = args.argv[*at];
    size_t left = args.argc - *at - 1;
    if (command_word(word, "asc")) {
        spec->flags &= ~(unsigned)SORT_DESC;
    } else if (command_word(word, "desc")) {
        spec->flags |= SORT_DESC;
    } else if (command_word(word, "alpha")) {
        spec->flags |= SORT_ALPHA;
    } else if (command_word(word, "limit") && left >= 2) {
        if (!number_parse_i64(args.argv[*at + 1], &spec->start) ||
            !number_parse_i64(args.argv[*at + 2], &spec->count)) {
            return ERR_NOT_INTEGER;
        }
        *at += 2;
    } else if (command_word(word, "store") && left >= 1) {
        spec->flags |= SORT_STORES;
        spec->store = args.argv[++*at];
    } else if (command_word(word, "by") && left >= 1) {
        /* Once by a constant, and it stays so. */
        spec->by = args.argv[++*at];
        spec->flags |= has_star(spec->by) ? SORT_BY : SORT_NATIVE;
    } else if (command_word(word, "get") && left >= 1) {
        spec->gets[spec->get_count++] = args.argv[++*at];
    } else {
        return ERR_SYNTAX;
    }
    return NULL;
}

/* NULL or an error; spec->gets is the caller's in either case. */
static const char *parse_spec(struct args args, bool may_store, struct spec *spec)
{
    *spec = (struct spec){.count = -1};
    spec->gets = calloc(args.argc, sizeof(*spec->gets));
    assert(spec->gets != NULL);
    for (size_t i = 2; i < args.argc; i++) {
        if (!may_store && command_word(args.argv[i], "store")) {
            return ERR_SYNTAX;
        }
        const char *error = parse_option(args, &i, spec);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* One element to be sorted. */
struct item {
    size_t at; /* In the elements. */
    size_t len;
    size_t by_at; /* In the weights: the text that BY gives. */
    size_t by_len;
    bool has_by;
    size_t index;
    double score;
};

struct sort {
    struct call *call;
    struct spec spec;
    uint8_t type;
    struct buf elements;
    struct buf weights;
    struct buf key;   /* Of a lookup. */
    struct buf value; /* What was found. */
    struct buf out;   /* Elements of the reply, or u32 size, bytes of what is stored. */
    struct item *items;
    size_t count;
    size_t size;
    bool foreign; /* A key of another shard was named. */
};

static void sort_init(struct sort *sort, struct call *call)
{
    *sort = (struct sort){.call = call};
    struct buf *const bufs[] = {&sort->elements, &sort->weights, &sort->key, &sort->value,
                                &sort->out};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_init(bufs[i], SIZE_MAX / 2);
    }
}

static void sort_deinit(struct sort *sort)
{
    buf_deinit(&sort->elements);
    buf_deinit(&sort->weights);
    buf_deinit(&sort->key);
    buf_deinit(&sort->value);
    buf_deinit(&sort->out);
    free(sort->items);
    free(sort->spec.gets);
}

static struct slice text_of(const struct sort *sort, const struct item *item)
{
    return slice_of(sort->elements.data + item->at, item->len);
}

static void add_element(struct sort *sort, struct slice element)
{
    if (sort->count == sort->size) {
        sort->size = sort->size == 0 ? 64 : sort->size * 2;
        sort->items = realloc(sort->items, sort->size * sizeof(*sort->items));
        assert(sort->items != NULL);
    }
    sort->items[sort->count] =
        (struct item){.at = sort->elements.len, .len = element.len, .index = sort->count};
    sort->count++;
    buf_append_slice(&sort->elements, element);
}

static enum status add_member(void *ctx, const struct collection_entry *entry)
{
    add_element(ctx, entry->field);
    return STATUS_OK;
}

static enum status load_set(struct sort *sort, struct slice key)
{
    struct collection set;
    enum status status = collection_open(sort->call, SLOT_A, key, KEYSPACE_SET, &set);
    return status == STATUS_OK ? collection_each(&set, add_member, sort) : status;
}

static enum status load_list(struct sort *sort, struct slice key)
{
    struct sequence list;
    enum status status = sequence_load(sort->call, SLOT_A, key, &list);
    struct sequence_walk walk;
    if (status == STATUS_OK) {
        status = sequence_walk_open(&walk, &list, 0, list.size, false);
    }
    if (status != STATUS_OK) {
        return status;
    }
    while (sequence_walk_next(&walk)) {
        add_element(sort, walk.value);
    }
    return sequence_walk_close(&walk);
}

static enum status load_zset(struct sort *sort, struct slice key)
{
    enum { SCORE_SIZE = 8 }; /* Before the member. */
    struct zset zset;
    enum status status = zset_load(sort->call, SLOT_A, key, &zset);
    if (status != STATUS_OK) {
        return status;
    }
    struct zset_cursor cursor;
    struct slice sub_key;
    zset_cursor_open(&cursor, &zset, zset_range_all(), false, 0);
    while (zset_cursor_next(&cursor, &sub_key)) {
        assert(sub_key.len >= SCORE_SIZE);
        add_element(sort, slice_of(sub_key.data + SCORE_SIZE, sub_key.len - SCORE_SIZE));
    }
    return zset_cursor_close(&cursor);
}

/* All elements in the order in which the type has them. */
static enum status load(struct sort *sort, struct slice key)
{
    struct row row;
    enum status status = keyspace_load(sort->call, SLOT_A, sort->call->db, key, &row);
    if (status != STATUS_OK || !row.found) {
        return status;
    }
    sort->type = row.type;
    uint64_t lookups = sort->spec.get_count + ((sort->spec.flags & SORT_BY) != 0 ? 1 : 0);
    if (txn_cache_only(sort->call->txn) && row.size > COLLECTION_FAST_COUNT / (1 + lookups)) {
        return STATUS_AGAIN;
    }
    if (row.type == KEYSPACE_SET) {
        return load_set(sort, key);
    }
    if (row.type == KEYSPACE_ZSET) {
        return load_zset(sort, key);
    }
    return row.type == KEYSPACE_LIST ? load_list(sort, key) : STATUS_WRONG_TYPE;
}

/* Where "->" stands behind from with something behind it; 0: nowhere. */
static size_t find_arrow(struct slice pattern, size_t from)
{
    for (size_t i = from; i + 2 < pattern.len; i++) {
        if (pattern.data[i] == '-' && pattern.data[i + 1] == '>') {
            return i;
        }
    }
    return 0;
}

static enum status look_up_field(struct sort *sort,
                                 struct slice key,
                                 struct slice field,
                                 bool *found)
{
    struct collection hash;
    struct slice value;
    enum status status = collection_open(sort->call, SLOT_B, key, KEYSPACE_HASH, &hash);
    if (status == STATUS_OK) {
        status = collection_get(&hash, field, &value, found);
    }
    if (status == STATUS_OK && *found) {
        buf_append_slice(&sort->value, value);
    }
    return status == STATUS_WRONG_TYPE ? STATUS_OK : status;
}

static enum status look_up_string(struct sort *sort, struct slice key, bool *found)
{
    struct call *call = sort->call;
    struct row row;
    enum status status = keyspace_load(call, SLOT_B, call->db, key, &row);
    *found = status == STATUS_OK && row.found && row.type == KEYSPACE_STRING;
    return *found ? keyspace_read(call, &row, 0, row.size, &sort->value) : status;
}

/* What a pattern of BY or GET means for an element, into sort->value. */
static enum status look_up(struct sort *sort,
                           struct slice pattern,
                           struct slice element,
                           bool *found)
{
    buf_clear(&sort->value);
    buf_clear(&sort->key);
    *found = false;
    if (pattern.len == 1 && pattern.data[0] == '#') {
        buf_append_slice(&sort->value, element);
        *found = true;
        return STATUS_OK;
    }
    if (!has_star(pattern)) {
        return STATUS_OK;
    }
    const uint8_t *star = memchr(pattern.data, '*', pattern.len);
    size_t prefix = (size_t)(star - pattern.data);
    size_t arrow = find_arrow(pattern, prefix + 1);
    size_t end = arrow == 0 ? pattern.len : arrow;
    buf_append(&sort->key, pattern.data, prefix);
    buf_append_slice(&sort->key, element);
    buf_append(&sort->key, star + 1, end - prefix - 1);
    struct slice key = buf_slice(&sort->key);
    if (key.len > KEYSPACE_KEY_SIZE_MAX) {
        return STATUS_OK;
    }
    if (!keyspace_owns(&sort->call->scope, sort->call->db, key)) {
        sort->foreign = true;
        return STATUS_OK;
    }
    if (arrow == 0) {
        return look_up_string(sort, key, found);
    }
    struct slice field = slice_of(pattern.data + arrow + 2, pattern.len - arrow - 2);
    return look_up_field(sort, key, field, found);
}

/* As strtod() reads it, in full; false too if it is out of range or not a number. */
static bool parse_score(struct sort *sort, struct slice text, double *score)
{
    struct buf *copy = &sort->key;
    buf_clear(copy);
    buf_append_slice(copy, text);
    buf_append_u8(copy, '\0');
    char *end = NULL;
    errno = 0;
    *score = strtod((const char *)copy->data, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*score);
}

/* *numbers: false if a weight should be a number and is none. */
static enum status weigh(struct sort *sort, bool *numbers)
{
    bool by = (sort->spec.flags & SORT_BY) != 0;
    bool alpha = (sort->spec.flags & SORT_ALPHA) != 0;
    *numbers = true;
    for (size_t i = 0; i < sort->count && (by || !alpha); i++) {
        struct item *item = &sort->items[i];
        struct slice weight = text_of(sort, item);
        if (by) {
            enum status status = look_up(sort, sort->spec.by, weight, &item->has_by);
            if (status != STATUS_OK) {
                return status;
            }
            weight = buf_slice(&sort->value);
        }
        if (by && !item->has_by) {
            continue;
        }
        if (alpha) {
            item->by_at = sort->weights.len;
            item->by_len = weight.len;
            buf_append_slice(&sort->weights, weight);
        } else if (!parse_score(sort, weight, &item->score)) {
            *numbers = false;
        }
    }
    return STATUS_OK;
}

static int compare_text(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_weights(const struct sort *sort, const struct item *a, const struct item *b)
{
    if ((sort->spec.flags & SORT_ALPHA) == 0) {
        int order = (a->score > b->score) - (a->score < b->score);
        return order != 0 ? order : compare_text(text_of(sort, a), text_of(sort, b));
    }
    if ((sort->spec.flags & SORT_BY) == 0) {
        return compare_text(text_of(sort, a), text_of(sort, b));
    }
    if (!a->has_by || !b->has_by) {
        return (int)a->has_by - (int)b->has_by;
    }
    return compare_text(slice_of(sort->weights.data + a->by_at, a->by_len),
                        slice_of(sort->weights.data + b->by_at, b->by_len));
}

static int compare_items(const void *left, const void *right, void *ctx)
{
    const struct sort *sort = ctx;
    const struct item *a = left;
    const struct item *b = right;
    int order = compare_weights(sort, a, b);
    order = (sort->spec.flags & SORT_DESC) != 0 ? -order : order;
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static void reverse(struct sort *sort)
{
    for (size_t i = 0; i < sort->count / 2; i++) {
        struct item item = sort->items[i];
        sort->items[i] = sort->items[sort->count - 1 - i];
        sort->items[sort->count - 1 - i] = item;
    }
}

/* *numbers as above. */
static enum status arrange(struct sort *sort, bool *numbers)
{
    unsigned flags = sort->spec.flags;
    *numbers = true;
    bool ordered = (flags & (SORT_STORES | SORT_ORDERED)) != 0;
    if ((flags & SORT_NATIVE) != 0 && sort->type == KEYSPACE_SET && ordered) {
        /* What is stored, and what a script sees, has an order. */
        sort->spec.flags = (flags & ~(unsigned)(SORT_NATIVE | SORT_BY)) | SORT_ALPHA;
    } else if ((flags & SORT_NATIVE) != 0) {
        if ((flags & SORT_DESC) != 0 && sort->type != KEYSPACE_SET) {
            reverse(sort);
        }
        return STATUS_OK;
    }
    enum status status = weigh(sort, numbers);
    if (status == STATUS_OK && sort->count > 0) {
        qsort_r(sort->items, sort->count, sizeof(*sort->items), compare_items, sort);
    }
    return status;
}

static void emit(struct sort *sort, bool found, struct slice value)
{
    if ((sort->spec.flags & SORT_STORES) != 0) {
        buf_append_bytes(&sort->out, found ? value : slice_of("", 0));
    } else if (found) {
        resp_write_bulk(&sort->out, value);
    } else {
        resp_write_null(&sort->out);
    }
}

/* What the range of elements gives, into sort->out. */
static enum status emit_range(struct sort *sort, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        struct slice element = text_of(sort, &sort->items[i]);
        if (sort->spec.get_count == 0) {
            emit(sort, true, element);
        }
        for (size_t n = 0; n < sort->spec.get_count; n++) {
            bool found = false;
            enum status status = look_up(sort, sort->spec.gets[n], element, &found);
            if (status != STATUS_OK) {
                return status;
            }
            emit(sort, found, buf_slice(&sort->value));
        }
        enum status status = collection_may_reply(sort->call, sort->out.len);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* LIMIT: start <= index < end of count elements. */
static void clip(const struct spec *spec, size_t count, size_t *start, size_t *end)
{
    uint64_t from = spec->start < 0 ? 0 : (uint64_t)spec->start;
    uint64_t wanted = spec->count < 0 ? count : (uint64_t)spec->count;
    *start = from < count ? (size_t)from : count;
    *end = wanted < count - *start ? *start + (size_t)wanted : count;
}

/* The list that SORT ... STORE leaves. */
static enum status store(struct sort *sort, size_t count)
{
    struct call *call = sort->call;
    struct slice key = sort->spec.store;
    struct row row;
    struct sequence list;
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
    if (status != STATUS_OK) {
        return status;
    }
    bool existed = row.found;
    if (existed) {
        keyspace_delete(call, &row);
    }
    resp_write_int(call->reply, (int64_t)count);
    if (count == 0) {
        if (existed) {
            event_note(call, EVENT_GENERIC, "del", key);
        }
        return STATUS_OK;
    }
    status = sequence_load(call, SLOT_A, key, &list);
    struct reader in = reader_of(buf_slice(&sort->out));
    while (in.rest.len > 0 && status == STATUS_OK) {
        status = sequence_push(&list, SEQUENCE_RIGHT, reader_bytes(&in, UINT32_MAX));
    }
    if (status == STATUS_OK) {
        sequence_store(&list);
        event_note(call, EVENT_LIST, "sortstore", key);
    }
    return status;
}

/* Loads, sorts, replies or stores. */
static enum status run(struct sort *sort, struct slice key)
{
    struct call *call = sort->call;
    size_t start = 0;
    size_t end = 0;
    bool numbers = true;
    enum status status = load(sort, key);
    if (status == STATUS_OK) {
        status = arrange(sort, &numbers);
    }
    if (status == STATUS_OK && numbers) {
        clip(&sort->spec, sort->count, &start, &end);
        status = emit_range(sort, start, end);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (sort->foreign) {
        resp_write_error(call->reply, ERR_FOREIGN);
        return STATUS_OK;
    }
    if (!numbers) {
        resp_write_error(call->reply, "ERR One or more scores can't be converted into double");
        return STATUS_OK;
    }
    size_t count = (end - start) * (sort->spec.get_count == 0 ? 1 : sort->spec.get_count);
    if ((sort->spec.flags & SORT_STORES) != 0) {
        return store(sort, count);
    }
    resp_write_array(call->reply, count);
    buf_append_slice(call->reply, buf_slice(&sort->out));
    return STATUS_OK;
}

enum status cmd_sort_ro_read(struct call *call)
{
    struct sort sort;
    sort_init(&sort, call);
    enum status status = STATUS_OK;
    const char *error = parse_spec(call->args, false, &sort.spec);
    if (error != NULL) {
        resp_write_error(call->reply, error);
    } else {
        sort.spec.flags |= call->script ? SORT_ORDERED : 0;
        status = run(&sort, call->args.argv[1]);
    }
    sort_deinit(&sort);
    return status;
}

/* A planned SORT: key, the key to store to if there is one, u64 flags, i64 start and i64 count of
 * LIMIT, the pattern of BY, those of GET. */
enum { SORT_PLANNED_ARGC_MIN = 5 };

enum status cmd_sort_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct spec spec;
    const char *error = parse_spec(input->args, true, &spec);
    if (error == NULL) {
        size_t key_count = (spec.flags & SORT_STORES) != 0 ? 2 : 1;
        planned_begin(plan, CMD_sort, input->db, key_count, key_count + 4 + spec.get_count);
        planned_bytes(plan, input->args.argv[1]);
        if (key_count == 2) {
            planned_bytes(plan, spec.store);
        }
        planned_u64(plan, spec.flags | (input->script ? SORT_ORDERED : 0));
        planned_u64(plan, (uint64_t)spec.start);
        planned_u64(plan, (uint64_t)spec.count);
        planned_bytes(plan, spec.by);
        for (size_t i = 0; i < spec.get_count; i++) {
            planned_bytes(plan, spec.gets[i]);
        }
    }
    free(spec.gets);
    return error == NULL ? STATUS_OK : planned_refuse(plan, error);
}

enum status cmd_sort_apply(struct call *call)
{
    struct args args = call->args;
    size_t keys = call->key_count;
    if (keys < 1 || keys > 2 || args.argc < SORT_PLANNED_ARGC_MIN + keys - 1) {
        return STATUS_CORRUPT;
    }
    struct sort sort;
    sort_init(&sort, call);
    sort.spec.flags = (unsigned)planned_number(args.argv[keys]);
    sort.spec.start = (int64_t)planned_number(args.argv[keys + 1]);
    sort.spec.count = (int64_t)planned_number(args.argv[keys + 2]);
    sort.spec.by = args.argv[keys + 3];
    sort.spec.get_count = args.argc - keys - 4;
    sort.spec.gets = calloc(args.argc, sizeof(*sort.spec.gets));
    assert(sort.spec.gets != NULL);
    memcpy(sort.spec.gets, args.argv + keys + 4, sort.spec.get_count * sizeof(*sort.spec.gets));
    enum status status = STATUS_CORRUPT;
    if ((keys == 2) == ((sort.spec.flags & SORT_STORES) != 0)) {
        sort.spec.store = args.argv[keys - 1];
        status = run(&sort, args.argv[0]);
    }
    sort_deinit(&sort);
    return status;
}
