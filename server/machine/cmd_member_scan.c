/* HSCAN, SSCAN, HRANDFIELD, SRANDMEMBER: some of the elements of a hash or a set. Semantics: Redis
 * 7.0 t_hash.c, t_set.c, db.c scanGenericCommand(). */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/collection.h"
#include "server/machine/scan_args.h"

enum { PICK_COUNT_MAX = 1 << 20 }; /* Repeated elements that one command may ask for. */

/* Elements on their way into a reply. */
struct shown {
    struct call *call;
    const struct scan_args *scan; /* NULL: all are taken. */
    struct buf *out;
    size_t start; /* Of out. */
    size_t count; /* Of bulk strings. */
    bool values;
    bool pairs; /* Each field in an array with its value. */
};

static enum status show(void *ctx, const struct collection_entry *entry)
{
    struct shown *shown = ctx;
    if (shown->scan != NULL && !scan_args_match(shown->scan, entry->field)) {
        return STATUS_OK;
    }
    if (shown->pairs) {
        resp_write_pair(shown->out);
    }
    resp_write_bulk(shown->out, entry->field);
    shown->count++;
    if (shown->values) {
        resp_write_bulk(shown->out, entry->value);
        shown->count++;
    }
    return collection_may_reply(shown->call, shown->out->len - shown->start);
}

static enum status scan_type(struct call *call, enum keyspace_type type)
{
    struct scan_args scan;
    const char *error = scan_args_cursor(call->args.argv[2], &scan);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct collection found;
    enum status status = collection_open(call, SLOT_A, call->args.argv[1], type, &found);
    if (status != STATUS_OK) {
        return status;
    }
    error = found.there ? scan_args_options(call->args, 3, &scan) : NULL;
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct shown shown = {.call = call,
                          .scan = &scan,
                          .out = txn_scratch(call->txn, SCRATCH_RESULT),
                          .values = type == KEYSPACE_HASH};
    struct collection_page page = {.cursor = scan.cursor, .count = scan.count};
    status = collection_scan(&found, &page, show, &shown);
    if (status == STATUS_OK) {
        scan_args_reply(call->reply, page.next, shown.count, buf_slice(shown.out));
    }
    return status;
}

enum status cmd_hscan_read(struct call *call)
{
    return scan_type(call, KEYSPACE_HASH);
}

enum status cmd_sscan_read(struct call *call)
{
    return scan_type(call, KEYSPACE_SET);
}

struct pick {
    uint64_t count;
    bool single; /* One element, not an array of one. */
    bool repeats;
    bool values;
};

/* NULL or an error. argv[2] is the count, argv[3] WITHVALUES of a hash. */
static const char *parse_pick(struct args args, enum keyspace_type type, struct pick *pick)
{
    int64_t count = 1;
    *pick = (struct pick){.single = args.argc == 2};
    if (type == KEYSPACE_SET && args.argc > 3) {
        return ERR_SYNTAX;
    }
    if (args.argc > 2 && !number_parse_i64(args.argv[2], &count)) {
        return ERR_NOT_INTEGER;
    }
    if (count == INT64_MIN) {
        return "ERR value is out of range, value must between -9223372036854775807 and "
               "9223372036854775807";
    }
    pick->repeats = count < 0;
    pick->count = (uint64_t)(count < 0 ? -count : count);
    if (args.argc > 4 || (args.argc == 4 && !command_word(args.argv[3], "withvalues"))) {
        return ERR_SYNTAX;
    }
    pick->values = args.argc == 4;
    if (pick->values && pick->count > INT64_MAX / 2) {
        return "ERR value is out of range";
    }
    return NULL;
}

static enum status pick_one(struct collection *from, struct rand *rand, struct shown *shown)
{
    if (collection_count(from) == 0) {
        resp_write_null(shown->out);
        return STATUS_OK;
    }
    return collection_pick(from, rand, 1, show, shown);
}

static enum status pick_many(struct collection *from,
                             struct rand *rand,
                             const struct pick *pick,
                             struct shown *shown)
{
    uint64_t there = collection_count(from);
    uint64_t count = there == 0 ? 0 : pick->count;
    count = !pick->repeats && count > there ? there : count;
    if (pick->repeats && count > PICK_COUNT_MAX) {
        return STATUS_TOO_BIG;
    }
    if (pick->values) {
        resp_write_pairs(shown->out, count);
    } else {
        resp_write_array(shown->out, count);
    }
    if (count == 0) {
        return STATUS_OK;
    }
    if (pick->repeats) {
        return collection_pick(from, rand, count, show, shown);
    }
    return count == there ? collection_each(from, show, shown)
                          : collection_pick_distinct(from, rand, count, show, shown);
}

static enum status pick_type(struct call *call, enum keyspace_type type)
{
    struct pick pick;
    const char *error = parse_pick(call->args, type, &pick);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    struct collection from;
    enum status status = collection_open(call, SLOT_A, call->args.argv[1], type, &from);
    if (status != STATUS_OK) {
        return status;
    }
    struct rand rand;
    rand_init(&rand, call->seed);
    struct shown shown = {.call = call,
                          .out = call->reply,
                          .start = call->reply->len,
                          .values = pick.values,
                          .pairs = pick.values};
    return pick.single ? pick_one(&from, &rand, &shown) : pick_many(&from, &rand, &pick, &shown);
}

enum status cmd_hrandfield_read(struct call *call)
{
    return pick_type(call, KEYSPACE_HASH);
}

enum status cmd_srandmember_read(struct call *call)
{
    return pick_type(call, KEYSPACE_SET);
}
