#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "server/script/trial_private.h"

/* Which scripts a shard knows by their SHA-1: those that it stores, and those that it ran. */

enum {
    LEARN_MAX = 128,
    /* Of sources in one reply: all shards may have all of them. Whoever asked for many asks again;
     * larger ones are known where they were run, or loaded. */
    FOUND_SIZE_MAX = 1 << 20,
};

bool trial_by_sha(const struct command *command)
{
    return command->id == CMD_evalsha || command->id == CMD_evalsha_ro;
}

static bool by_text(const struct command *command)
{
    return command->id == CMD_eval || command->id == CMD_eval_ro;
}

void trial_forget(struct trial *trial, uint64_t shard)
{
    script_engine_forget_place(trial->engine, shard);
}

/* The commands of a transaction, or the one. */
struct walk {
    bool batch;
    bool done;
    struct transaction transaction;
    struct transaction_item item;
};

static void walk_begin(struct walk *walk, const struct command *command, struct args args)
{
    *walk = (struct walk){.batch = command->id == CMD_batch};
    walk->item = (struct transaction_item){.command = command, .args = args};
    walk->done = walk->batch && (transaction_open(args, &walk->transaction) != STATUS_OK ||
                                 !walk->transaction.trial);
}

static bool walk_next(struct walk *walk)
{
    if (walk->batch) {
        return !walk->done && transaction_next_item(&walk->transaction, &walk->item);
    }
    bool more = !walk->done;
    walk->done = true;
    return more;
}

/* The source is at hand. */
static void learn(struct trial *trial, uint64_t shard, struct slice source, bool stored)
{
    char sha[SHA1_HEX_SIZE + 1];
    unsigned flags = 0;
    sha1_hex(source, sha);
    buf_clear(&trial->reply);
    if (script_engine_load(trial->engine, source, &flags, &trial->reply) == STATUS_OK) {
        script_engine_note(trial->engine, shard, slice_str(sha), stored);
    }
}

void trial_learn(struct trial *trial,
                 uint64_t shard,
                 const struct command *command,
                 struct args args)
{
    struct walk walk;
    walk_begin(&walk, command, args);
    for (size_t count = 0; count < LEARN_MAX && walk_next(&walk);) {
        if (!by_text(walk.item.command)) {
            continue;
        }
        char sha[SHA1_HEX_SIZE + 1];
        bool stored = false;
        sha1_hex(walk.item.args.argv[1], sha);
        if (!script_engine_knows(trial->engine, shard, slice_str(sha), &stored)) {
            learn(trial, shard, walk.item.args.argv[1], false);
            count++;
        }
    }
}

/* False: it was there. */
static bool add_once(struct map *seen, const uint8_t sum[SHA1_SIZE])
{
    uint64_t key = 0;
    memcpy(&key, sum, sizeof(key));
    return map_put(seen, key, seen) == NULL;
}

void trial_pack(struct trial *trial,
                uint64_t shard,
                const struct command *command,
                struct args args,
                struct buf *out)
{
    struct walk walk;
    struct map seen;
    map_init(&seen);
    walk_begin(&walk, command, args);
    while (walk_next(&walk)) {
        uint8_t sum[SHA1_SIZE];
        bool stored = false;
        struct slice sha =
            trial_by_sha(walk.item.command) ? walk.item.args.argv[1] : slice_of(NULL, 0);
        struct slice source;
        if (sha1_parse(sha, sum) && script_engine_knows(trial->engine, shard, sha, &stored) &&
            add_once(&seen, sum) && script_engine_source(trial->engine, sha, &source)) {
            buf_append_u8(out, stored);
            buf_append_bytes(out, source);
        }
    }
    map_deinit(&seen);
}

void trial_unpack(struct trial *trial, uint64_t shard, struct slice sources)
{
    struct reader in = reader_of(sources);
    while (!reader_done(&in)) {
        bool stored = reader_u8(&in) != 0;
        struct slice source = reader_bytes(&in, SCRIPT_SIZE_MAX);
        assert(!in.failed);
        learn(trial, shard, source, stored);
    }
}

void trial_source_fresh(struct trial *trial, struct slice source)
{
    uint8_t sum[SHA1_SIZE];
    sha1_bytes(source, sum);
    (void)add_once(&trial->fresh, sum);
}

/* A row that was read is there whatever becomes of the trial. */
static bool is_stored(const struct trial *trial, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    uint64_t key = 0;
    bool good = sha1_parse(sha, sum);
    assert(good);
    memcpy(&key, sum, sizeof(key));
    return map_get(&trial->fresh, key) == NULL;
}

/* From the shard's rows into trial->source. */
static enum status load(struct trial *trial, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    if (!sha1_parse(sha, sum)) {
        return STATUS_NOT_FOUND;
    }
    buf_clear(&trial->source);
    return machine_script(trial->place.txn, trial->place.scope, sum, &trial->source);
}

