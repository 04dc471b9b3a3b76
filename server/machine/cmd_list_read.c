/* LLEN, LINDEX, LRANGE, LPOS. Semantics: Redis 7.0 t_list.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/take.h"

enum { FAST_COUNT_MAX = 1000 }; /* More elements are read where it may take long. */

enum status cmd_llen_read(struct call *call)
{
    struct row row;
    enum status status = keyspace_load_type(call, SLOT_A, call->args.argv[1], KEYSPACE_LIST, &row);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, row.found ? (int64_t)row.size : 0);
    }
    return status;
}

enum status cmd_lindex_read(struct call *call)
{
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, call->args.argv[1], &list);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t index = 0;
    if (!list.row.found) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    if (!number_parse_i64(call->args.argv[2], &index)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    index += index < 0 ? (int64_t)list.size : 0;
    if (index < 0 || (uint64_t)index >= list.size) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    uint64_t place = 0;
    struct slice value;
    status = sequence_place(&list, (uint64_t)index, &place);
    if (status == STATUS_OK) {
        status = sequence_get(&list, place, &value);
    }
    if (status == STATUS_OK) {
        resp_write_bulk(call->reply, value);
    }
    return status;
}

static enum status reply_range(struct sequence *list, uint64_t index, uint64_t count)
{
    struct call *call = list->call;
    bool fast = txn_cache_only(call->txn);
    if (fast && count > FAST_COUNT_MAX && !list->packed) {
        return STATUS_AGAIN;
    }
    struct sequence_walk walk;
    enum status status = sequence_walk_open(&walk, list, index, count, false);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_array(call->reply, count);
    size_t start = call->reply->len;
    bool over = false;
    for (uint64_t n = 0; n < count && !over; n++) {
        if (!sequence_walk_next(&walk)) {
            status = STATUS_CORRUPT;
            break;
        }
        resp_write_bulk(call->reply, walk.value);
        over = fast && call->reply->len - start > KEYSPACE_FAST_READ_SIZE_MAX;
    }
    enum status walked = sequence_walk_close(&walk);
    if (walked != STATUS_OK || status != STATUS_OK) {
        return walked != STATUS_OK ? walked : status;
    }
    return over ? STATUS_AGAIN : STATUS_OK;
}

enum status cmd_lrange_read(struct call *call)
{
    int64_t start = 0;
    int64_t stop = 0;
    if (!number_parse_i64(call->args.argv[2], &start) ||
        !number_parse_i64(call->args.argv[3], &stop)) {
        resp_write_error(call->reply, ERR_NOT_INTEGER);
        return STATUS_OK;
    }
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, call->args.argv[1], &list);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t index = 0;
    uint64_t count = 0;
    if (!take_clip(start, stop, list.size, &index, &count)) {
        resp_write_array(call->reply, 0);
        return STATUS_OK;
    }
    return reply_range(&list, index, count);
}

struct search {
    struct slice value;
    bool backward;
    bool counted;
    uint64_t rank;   /* The first that counts, from 1. */
    uint64_t count;  /* 0: all */
    uint64_t length; /* Elements to look at; 0: all. */
};

static const char *parse_option(struct slice word, struct slice arg, struct search *search)
{
    int64_t number = 0;
    bool good = number_parse_i64(arg, &number);
    if (command_word(word, "rank")) {
        if (!good) {
            return ERR_NOT_INTEGER;
        }
        if (number == 0) {
            return "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
                   "... or use negative to start from the end of the list";
        }
        if (number == INT64_MIN) {
            return "ERR value is out of range, value must between -9223372036854775807 and "
                   "9223372036854775807";
        }
        search->backward = number < 0;
        search->rank = number < 0 ? -(uint64_t)number : (uint64_t)number;
        return NULL;
    }
    if (command_word(word, "count")) {
        search->counted = true;
        search->count = (uint64_t)number;
        return good && number >= 0 ? NULL : "ERR COUNT can't be negative";
    }
    if (command_word(word, "maxlen")) {
        search->length = (uint64_t)number;
        return good && number >= 0 ? NULL : "ERR MAXLEN can't be negative";
    }
    return ERR_SYNTAX;
}

static const char *parse_search(struct args args, struct search *search)
{
    *search = (struct search){.value = args.argv[2], .rank = 1};
    const char *error = NULL;
    for (size_t i = 3; i < args.argc && error == NULL; i += 2) {
        error =
            i + 1 == args.argc ? ERR_SYNTAX : parse_option(args.argv[i], args.argv[i + 1], search);
    }
    return error;
}

/* Appends the indexes that were found to out. */
static enum status find_matches(struct sequence *list,
                                const struct search *search,
                                struct buf *out,
                                uint64_t *found)
{
    uint64_t length =
        search->length == 0 || search->length > list->size ? list->size : search->length;
    uint64_t wanted = search->counted ? search->count : 1;
    bool fast = txn_cache_only(list->call->txn) && !list->packed;
    struct sequence_walk walk;
    enum status status = sequence_walk_open(&walk, list, search->backward ? list->size - 1 : 0,
                                            length, search->backward);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t matches = 0;
    for (uint64_t n = 0; n < length && status == STATUS_OK; n++) {
        if (!sequence_walk_next(&walk)) {
            status = STATUS_CORRUPT;
            break;
        }
        matches += slice_equal(walk.value, search->value) ? 1 : 0;
        if (slice_equal(walk.value, search->value) && matches >= search->rank) {
            resp_write_int(out, (int64_t)(search->backward ? list->size - n - 1 : n));
            ++*found;
            if (*found == wanted) {
                break;
            }
        }
        status = fast && n >= FAST_COUNT_MAX ? STATUS_AGAIN : STATUS_OK;
    }
    enum status walked = sequence_walk_close(&walk);
    return walked != STATUS_OK ? walked : status;
}

enum status cmd_lpos_read(struct call *call)
{
    struct search search;
    const char *error = parse_search(call->args, &search);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct sequence list;
    enum status status = sequence_load(call, SLOT_A, call->args.argv[1], &list);
    if (status != STATUS_OK) {
        return status;
    }
    struct buf *out = txn_scratch(call->txn, SCRATCH_RESULT);
    uint64_t found = 0;
    if (list.row.found) {
        status = find_matches(&list, &search, out, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (search.counted) {
        resp_write_array(call->reply, found);
    } else if (found == 0) {
        resp_write_null(call->reply);
    }
    buf_append_slice(call->reply, buf_slice(out));
    return STATUS_OK;
}
