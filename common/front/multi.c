#include "common/front/multi.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "common/front/request.h"
#include "common/proto/transaction.h"

enum { WATCHES_MAX = 16384 };

struct multi {
    bool open;
    bool dirty;
    uint8_t db; /* Of the next command: a SELECT may be among those queued. */
    size_t item_count;
    size_t argc;      /* Of all items. */
    struct buf items; /* Each: u16 code | u8 db | u32 arguments | arguments */
    size_t watch_count;
    struct buf watches; /* Each: u8 db | u64 version | u32 length, key */
};

struct multi_run {
    struct request *request;
    bool watching;      /* WATCH. */
    bool done;          /* What comes next is the reply. */
    bool running;       /* go_on() is at work: it sees what changes below it. */
    struct multi queue; /* What the items borrow from. */
    struct transaction_item *items;
    uint8_t *targets; /* Of each item, see below. */
    struct slice *argv;
    struct transaction_form form;
    size_t front_count; /* Items that are the front's. */
    size_t shard_count; /* Items that the shards are sent. */
    size_t next;        /* Item to look at. */
    struct buf shards;  /* The answer to the others, an array. */
    struct buf fronts;  /* Replies of the front's, one after the other. */
    struct request *inner;
};

/* Who runs an item. What SCRIPT does to all shards is done where the transaction runs, too, in its
 * place there: EVALSHA behind it finds the source. */
enum { TO_SHARD = 1 << 0, TO_FRONT = 1 << 1 };

static void init_queue(struct multi *multi)
{
    *multi = (struct multi){0};
    buf_init(&multi->items, UINT32_MAX);
    buf_init(&multi->watches, UINT32_MAX);
}

static void deinit_queue(struct multi *multi)
{
    buf_deinit(&multi->items);
    buf_deinit(&multi->watches);
}

void multi_free(struct multi *multi)
{
    if (multi != NULL) {
        deinit_queue(multi);
        free(multi);
    }
}

void multi_run_free(struct multi_run *run)
{
    if (run == NULL) {
        return;
    }
    assert(run->inner == NULL);
    transaction_form_deinit(&run->form);
    deinit_queue(&run->queue);
    buf_deinit(&run->shards);
    buf_deinit(&run->fronts);
    free(run->items);
    free(run->targets);
    free(run->argv);
    free(run);
}

static struct multi *multi_of(struct session *session)
{
    if (session->multi == NULL) {
        session->multi = malloc(sizeof(*session->multi));
        assert(session->multi != NULL);
        init_queue(session->multi);
    }
    return session->multi;
}

static bool is_open(const struct session *session)
{
    return session->multi != NULL && session->multi->open;
}

void multi_taint(struct session *session)
{
    if (is_open(session)) {
        session->multi->dirty = true;
    }
}

bool multi_reset(struct session *session)
{
    bool open = is_open(session);
    multi_free(session->multi);
    session->multi = NULL;
    return open;
}

int64_t multi_count(const struct session *session)
{
    return is_open(session) ? (int64_t)session->multi->item_count : -1;
}

size_t multi_size(const struct session *session)
{
    const struct multi *multi = session->multi;
    return multi == NULL ? 0 : sizeof(*multi) + multi->items.size + multi->watches.size;
}

/* Queueing. */

static bool is_immediate(enum command_id id)
{
    return id == CMD_exec || id == CMD_discard || id == CMD_multi || id == CMD_watch ||
           id == CMD_quit || id == CMD_reset;
}

static void append(struct multi *multi, const struct command *command, struct args args)
{
    uint16_t code = command->code;
    buf_append_u16(&multi->items, code);
    buf_append_u8(&multi->items, multi->db);
    buf_append_u32(&multi->items, (uint32_t)args.argc);
    for (size_t i = 0; i < args.argc; i++) {
        buf_append_bytes(&multi->items, args.argv[i]);
    }
    multi->item_count++;
    multi->argc += args.argc;
    int64_t db = 0;
    if (command->id == CMD_select && number_parse_i64(args.argv[1], &db) && db >= 0 &&
        db < FRONT_DATABASES) {
        multi->db = (uint8_t)db;
    }
}

static void refuse(struct session *session, struct request *request, const char *text)
{
    multi_taint(session);
    request_fail(request, text);
}

