/* SHERD BACKUP: what sherd-admin asks of every node to make a backup of the cluster, and of the
 * leaders to restore one. Numbers are decimal, all of them unsigned 64 bits.
 *
 *   SHARDS                        the shards that are led here
 *   BEGIN id                      the node is this backup's; KEEP id  still; END id  no longer
 *   FENCE id milliseconds         no shard that is led here begins a new entry; views of them
 *   RELEASE id                    lifts the fence: microseconds that it was up, or an error
 *   NEXT id shard                 makes the next file of the shard: family, size, sum, last
 *   READ id shard offset length   a part of it
 *   APPLY shard command [...]     an internal command on a shard that is led here: adopt,
 *                                 script_load, notify */

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/proto/resp.h"
#include "server/server_private.h"
#include "server/worker_backup.h"

enum { APPLY_DEADLINE_MS = 20 * 1000 };

struct verb {
    const char *word;
    enum backup_verb verb;
    size_t numbers; /* That follow. */
    bool everywhere;
};

static const struct verb verbs[] = {
    {"shards", BACKUP_SHARDS, 0, true}, {"begin", BACKUP_BEGIN, 1, true},
    {"fence", BACKUP_FENCE, 2, true},   {"release", BACKUP_RELEASE, 1, true},
    {"keep", BACKUP_KEEP, 1, true},     {"next", BACKUP_NEXT, 2, false},
    {"read", BACKUP_READ, 4, false},    {"end", BACKUP_END, 1, true},
};

/* One request, asked of all loops or of one. */
struct errand {
    struct request *request;
    const struct verb *verb;
    size_t waiting;
    size_t count;
    struct backup_ask asks[];
};

struct applied {
    struct worker_op op;
    struct request *request;
};

static void fail(struct request *request, enum status status)
{
    static const struct {
        enum status status;
        const char *text;
    } texts[] = {
        {STATUS_NOT_FOUND, "NOBACKUP this node knows of no such backup, or not of this shard"},
        {STATUS_NOT_LEADER, "NOTLEADER the shard is led by another node"},
        {STATUS_NOT_OWNER, "NOTOWNER the shard does not own all of these tokens"},
        {STATUS_NO_SHARD, "NOTLEADER this node has no replica of the shard"},
        {STATUS_DISK_FULL, "DISKFULL the node has no room for the files of the shard"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status) {
            request_fail(request, texts[i].text);
            return;
        }
    }
    char text[128];
    const char *code = "ERR";
    if (status_class(status) == STATUS_CLASS_OUTCOME_UNKNOWN) {
        code = "UNKNOWN";
    } else if (status_class(status) == STATUS_CLASS_RETRY_LATER || status == STATUS_CLOSED) {
        code = "TRYAGAIN";
    }
    (void)snprintf(text, sizeof(text), "%s %s", code, status_text(status));
    request_fail(request, text);
}

static void fail_errand(const struct errand *errand, enum status status)
{
    if (status == STATUS_CONFLICT && errand->verb->verb == BACKUP_BEGIN) {
        request_fail(errand->request, "BUSY another backup is under way");
    } else if (status == STATUS_CONFLICT || status == STATUS_TIMEOUT ||
               (errand->verb->verb == BACKUP_FENCE && status == STATUS_NOT_LEADER)) {
        request_fail(errand->request,
                     "VOID a leader changed, or the fence was up for too long: cut again");
    } else {
        fail(errand->request, status);
    }
}

static void reply_ok(const struct errand *errand)
{
    struct buf reply;
    size_t elements = 0;
    uint64_t held_us = 0;
    buf_init(&reply, 1 << 30);
    for (size_t i = 0; i < errand->count; i++) {
        elements += errand->asks[i].count;
        held_us = errand->asks[i].held_us > held_us ? errand->asks[i].held_us : held_us;
    }
    switch (errand->verb->verb) {
    case BACKUP_SHARDS:
    case BACKUP_FENCE: resp_write_array(&reply, elements); break;
    case BACKUP_RELEASE: resp_write_int(&reply, (int64_t)held_us); break;
    case BACKUP_NEXT:
    case BACKUP_READ: break;
    case BACKUP_BEGIN:
    case BACKUP_KEEP:
    case BACKUP_END: resp_write_ok(&reply); break;
    }
    for (size_t i = 0; i < errand->count; i++) {
        buf_append_slice(&reply, buf_slice(&errand->asks[i].reply));
    }
    request_finish(errand->request, buf_slice(&reply));
    buf_deinit(&reply);
}

