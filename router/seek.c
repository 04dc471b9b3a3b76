#include "router/seek.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/sha1.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "router/flow.h"
#include "router/gather.h"

enum {
    SHAS_MAX = 64, /* Asked for at a time; more take another round. */
    WAYS = 4,      /* Places for what has the same remainder; the newest is the first. */
};

/* The command with the sources that were found. What a later round makes borrows from it. */
struct seek_round {
    struct seek_round *next; /* The one before. */
    struct buf found;        /* The answer of the shards. */
    struct slice *argv;
    struct transaction_form form;
};

struct core_seek {
    struct core_request find; /* Under way if it is among those with a deadline. */
    struct core *core;
    struct core_request *whole;
    struct slice shas[1 + SHAS_MAX]; /* Behind the name. */
    size_t sha_count;
    struct slice sources[1 + SHAS_MAX]; /* Of each; data NULL: there is none, or it was used. */
    struct seek_round *rounds;          /* The newest first. */

    /* As it came. */
    const struct command *command;
    struct args args;
    uint8_t db;
    uint8_t flags;
};

static bool by_sha(const struct command *command)
{
    return command->id == CMD_evalsha || command->id == CMD_evalsha_ro;
}

/* Whether a transaction runs scripts by their SHA-1. */
static bool batch_by_sha(struct args args)
{
    struct transaction transaction;
    struct transaction_item item;
    if (transaction_open(args, &transaction) != STATUS_OK || !transaction.trial) {
        return false;
    }
    while (transaction_next_item(&transaction, &item)) {
        if (by_sha(item.command)) {
            return true;
        }
    }
    return false;
}

/* What was known. */

static uint64_t mark_of(struct slice sha, uint64_t shard)
{
    uint8_t sum[SHA1_SIZE] = {0};
    (void)sha1_parse(sha, sum);
    return hash_bytes_seeded(slice_of(sum, sizeof(sum)), shard);
}

static uint64_t *ways_of(struct core *core, uint64_t mark)
{
    return core->scripts + mark % (SEEK_KNOWN_MAX / WAYS) * WAYS;
}

/* Its way, or the last. */
static size_t find_way(const uint64_t *ways, uint64_t mark)
{
    size_t way = 0;
    while (way < WAYS - 1 && ways[way] != mark) {
        way++;
    }
    return way;
}

static bool is_known(struct core *core, struct slice sha, uint64_t shard)
{
    uint64_t mark = mark_of(sha, shard);
    const uint64_t *ways = ways_of(core, mark);
    return ways[find_way(ways, mark)] == mark;
}

static void set_known(struct core *core, struct slice sha, uint64_t shard)
{
    uint64_t mark = mark_of(sha, shard);
    uint64_t *ways = ways_of(core, mark);
    memmove(ways + 1, ways, find_way(ways, mark) * sizeof(*ways));
    ways[0] = mark;
}

static void set_unknown(struct core *core, struct slice sha, uint64_t shard)
{
    uint64_t mark = mark_of(sha, shard);
    uint64_t *ways = ways_of(core, mark);
    size_t way = find_way(ways, mark);
    ways[way] = ways[way] == mark ? 0 : ways[way];
}

void seek_forget(struct core *core)
{
    memset(core->scripts, 0, SEEK_KNOWN_MAX * sizeof(*core->scripts));
}

void seek_prepare(struct core *core, struct core_request *request, uint64_t shard)
{
    enum command_id id = request->command->id;
    if (request->alone == NULL || (!by_sha(request->command) && id != CMD_batch)) {
        return;
    }
    bool known = id == CMD_batch ? !batch_by_sha(request->args)
                                 : is_known(core, request->args.argv[1], shard);
    if (!known) {
        (void)request->alone(request);
    }
}

void seek_note(struct core *core, const struct core_request *request, uint64_t shard)
{
    if (by_sha(request->command) && (request->flags & REQUEST_SOUGHT) == 0) {
        set_known(core, request->args.argv[1], shard);
    }
}

/* Looking. */

