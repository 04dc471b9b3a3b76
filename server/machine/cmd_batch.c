/* Transactions (batch.h), and versions of keys, which WATCH asks for. Semantics: Redis 7.0 multi.c.
 */

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/proto/transaction.h"
#include "server/machine/batch.h"
#include "server/machine/keyspace.h"

/* Items draw from seeds of their own. */
static uint64_t seed_of(uint64_t seed, uint64_t nth)
{
    return hash_bytes_seeded(slice_of(&nth, sizeof(nth)), seed);
}

/* Planning. */

struct draft {
    struct buf body;
    struct buf planned; /* Of the item at hand. */
    struct buf reply;
};

static bool read_fits(const struct transaction_item *item, struct buf *reply)
{
    for (size_t nth = 0, index = 0; (index = command_key_at(item->command, item->args, nth)) != 0;
         nth++) {
        if (item->args.argv[index].len > KEYSPACE_KEY_SIZE_MAX) {
            resp_write_error(reply, "ERR key is longer than 65536 bytes");
            return false;
        }
    }
    return true;
}

static void plan_item(const struct transaction_item *item,
                      uint64_t now_ms,
                      uint64_t seed,
                      struct draft *draft)
{
    buf_clear(&draft->planned);
    buf_clear(&draft->reply);
    enum batch_kind kind = BATCH_READ;
    if ((item->command->flags & CMD_WRITE) != 0) {
        struct machine_plan_input input = {.command = item->command,
                                           .args = item->args,
                                           .db = item->db,
                                           .now_ms = now_ms,
                                           .seed = seed,
                                           .nested = true};
        enum status status = machine_plan(&input, &draft->planned, &draft->reply);
        kind = status == STATUS_OK ? BATCH_WRITE : BATCH_REPLY;
    } else if (read_fits(item, &draft->reply)) {
        batch_write_read(&draft->planned, item->command, item->db, item->args);
    } else {
        kind = BATCH_REPLY;
    }
    struct slice bytes = buf_slice(kind == BATCH_REPLY ? &draft->reply : &draft->planned);
    batch_item(&draft->body, kind, bytes);
}

enum status cmd_batch_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct transaction transaction;
    if (transaction_open(input->args, &transaction) != STATUS_OK) {
        return planned_refuse(plan, "ERR malformed transaction");
    }
    struct draft draft;
    buf_init(&draft.body, SIZE_MAX / 2);
    buf_init(&draft.planned, SIZE_MAX / 2);
    buf_init(&draft.reply, SIZE_MAX / 2);
    batch_begin(&draft.body, input->seed, transaction.watch_count);
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        struct batch_watch planned = {.db = watch.db, .version = watch.version, .key = watch.key};
        batch_watch(&draft.body, &planned);
    }
    batch_begin_items(&draft.body, transaction.item_count);
    struct transaction_item item;
    for (uint64_t n = 0; transaction_next_item(&transaction, &item); n++) {
        plan_item(&item, input->now_ms, seed_of(input->seed, n), &draft);
    }
    size_t keys = transaction.key_count;
    planned_begin(plan, CMD_batch, input->db, keys, keys + 1);
    for (size_t i = 0; i < keys; i++) {
        planned_bytes(plan, transaction.keys[i]);
    }
    planned_bytes(plan, buf_slice(&draft.body));
    buf_deinit(&draft.body);
    buf_deinit(&draft.planned);
    buf_deinit(&draft.reply);
    return STATUS_OK;
}

/* Applying. */

static enum status version_of(struct call *call, uint8_t db, struct slice key, uint64_t *version)
{
    struct call look = *call;
    look.state = NULL; /* Only looks: what has expired stays where it is. */
    struct row row;
    enum status status = keyspace_load(&look, SLOT_A, db, key, &row);
    *version = status == STATUS_OK && row.found ? row.version : 0;
    return status;
}

/* Arguments of an item; valid until the next use of room. */
static struct args args_of(const struct planned *planned, struct buf *room)
{
    buf_clear(room);
    struct slice *argv =
        (struct slice *)(void *)buf_reserve(room, (planned->arg_count + 1) * sizeof(*argv));
    planned_args(planned, argv);
    return (struct args){.argv = argv, .argc = planned->arg_count};
}

/* A command without keys needs all of its database. */
static bool owns_whole(const struct machine_scope *scope, const struct planned *planned)
{
    if (planned->db != 0 && planned->command->id != CMD_flushall) {
        return keyspace_owns(scope, planned->db, slice_of(NULL, 0));
    }
    return scope->start == 0 && scope->last == UINT64_MAX;
}

static bool owns_item(const struct call *call, const struct batch_item *item, struct buf *room)
{
    const struct planned *planned = &item->planned;
    if (item->kind == BATCH_REPLY) {
        return true;
    }
    if (!command_has_keys(planned->command)) {
        return owns_whole(&call->scope, planned);
    }
    struct args args = args_of(planned, room);
    for (size_t n = 0;; n++) {
        size_t index = n;
        if (item->kind == BATCH_READ) {
            index = command_key_at(planned->command, args, n);
        }
        bool end = item->kind == BATCH_READ ? index == 0 : n == planned->key_count;
        if (end) {
            return true;
        }
        if (!keyspace_owns(&call->scope, planned->db, args.argv[index])) {
            return false;
        }
    }
}