bool multi_queue(struct session *session, struct request *request)
{
    const struct command *command = request->command;
    if (!is_open(session) || is_immediate(command->id)) {
        return false;
    }
    struct multi *multi = session->multi;
    size_t count_max = (size_t)front_setting(session->part, CONFIG_multi_commands_max);
    size_t size_max = (size_t)front_setting(session->part, CONFIG_multi_size_max);
    if ((command->flags & CMD_NO_MULTI) != 0) {
        refuse(session, request, "ERR Command not allowed inside a transaction");
    } else if (multi->item_count >= count_max) {
        refuse(session, request, "ERR this transaction has more than multi-commands-max commands");
    } else if (multi->items.len + request_size(request) > size_max) {
        refuse(session, request, "ERR this transaction is larger than multi-size-max");
    } else {
        if (!multi->dirty) { /* Else it is never run. */
            append(multi, command, request->args);
        }
        if ((command->flags & CMD_FRONT) != 0) {
            request->named = NULL; /* It is counted when it is run. */
        }
        request_finish(request, slice_str("+QUEUED\r\n"));
    }
    return true;
}

void front_multi(struct request *request)
{
    struct multi *multi = multi_of(request->session);
    if (multi->open) {
        request_fail(request, "ERR MULTI calls can not be nested");
        return;
    }
    multi->open = true;
    multi->db = request->session->db;
    front_ok(request);
}

void front_discard(struct request *request)
{
    if (!is_open(request->session)) {
        request_fail(request, "ERR DISCARD without MULTI");
        return;
    }
    (void)multi_reset(request->session);
    front_ok(request);
}

void front_unwatch(struct request *request)
{
    struct multi *multi = request->session->multi;
    if (multi != NULL) {
        buf_clear(&multi->watches);
        multi->watch_count = 0;
    }
    front_ok(request);
}

/* Running. */

static struct multi_run *new_run(struct request *request)
{
    struct multi_run *run = calloc(1, sizeof(*run));
    assert(run != NULL);
    run->request = request;
    init_queue(&run->queue);
    buf_init(&run->shards, SIZE_MAX / 2);
    buf_init(&run->fronts, SIZE_MAX / 2);
    request->run = run;
    return run;
}

/* To the shards; the answer comes to multi_answer(). */
static void send(struct request *request, enum command_id id, struct args args, uint8_t db)
{
    const struct front_options *options = &request->part->front->options;
    request->command = command_at(id);
    request->args = args;
    request->db = db;
    options->env->execute(options->arg, request);
}