static size_t find_sha(const struct core_seek *seek, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    uint8_t other[SHA1_SIZE];
    if (!sha1_parse(sha, sum)) {
        return 0;
    }
    for (size_t i = 1; i <= seek->sha_count; i++) {
        (void)sha1_parse(seek->shas[i], other);
        if (memcmp(sum, other, sizeof(sum)) == 0) {
            return i;
        }
    }
    return 0;
}

static void add_sha(struct core_seek *seek, struct slice sha)
{
    uint8_t sum[SHA1_SIZE];
    bool wanted = sha1_parse(sha, sum) && seek->sha_count < SHAS_MAX;
    if (wanted && find_sha(seek, sha) == 0) {
        seek->sha_count++;
        seek->shas[seek->sha_count] = sha;
    }
}

static void collect(struct core_seek *seek)
{
    const struct core_request *whole = seek->whole;
    seek->sha_count = 0;
    memset(seek->sources, 0, sizeof(seek->sources));
    if (whole->command->id != CMD_batch) {
        add_sha(seek, whole->args.argv[1]);
        return;
    }
    struct transaction transaction;
    struct transaction_item item;
    if (transaction_open(whole->args, &transaction) != STATUS_OK) {
        return;
    }
    while (transaction_next_item(&transaction, &item)) {
        if (by_sha(item.command)) {
            add_sha(seek, item.args.argv[1]);
        }
    }
}

/* How many were found. */
static size_t take_found(struct core_seek *seek, struct slice reply)
{
    struct buf *found = &seek->rounds->found;
    buf_append_slice(found, reply);
    struct slice rest = buf_slice(found);
    struct resp_value value;
    size_t count = 0;
    if (resp_value_read(rest, &value) != STATUS_OK || value.type != '*' ||
        (size_t)value.number != seek->sha_count) {
        return 0; /* An error. */
    }
    rest = slice_of(rest.data + value.size_used, rest.len - value.size_used);
    for (size_t i = 1; i <= seek->sha_count; i++) {
        if (resp_value_read(rest, &value) != STATUS_OK) {
            return count;
        }
        if (value.type == '$' && !value.null) {
            seek->sources[i] = value.bytes;
            count++;
        }
        rest = slice_of(rest.data + value.size_used, rest.len - value.size_used);
    }
    return count;
}

/* The source of an EVALSHA; false: there is none, or it stands before. */
static bool take_source(struct core_seek *seek, struct slice sha, struct slice *source)
{
    size_t at = find_sha(seek, sha);
    *source = seek->sources[at];
    seek->sources[at] = slice_of(NULL, 0);
    return source->data != NULL;
}

static const struct command *as_eval(const struct command *command)
{
    return command_at(command->id == CMD_evalsha ? CMD_eval : CMD_eval_ro);
}

static void rename_one(struct core_seek *seek)
{
    struct core_request *whole = seek->whole;
    struct slice source;
    if (!take_source(seek, whole->args.argv[1], &source)) {
        return;
    }
    size_t argc = whole->args.argc;
    struct slice *argv = calloc(argc, sizeof(*argv));
    assert(argv != NULL);
    memcpy(argv, whole->args.argv, argc * sizeof(*argv));
    whole->command = as_eval(whole->command);
    argv[0] = slice_str(whole->command->name);
    argv[1] = source;
    whole->args = (struct args){.argv = argv, .argc = argc};
    seek->rounds->argv = argv;
}

static void rename_items(struct core_seek *seek)
{
    struct core_request *whole = seek->whole;
    struct transaction transaction;
    enum status status = transaction_open(whole->args, &transaction);
    assert(status == STATUS_OK);
    size_t item_count = transaction.item_count;
    size_t watch_count = transaction.watch_count;
    struct transaction_item *items = calloc(item_count + 1, sizeof(*items));
    struct transaction_watch *watches = calloc(watch_count + 1, sizeof(*watches));
    struct seek_round *round = seek->rounds;
    round->argv = calloc(whole->args.argc, sizeof(*round->argv));
    assert(items != NULL && watches != NULL && round->argv != NULL);
    for (size_t i = 0; i < watch_count; i++) {
        (void)transaction_next_watch(&transaction, &watches[i]);
    }
    size_t used = 0;
    for (size_t i = 0; i < item_count; i++) {
        struct transaction_item *item = &items[i];
        struct slice source;
        (void)transaction_next_item(&transaction, item);
        if (!by_sha(item->command) || !take_source(seek, item->args.argv[1], &source)) {
            continue;
        }
        struct slice *argv = round->argv + used;
        memcpy(argv, item->args.argv, item->args.argc * sizeof(*argv));
        item->command = as_eval(item->command);
        argv[0] = slice_str(item->command->name);
        argv[1] = source;
        item->args.argv = argv;
        used += item->args.argc;
    }
    transaction_form_init(&round->form, items, item_count, watches, watch_count);
    whole->args = round->form.args;
    whole->db = round->form.db;
    free(items);
    free(watches);
}