static void on_done(struct backup_ask *ask)
{
    struct errand *errand = ask->owner;
    assert(errand->waiting > 0);
    errand->waiting--;
    if (errand->waiting > 0) {
        return;
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < errand->count && status == STATUS_OK; i++) {
        status = errand->asks[i].status;
    }
    if (status == STATUS_OK) {
        reply_ok(errand);
    } else {
        fail_errand(errand, status);
    }
    for (size_t i = 0; i < errand->count; i++) {
        buf_deinit(&errand->asks[i].reply);
    }
    free(errand);
}

/* Takes the numbers behind the word into the ask; false: they are none. */
static bool parse_ask(const struct verb *verb, struct args args, struct backup_ask *ask)
{
    uint64_t numbers[4] = {0};
    for (size_t i = 0; i < verb->numbers; i++) {
        if (!number_parse_u64(args.argv[3 + i], &numbers[i])) {
            return false;
        }
    }
    ask->verb = verb->verb;
    ask->id = verb->verb == BACKUP_SHARDS ? 1 : numbers[0];
    ask->shard = verb->everywhere ? 0 : numbers[1];
    ask->offset = numbers[2];
    ask->len = (uint32_t)numbers[3];
    ask->hold_ms = (uint32_t)numbers[1];
    bool bounded = numbers[3] <= BACKUP_READ_SIZE_MAX &&
                   (verb->verb != BACKUP_FENCE || numbers[1] <= BACKUP_HOLD_MS_MAX);
    return ask->id != 0 && bounded;
}

static void start(struct lane *lane, struct request *request, const struct verb *verb)
{
    struct backup_ask first = {0};
    if (request->args.argc != 3 + verb->numbers || !parse_ask(verb, request->args, &first)) {
        request_fail(request, "ERR wrong arguments for 'sherd|backup' command");
        return;
    }
    size_t count = verb->everywhere ? lane->server->loops : 1;
    struct errand *errand = calloc(1, sizeof(*errand) + count * sizeof(errand->asks[0]));
    assert(errand != NULL);
    errand->request = request;
    errand->verb = verb;
    errand->count = count;
    errand->waiting = count;
    for (size_t i = 0; i < count; i++) {
        struct backup_ask *ask = &errand->asks[i];
        *ask = first;
        ask->owner = errand;
        ask->done = on_done;
        buf_init(&ask->reply, 1 << 29);
        unsigned loop = verb->everywhere ? (unsigned)i : worker_loop_of(lane->worker, ask->shard);
        worker_backup_ask(lane->worker, loop, ask);
    }
}

static void deliver(struct worker_op *op, enum status status, struct slice reply)
{
    struct applied *self = list_entry(op, struct applied, op);
    if (status == STATUS_OK) {
        request_finish(self->request, reply);
    } else {
        fail(self->request, status);
    }
    free(self);
}

static void apply(struct lane *lane, struct request *request)
{
    struct args args = request->args;
    uint64_t shard = 0;
    const struct command *command = args.argc > 4 ? command_find(args.argv[4]) : NULL;
    bool known = command != NULL && (command->id == CMD_adopt || command->id == CMD_notify ||
                                     command->id == CMD_script_load);
    if (!known || !number_parse_u64(args.argv[3], &shard) || shard == SHARD_META ||
        command_check(command, args.argc - 4) != STATUS_OK) {
        request_fail(request, "ERR wrong arguments for 'sherd|backup' command");
        return;
    }
    struct applied *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->request = request;
    self->op.origin = lane->worker;
    self->op.shard = shard;
    self->op.deliver = deliver;
    self->op.op.command = command;
    self->op.op.write = true;
    self->op.op.args = (struct args){.argv = args.argv + 4, .argc = args.argc - 4};
    self->op.op.expires_ms = clock_now_ms() + APPLY_DEADLINE_MS;
    worker_submit(lane->worker, &self->op);
}

void server_backup(struct lane *lane, struct request *request)
{
    struct slice word = request->args.argv[2];
    if (lane->closing) {
        request_fail(request, "LOADING this node is stopping");
        return;
    }
    if (command_word(word, "apply")) {
        apply(lane, request);
        return;
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (command_word(word, verbs[i].word)) {
            start(lane, request, &verbs[i]);
            return;
        }
    }
    request_fail(request, "ERR unknown SHERD BACKUP subcommand: sherd-admin backup uses it");
}
