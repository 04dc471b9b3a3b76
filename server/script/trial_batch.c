#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "server/machine/batch.h"
#include "server/machine/keyspace.h"
#include "server/script/trial_private.h"

/* MULTI ... EXEC with scripts among its commands (server/machine/batch.h has the others). It is
 * tried as a whole: what it watches is compared, then its commands run in order; what all of them
 * did is what the log gets. */

/* *same: no watched key has another version. */
static enum status check_watches(struct trial *trial, struct transaction transaction, bool *same)
{
    *same = true;
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        struct slice argv[] = {slice_str("versions"), watch.key};
        struct machine_read_input read = {.scope = trial->place.scope,
                                          .command = command_at(CMD_versions),
                                          .args = {.argv = argv, .argc = 2},
                                          .db = watch.db,
                                          .now_ms = trial->place.now_ms};
        buf_clear(&trial->reply);
        enum status status = machine_read(trial->place.txn, &trial->state, &read, &trial->reply);
        struct resp_value list;
        struct resp_value version = {0};
        if (status == STATUS_OK) {
            status = resp_value_read(buf_slice(&trial->reply), &list);
        }
        if (status == STATUS_OK) {
            status = resp_value_read(
                slice_of(trial->reply.data + list.size_used, trial->reply.len - list.size_used),
                &version);
        }
        if (status != STATUS_OK) {
            return status;
        }
        *same = *same && (uint64_t)version.number == watch.version;
    }
    return STATUS_OK;
}

/* All keys that are named, before anything runs: what is elsewhere sends the whole elsewhere. */
static bool owns_keys(const struct trial *trial, struct transaction transaction)
{
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        if (!keyspace_owns(&trial->place.scope, watch.db, watch.key)) {
            return false;
        }
    }
    struct transaction_item item;
    while (transaction_next_item(&transaction, &item)) {
        struct trial_op op = {.command = item.command, .args = item.args, .db = item.db};
        if (!trial_owns(trial, &op)) {
            return false;
        }
    }
    return true;
}

static enum trial_result stop(struct buf *reply, const char *text)
{
    buf_clear(reply);
    resp_write_error(reply, text);
    return TRIAL_STOPPED;
}

static enum trial_result load(struct trial *trial,
                              const struct trial_op *op,
                              struct buf *reply,
                              enum status *status)
{
    buf_clear(&trial->planned);
    enum trial_result result = trial_load(trial, op, &trial->planned, reply, status);
    if (result == TRIAL_PLANNED) {
        effects_add(&trial->effects, buf_slice(&trial->planned));
        buf_append_slice(reply, buf_slice(&trial->reply));
    }
    return result;
}

/* Appends the reply of one command to *reply, which is empty. */
static enum trial_result run_item(struct trial *trial,
                                  const struct trial_op *op,
                                  struct buf *reply,
                                  enum status *status)
{
    if ((op->command->flags & CMD_TRIAL) == 0) {
        enum trial_result result = trial_command(trial, op, reply, status);
        if (op->command->id == CMD_script_flush) {
            trial_forget(trial, trial->place.scope.shard);
        }
        return result;
    }
    if (op->command->id == CMD_script_exists) {
        *status = trial_source_show(trial, op, reply);
        return *status == STATUS_OK ? TRIAL_PLANNED : trial_failed(*status, status);
    }
    enum trial_result result = op->command->id == CMD_script_load
                                   ? load(trial, op, reply, status)
                                   : trial_script(trial, op, reply, status);
    return result == TRIAL_REFUSED ? TRIAL_PLANNED : result; /* The others run. */
}

/* Scripts look at their bounds themselves, if they are long enough. */
static bool late(const struct trial *trial)
{
    const atomic_bool *killed = trial->place.killed;
    return clock_now_ms() > trial->end_ms || (killed != NULL && atomic_load(killed));
}

static enum trial_result check_bounds(const struct trial *trial, bool last, struct buf *reply)
{
    if (!last && late(trial)) {
        return trial->place.slice
                   ? TRIAL_AGAIN
                   : stop(reply,
                          "ERR the scripts of this transaction were killed, or need longer "
                          "than script-time-max in all; nothing was changed");
    }
    if (reply->len > BATCH_REPLY_SIZE_MAX) {
        return stop(reply,
                    "ERR the replies of this transaction are larger than 64 MB in all; "
                    "nothing was changed");
    }
    return TRIAL_PLANNED;
}

static enum trial_result run_items(struct trial *trial,
                                   const struct trial_op *op,
                                   struct transaction *transaction,
                                   struct buf *reply,
                                   enum status *status)
{
    struct transaction_item item;
    struct buf one;
    buf_init(&one, SIZE_MAX / 2);
    enum trial_result result = TRIAL_PLANNED;
    resp_write_array(reply, transaction->item_count);
    for (uint64_t n = 0; result == TRIAL_PLANNED && transaction_next_item(transaction, &item);
         n++) {
        struct trial_op part = {.command = item.command,
                                .args = item.args,
                                .db = item.db,
                                .seed = hash_bytes_seeded(slice_of(&n, sizeof(n)), op->seed)};
        buf_clear(&one);
        result = run_item(trial, &part, &one, status);
        if (result == TRIAL_PLANNED) {
            buf_append_slice(reply, buf_slice(&one));
            result = check_bounds(trial, transaction->item_count == 0, reply);
        } else if (result == TRIAL_STOPPED) {
            buf_clear(reply); /* The whole is answered with the error of the one. */
            buf_append_slice(reply, buf_slice(&one));
        }
    }
    buf_deinit(&one);
    if (result == TRIAL_AGAIN || result == TRIAL_FAILED) {
        buf_clear(reply);
    }
    return result;
}

enum trial_result trial_batch(struct trial *trial,
                              const struct trial_op *op,
                              struct buf *planned,
                              struct buf *reply,
                              enum status *status)
{
    assert(trial->begun && op->command->id == CMD_batch);
    struct transaction transaction;
    if (transaction_open(op->args, &transaction) != STATUS_OK) {
        resp_write_error(reply, "ERR malformed transaction");
        return TRIAL_REFUSED;
    }
    if (!owns_keys(trial, transaction)) {
        return trial_failed(STATUS_NOT_OWNER, status);
    }
    enum trial_result result = trial_source_check(trial, op, status);
    if (result != TRIAL_PLANNED) {
        return result;
    }
    effects_clear(&trial->effects);
    bool same = false;
    *status = check_watches(trial, transaction, &same);
    if (*status != STATUS_OK) {
        return trial_failed(*status, status);
    }
    if (!same) {
        resp_write_null_array(reply);
    } else {
        result = run_items(trial, op, &transaction, reply, status);
        if (result != TRIAL_PLANNED) {
            return result;
        }
    }
    *status = trial_conclude(trial, op, planned, reply);
    return *status == STATUS_OK ? TRIAL_PLANNED : trial_failed(*status, status);
}