static void on_found(struct core_request *find, struct slice reply)
{
    struct core_seek *seek = (struct core_seek *)(void *)find;
    struct core *core = seek->core;
    struct core_request *whole = seek->whole;
    if (take_found(seek, reply) == 0) {
        whole->flags |= REQUEST_SOUGHT;
    } else if (whole->command->id == CMD_batch) {
        rename_items(seek);
    } else {
        rename_one(seek);
    }
    core->order++;
    whole->part.order = core->order;
    gather_begin(core, whole);
}

static struct core_seek *seek_new(struct core *core, struct core_request *request)
{
    struct core_seek *seek = calloc(1, sizeof(*seek));
    assert(seek != NULL);
    seek->core = core;
    seek->whole = request;
    seek->command = request->command;
    seek->args = request->args;
    seek->db = request->db;
    seek->flags = request->flags;
    list_init(&seek->find.expiry);
    return seek;
}

static void add_round(struct core_seek *seek)
{
    struct seek_round *round = calloc(1, sizeof(*round));
    assert(round != NULL);
    buf_init(&round->found, SIZE_MAX / 2);
    round->next = seek->rounds;
    seek->rounds = round;
}

void seek_begin(struct core *core, struct lane_part *part)
{
    struct core_request *request = part->request;
    uint64_t shard = part->shard;
    assert(request->gather == NULL && (request->flags & REQUEST_SOUGHT) == 0);
    bool batch = request->command->id == CMD_batch;
    if (!batch) {
        set_unknown(core, request->args.argv[1], shard);
    }
    bool alone = request->alone == NULL || request->alone(request);
    if (!alone && !batch) {
        gather_fail(core, part, slice_str("NOSCRIPT No matching script. Please use EVAL."));
        return;
    }
    flow_detach(core, part);
    request->part = (struct lane_part){.order = part->order, .shard = shard};
    list_init(&request->part.queue);
    list_init(&request->part.writes);
    struct core_seek *seek = request->seek;
    if (seek == NULL) {
        seek = seek_new(core, request);
        request->seek = seek;
    }
    add_round(seek);
    collect(seek);
    seek->shas[0] = slice_str(command_at(CMD_script_find)->name);
    seek->find.command = command_at(CMD_script_find);
    seek->find.args = (struct args){.argv = seek->shas, .argc = 1 + seek->sha_count};
    seek->find.on_done = on_found;
    if (alone && seek->sha_count > 0) {
        core_execute(core, &seek->find);
    } else {
        /* Others are behind it already, or it names none: each command says what it misses. */
        on_found(&seek->find, slice_of(NULL, 0));
    }
}

bool seek_busy(const struct core_request *request)
{
    return request->seek != NULL && !list_empty(&request->seek->find.expiry);
}

void seek_end(struct core *core, struct core_request *request)
{
    struct core_seek *seek = request->seek;
    if (seek == NULL) {
        return;
    }
    if (seek_busy(request)) {
        gather_forget(core, &seek->find);
    }
    request->seek = NULL;
    request->command = seek->command;
    request->args = seek->args;
    request->db = seek->db;
    request->flags = seek->flags;
    while (seek->rounds != NULL) {
        struct seek_round *round = seek->rounds;
        seek->rounds = round->next;
        free(round->argv);
        if (round->form.argv != NULL) {
            transaction_form_deinit(&round->form);
        }
        buf_deinit(&round->found);
        free(round);
    }
    free(seek);
}