void front_watch(struct request *request)
{
    struct session *session = request->session;
    struct args args = request->args;
    if (is_open(session)) {
        request_fail(request, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (multi_of(session)->watch_count + args.argc > WATCHES_MAX) {
        request_fail(request, "ERR too many watched keys");
        return;
    }
    session->alone = true; /* An EXEC behind it needs to know the versions. */
    struct multi_run *run = new_run(request);
    run->watching = true;
    run->argv = calloc(args.argc, sizeof(*run->argv));
    assert(run->argv != NULL);
    memcpy(run->argv, args.argv, args.argc * sizeof(*run->argv));
    run->argv[0] = slice_str(command_at(CMD_versions)->name);
    send(request, CMD_versions, (struct args){.argv = run->argv, .argc = args.argc}, request->db);
}

/* The items, as they were queued. */
static void unpack(struct multi_run *run)
{
    struct multi *queue = &run->queue;
    run->items = calloc(queue->item_count + 1, sizeof(*run->items));
    run->argv = calloc(queue->argc + 1, sizeof(*run->argv));
    run->targets = calloc(queue->item_count + 1, 1);
    assert(run->items != NULL && run->argv != NULL && run->targets != NULL);
    struct reader in = reader_of(buf_slice(&queue->items));
    struct slice *argv = run->argv;
    for (size_t i = 0; i < queue->item_count; i++) {
        struct transaction_item *item = &run->items[i];
        item->command = command_by_code(reader_u16(&in));
        item->db = reader_u8(&in);
        item->args = (struct args){.argv = argv, .argc = reader_u32(&in)};
        for (size_t n = 0; n < item->args.argc; n++) {
            *argv++ = reader_bytes(&in, UINT32_MAX);
        }
        assert(item->command != NULL);
        bool front = (item->command->flags & CMD_FRONT) != 0;
        run->targets[i] = front ? TO_FRONT : TO_SHARD;
        run->shard_count += !front;
    }
    assert(reader_done(&in));
    for (size_t i = 0; i < queue->item_count; i++) {
        const struct command *local = front_script_local(run->items[i].command, run->items[i].args);
        if (local != NULL && run->shard_count > 0) {
            bool reads = (local->flags & CMD_READ) != 0; /* The sources are in every shard. */
            run->targets[i] = reads ? TO_SHARD : TO_SHARD | TO_FRONT;
            run->shard_count++;
        }
        run->front_count += (run->targets[i] & TO_FRONT) != 0;
    }
}

/* An item as the shards get it. */
static struct transaction_item shard_item(const struct multi_run *run,
                                          size_t nth,
                                          struct slice *argv)
{
    struct transaction_item item = run->items[nth];
    const struct command *local = front_script_local(item.command, item.args);
    if (local != NULL) {
        size_t argc = local->arity > 0 ? (size_t)local->arity : item.args.argc - 1;
        memcpy(argv, item.args.argv + 1, argc * sizeof(*argv));
        argv[0] = slice_str(local->name);
        item.command = local;
        item.db = 0; /* It is about no database. */
        item.args = (struct args){.argv = argv, .argc = argc};
    }
    return item;
}

static struct transaction_watch *list_watches(const struct multi *queue)
{
    struct transaction_watch *watches = calloc(queue->watch_count + 1, sizeof(*watches));
    assert(watches != NULL);
    struct reader in = reader_of(buf_slice(&queue->watches));
    for (size_t i = 0; i < queue->watch_count; i++) {
        watches[i].db = reader_u8(&in);
        watches[i].version = reader_u64(&in);
        watches[i].key = reader_bytes(&in, UINT32_MAX);
    }
    assert(reader_done(&in));
    return watches;
}

/* What goes to the shards. */
static void make_form(struct multi_run *run)
{
    size_t count = 0;
    struct transaction_item *items = calloc(run->queue.item_count + 1, sizeof(*items));
    struct slice *argv = calloc(run->queue.argc + 1, sizeof(*argv)); /* Of what is renamed. */
    assert(items != NULL && argv != NULL);
    size_t used = 0;
    for (size_t i = 0; i < run->queue.item_count; i++) {
        if ((run->targets[i] & TO_SHARD) != 0) {
            items[count] = shard_item(run, i, argv + used);
            used += items[count].args.argv == argv + used ? items[count].args.argc : 0;
            count++;
        }
    }
    assert(count == run->shard_count);
    struct transaction_watch *watches = list_watches(&run->queue);
    transaction_form_init(&run->form, items, count, watches, run->queue.watch_count);
    free(items);
    free(argv);
    free(watches);
}

static void go_on(struct multi_run *run);

void front_exec(struct request *request)
{
    struct session *session = request->session;
    if (!is_open(session)) {
        request_fail(request, "ERR EXEC without MULTI");
        return;
    }
    if (session->multi->dirty) {
        (void)multi_reset(session);
        request_fail(request, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    struct multi_run *run = new_run(request);
    size_t size = multi_size(session);
    deinit_queue(&run->queue);
    run->queue = *session->multi;
    init_queue(session->multi);
    request_grow(request, size);
    unpack(run);
    /* The front's own commands may change what those behind EXEC mean: SELECT. */
    session->alone = session->alone || run->front_count > 0;
    if (run->shard_count > 0 || run->queue.watch_count > 0) {
        make_form(run);
        send(request, CMD_batch, run->form.args, run->form.db);
    } else {
        go_on(run);
    }
}

static struct slice behind(struct slice bytes, size_t size)
{
    return slice_of(bytes.data + size, bytes.len - size);
}

/* The first value of several. */
static struct slice take_value(struct slice *rest)
{
    size_t size = 0;
    enum status status = resp_value_size(*rest, rest->len, &size);
    struct slice value = slice_of(rest->data, status == STATUS_OK ? size : 0);
    *rest = behind(*rest, value.len);
    return value;
}

/* All replies in the order of the commands. False: the shards answered other than was asked. */
static bool merge(const struct multi_run *run, struct buf *out)
{
    struct slice shards = buf_slice(&run->shards);
    struct slice fronts = buf_slice(&run->fronts);
    struct resp_value head = {0};
    size_t wanted = run->shard_count;
    if (shards.len > 0) {
        bool good = resp_value_read(shards, &head) == STATUS_OK && (size_t)head.number == wanted;
        if (!good) {
            return false;
        }
        shards = behind(shards, head.size_used);
    }
    resp_write_array(out, run->queue.item_count);
    for (size_t i = 0; i < run->queue.item_count; i++) {
        struct slice value = {0}; /* The front's, of both. */
        if ((run->targets[i] & TO_SHARD) != 0 && (value = take_value(&shards)).len == 0) {
            return false;
        }
        if ((run->targets[i] & TO_FRONT) != 0 && (value = take_value(&fronts)).len == 0) {
            return false;
        }
        buf_append_slice(out, value);
    }
    return shards.len == 0 && fronts.len == 0;
}

static void conclude(struct multi_run *run)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (!merge(run, &out)) {
        buf_clear(&out);
        resp_write_error(&out,
                         "ERR the replies of this transaction do not fit its commands; it "
                         "was executed");
    }
    run->done = true;
    if (run->request->session != NULL) {
        run->request->protocol = run->request->session->protocol; /* HELLO may be among them. */
    }
    request_finish(run->request, buf_slice(&out));
    buf_deinit(&out);
}

static const struct transaction_item *next_front(struct multi_run *run)
{
    while (run->next < run->queue.item_count) {
        size_t nth = run->next++;
        if ((run->targets[nth] & TO_FRONT) != 0) {
            return &run->items[nth];
        }
    }
    return NULL;
}

/* The front's commands, one after the other; then the reply. */
static void go_on(struct multi_run *run)
{
    run->running = true;
    const struct transaction_item *item = NULL;
    while (run->inner == NULL && run->request->session != NULL &&
           (item = next_front(run)) != NULL) {
        run->inner = request_new_inner(run->request, item->command, item->args);
        session_run_front(run->inner);
    }
    run->running = false;
    if (run->inner == NULL) {
        conclude(run);
    }
}

void multi_answer_inner(struct request *inner, struct slice reply)
{
    struct multi_run *run = inner->outer->run;
    assert(run->inner == inner);
    buf_append_slice(&run->fronts, reply);
    run->inner = NULL;
    request_free_inner(inner);
    if (!run->running) {
        go_on(run);
    }
}

/* Takes note of the versions. False: the answer is none. */
static bool note_versions(struct multi_run *run, struct slice reply)
{
    struct request *request = run->request;
    struct multi *multi = multi_of(request->session);
    struct resp_value value;
    if (resp_value_read(reply, &value) != STATUS_OK || value.type != '*' || value.null ||
        (size_t)value.number != request->args.argc - 1) {
        return false;
    }
    for (size_t i = 1; i < request->args.argc; i++) {
        reply = behind(reply, value.size_used);
        if (resp_value_read(reply, &value) != STATUS_OK || value.type != ':') {
            return false;
        }
        buf_append_u8(&multi->watches, request->db);
        buf_append_u64(&multi->watches, (uint64_t)value.number);
        buf_append_bytes(&multi->watches, request->args.argv[i]);
        multi->watch_count++;
    }
    return true;
}

bool multi_answer(struct request *request, struct slice reply)
{
    struct multi_run *run = request->run;
    if (run->done || request->session == NULL) {
        return false;
    }
    bool array = reply.len > 2 && reply.data[0] == '*' && reply.data[1] != '-';
    if (!array || (!run->watching && run->front_count == 0)) {
        return false; /* An error, nothing, or all of it. */
    }
    if (run->watching) {
        run->done = true;
        bool good = note_versions(run, reply);
        request_finish(request, good
                                    ? slice_str("+OK\r\n")
                                    : slice_str("-ERR the versions of the keys are not known\r\n"));
        return true;
    }
    buf_append_slice(&run->shards, reply);
    go_on(run);
    return true;
}

void multi_abandon(struct multi_run *run)
{
    if (run->inner != NULL) {
        run->inner->session = NULL;
    }
}