enum status trial_source_find(struct trial *trial, struct slice sha, unsigned *flags)
{
    uint64_t shard = trial->place.scope.shard;
    bool stored = false;
    if (script_engine_knows(trial->engine, shard, sha, &stored)) {
        bool kept = script_engine_find(trial->engine, sha, flags);
        assert(kept);
        return STATUS_OK;
    }
    enum status status = load(trial, sha);
    if (status != STATUS_OK) {
        return status;
    }
    buf_clear(&trial->reply);
    status = script_engine_load(trial->engine, buf_slice(&trial->source), flags, &trial->reply);
    if (status != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    script_engine_note(trial->engine, shard, sha, is_stored(trial, sha));
    return STATUS_OK;
}

enum status trial_source_store(struct trial *trial, struct slice sha)
{
    uint64_t shard = trial->place.scope.shard;
    bool stored = false;
    struct slice source;
    bool known = script_engine_knows(trial->engine, shard, sha, &stored);
    if (!known || stored || trial->place.refuse_growth) {
        return STATUS_OK;
    }
    enum status status = load(trial, sha);
    if (status == STATUS_OK) {
        script_engine_note(trial->engine, shard, sha, is_stored(trial, sha));
    }
    if (status != STATUS_NOT_FOUND || !script_engine_source(trial->engine, sha, &source)) {
        return status;
    }
    struct slice argv[] = {slice_str("script_load"), source};
    struct machine_plan_input plan = {.command = command_at(CMD_script_load),
                                      .args = {.argv = argv, .argc = 2},
                                      .now_ms = trial->place.now_ms};
    struct trial_op none = {.command = plan.command};
    buf_clear(&trial->planned);
    buf_clear(&trial->reply);
    status = machine_plan(&plan, &trial->planned, &trial->reply);
    assert(status == STATUS_OK);
    effects_add(&trial->effects, buf_slice(&trial->planned));
    trial_source_fresh(trial, source);
    return trial_apply(trial, &none, buf_slice(&trial->planned));
}

/* Brought by a command of the transaction, or forgotten by it: what it knows is for itself. */
struct brought {
    struct map shas;
    bool flushed;
};

static void bring(struct brought *brought, const struct transaction_item *item)
{
    uint8_t sum[SHA1_SIZE];
    if (item->command->id == CMD_script_flush) {
        brought->flushed = true;
    } else if (by_text(item->command) || item->command->id == CMD_script_load) {
        sha1_bytes(item->args.argv[1], sum);
        (void)add_once(&brought->shas, sum);
    }
}

static bool is_brought(const struct brought *brought, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    uint64_t key = 0;
    if (brought->flushed || !sha1_parse(sha, sum)) {
        return true; /* It is unknown wherever one looks. */
    }
    memcpy(&key, sum, sizeof(key));
    return map_get(&brought->shas, key) != NULL;
}

static enum status check_all(struct trial *trial, struct walk *walk, struct brought *brought)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && walk_next(walk)) {
        unsigned flags = 0;
        bool sha = trial_by_sha(walk->item.command);
        struct slice name = sha ? walk->item.args.argv[1] : slice_of(NULL, 0);
        if (!sha) {
            bring(brought, &walk->item);
        } else if (!is_brought(brought, name)) {
            status = trial_source_find(trial, name, &flags);
        }
        if (status == STATUS_OK && trial->place.slice && clock_now_ms() > trial->end_ms) {
            status = STATUS_AGAIN;
        }
    }
    return status;
}

enum trial_result trial_source_check(struct trial *trial,
                                     const struct trial_op *op,
                                     enum status *status)
{
    if (op->sought || (op->command->id != CMD_batch && !trial_by_sha(op->command))) {
        return TRIAL_PLANNED;
    }
    bool slice = trial->place.slice;
    struct walk walk;
    struct brought brought = {.flushed = false};
    map_init(&brought.shas);
    walk_begin(&walk, op->command, op->args);
    if (slice) {
        txn_set_cache_only(trial->place.txn, true);
    }
    enum status from = check_all(trial, &walk, &brought);
    if (slice) {
        txn_set_cache_only(trial->place.txn, false);
    }
    map_deinit(&brought.shas);
    if (from == STATUS_NOT_FOUND) {
        *status = STATUS_NO_SCRIPT;
        return TRIAL_UNKNOWN;
    }
    return from == STATUS_OK ? TRIAL_PLANNED : trial_failed(from, status);
}

/* NOT_FOUND, or *source; stored or run. */
static enum status look(struct trial *trial, struct slice sha, struct slice *source)
{
    bool stored = false;
    bool known = script_engine_knows(trial->engine, trial->place.scope.shard, sha, &stored);
    if (known && script_engine_source(trial->engine, sha, source)) {
        return STATUS_OK;
    }
    enum status status = load(trial, sha);
    *source = buf_slice(&trial->source);
    return status;
}

enum status trial_source_show(struct trial *trial, const struct trial_op *op, struct buf *reply)
{
    bool wanted = op->command->id == CMD_script_find;
    size_t before = reply->len;
    resp_write_array(reply, op->args.argc - 1);
    for (size_t i = 1; i < op->args.argc; i++) {
        struct slice source;
        enum status status = look(trial, op->args.argv[i], &source);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            buf_truncate(reply, before);
            return status;
        }
        bool fits = reply->len - before + source.len <= FOUND_SIZE_MAX;
        if (!wanted) {
            resp_write_int(reply, status == STATUS_OK);
        } else if (status == STATUS_OK && fits) {
            resp_write_bulk(reply, source);
        } else {
            resp_write_null(reply);
        }
    }
    return STATUS_OK;
}