static bool owns_batch(const struct call *call, struct batch batch, struct buf *room)
{
    struct batch_watch watch;
    while (batch_next_watch(&batch, &watch)) {
        if (!keyspace_owns(&call->scope, watch.db, watch.key)) {
            return false;
        }
    }
    struct batch_item item;
    while (batch_next_item(&batch, &item)) {
        if (!owns_item(call, &item, room)) {
            return false;
        }
    }
    return true;
}

static enum status check_watches(struct call *call, struct batch *batch, bool *same)
{
    *same = true;
    struct batch_watch watch;
    while (batch_next_watch(batch, &watch)) {
        uint64_t version = 0;
        enum status status = version_of(call, watch.db, watch.key, &version);
        if (status != STATUS_OK) {
            return status;
        }
        *same = *same && version == watch.version;
    }
    return STATUS_OK;
}

/* A batch at work. */
struct progress {
    size_t begin; /* Of the reply. */
    size_t large; /* Reads with CMD_LARGE. */
};

/* NULL, or why a read is not done: what every replica applies must be bounded. */
static const char *refuse_read(const struct call *call,
                               const struct planned *planned,
                               struct progress *progress)
{
    if (call->reply->len - progress->begin > BATCH_REPLY_SIZE_MAX) {
        return "ERR the replies of this transaction are larger than 64 MB in all";
    }
    if ((planned->command->flags & CMD_LARGE) == 0) {
        return NULL;
    }
    if (progress->large++ >= BATCH_LARGE_MAX) {
        return "ERR not in a transaction: it has four commands that take long already";
    }
    bool large = call->seen->keys[planned->db] > BATCH_LARGE_KEYS_MAX;
    return large ? "ERR not in a transaction: the database has more than 100000 keys" : NULL;
}

/* What a handler's status says instead of a reply; NULL: it is one like any other. */
static const char *refusal_of(enum status status)
{
    if (status == STATUS_WRONG_TYPE) {
        return ERR_WRONG_TYPE;
    }
    if (status == STATUS_TOO_BIG) {
        return "ERR the reply would be too long, ask for less at a time";
    }
    bool refused = status == STATUS_NOT_OWNER || status == STATUS_AGAIN;
    return refused ? "ERR this command cannot run in a transaction" : NULL;
}

static enum status run_item(struct call *call, const struct batch_item *item, struct args args)
{
    const struct planned *planned = &item->planned;
    call->command = planned->command;
    call->args = args;
    call->key_count = planned->key_count;
    call->db = planned->db;
    const struct handler *handler = handler_of(planned->command->id);
    if (item->kind == BATCH_WRITE) {
        assert(handler->apply != NULL);
        return handler->apply(call);
    }
    assert(handler->read != NULL);
    struct call read = *call;
    read.state = NULL;
    return handler->read(&read);
}

/* Appends the reply of one item. */
static enum status answer_item(struct call *call,
                               const struct batch_item *item,
                               struct progress *progress,
                               struct buf *room)
{
    if (item->kind == BATCH_REPLY) {
        buf_append_slice(call->reply, item->reply);
        return STATUS_OK;
    }
    const char *refusal = NULL;
    if (item->kind == BATCH_READ) {
        refusal = refuse_read(call, &item->planned, progress);
    }
    if (refusal != NULL) {
        resp_write_error(call->reply, refusal);
        return STATUS_OK;
    }
    size_t reply_len = call->reply->len;
    enum status status = run_item(call, item, args_of(&item->planned, room));
    refusal = refusal_of(status);
    if (refusal != NULL) {
        buf_truncate(call->reply, reply_len);
        resp_write_error(call->reply, refusal);
        status = STATUS_OK;
    }
    assert(IMPLIES(status == STATUS_OK, call->reply->len > reply_len));
    return status;
}

static enum status run_batch(struct call *call, struct batch *batch, struct buf *room)
{
    bool same = true;
    enum status status = check_watches(call, batch, &same);
    if (status != STATUS_OK) {
        return status;
    }
    if (!same) {
        resp_write_null_array(call->reply);
        return STATUS_OK;
    }
    struct progress progress = {.begin = call->reply->len};
    resp_write_array(call->reply, batch->item_count);
    struct call own = *call;
    own.nested = true;
    struct batch_item item;
    for (uint64_t n = 0; batch_next_item(batch, &item); n++) {
        own.state->version += n > 0 ? 1 : 0; /* The first has the batch's own. */
        own.seed = seed_of(batch->seed, n);
        status = answer_item(&own, &item, &progress, room);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status cmd_batch_apply(struct call *call)
{
    struct batch batch;
    if (call->args.argc != call->key_count + 1 ||
        batch_open(call->args.argv[call->key_count], &batch) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    struct buf room;
    buf_init(&room, SIZE_MAX / 2);
    enum status status = STATUS_NOT_OWNER;
    if (owns_batch(call, batch, &room)) {
        status = run_batch(call, &batch, &room);
    }
    buf_deinit(&room);
    return status;
}

/* VERSIONS key ...: of each the version of its last change, 0 if it is not there. */
enum status cmd_versions_read(struct call *call)
{
    resp_write_array(call->reply, call->args.argc - 1);
    for (size_t i = 1; i < call->args.argc; i++) {
        uint64_t version = 0;
        enum status status = version_of(call, call->db, call->args.argv[i], &version);
        if (status != STATUS_OK) {
            return status;
        }
        resp_write_int(call->reply, (int64_t)version);
    }
    return STATUS_OK;
}
