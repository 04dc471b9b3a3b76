#include "router/router_loop.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/cluster/session_number.h"
#include "common/front/session.h"
#include "common/proto/resp.h"
#include "router/router_report.h"
#include "router/scatter.h"
#include "router/upload.h"

enum {
    LINK_MAGIC = 0x4c4e4b31,
    STOP_MS = 1000,
    REPORT_FIRST_MS = 20, /* Until it can serve; then REPORT_MS. */
    REPORT_MS = 500,
    USAGE_MS = 1000,
};

struct router_link {
    uint32_t magic;
    struct router_loop *part;
    unsigned number;
    struct link *link;
    bool warned; /* Of the failures since it was last up the first is logged. */
};

struct router_call {
    struct core_request core;
    struct router_loop *part;
    struct request *request; /* NULL: our own. */
    struct front_ask *ask;   /* NULL: not the front's. */
    bool scattered;          /* Run in parts, see scatter.h. */
    struct router_call *next;
};

struct map_save {
    struct work work;
    const char *path;
    struct buf bytes;
};

/* Links. */

static enum status on_frame(void *arg, struct link *raw, const struct frame *frame)
{
    (void)raw;
    struct router_link *link = NULL;
    CAST_OBJ(link, arg, LINK_MAGIC);
    return core_frame(link->part->core, link->number, frame);
}

static void on_up(void *arg, struct link *raw, const struct frame_hello *hello)
{
    (void)raw;
    struct router_link *link = NULL;
    CAST_OBJ(link, arg, LINK_MAGIC);
    link->warned = false;
    link->part->node_seen = true;
    core_link_up(link->part->core, link->number, hello);
}

static void on_down(void *arg, struct link *raw, enum status reason)
{
    (void)raw;
    (void)reason;
    struct router_link *link = NULL;
    CAST_OBJ(link, arg, LINK_MAGIC);
    core_link_down(link->part->core, link->number);
}

static void on_failed(void *arg, struct link *raw, enum status reason, const char *text)
{
    struct router_link *link = NULL;
    CAST_OBJ(link, arg, LINK_MAGIC);
    struct router *router = link->part->router;
    if (reason == STATUS_WRONG_CLUSTER && !link->part->node_seen && router->map_path != NULL) {
        log_error("router.wrong_cluster",
                  "address=%s map=%s text=\"this node belongs to another cluster than the saved "
                  "map; correct --nodes or remove the map\"",
                  link_address(raw), router->map_path);
        router_stop(router, 1);
        return;
    }
    if (!link->warned) {
        link->warned = true;
        log_warn("router.link_failed", "address=%s reason=\"%s\" text=\"%s\"", link_address(raw),
                 status_text(reason), text == NULL ? "" : text);
    }
}

static const struct link_handler link_handler = {
    .on_up = on_up, .on_frame = on_frame, .on_down = on_down, .on_failed = on_failed};

static void env_connect(void *ctx, unsigned number, const char *address)
{
    struct router_loop *part = ctx;
    if (number >= part->link_size) {
        size_t size = part->link_size == 0 ? 16 : part->link_size * 2;
        assert(number < size);
        part->links = realloc(part->links, size * sizeof(*part->links));
        assert(part->links != NULL);
        memset(part->links + part->link_size, 0, (size - part->link_size) * sizeof(*part->links));
        part->link_size = size;
    }
    assert(part->links[number] == NULL);
    struct router_link *link = malloc(sizeof(*link));
    assert(link != NULL);
    *link = (struct router_link){.magic = LINK_MAGIC, .part = part, .number = number};
    struct link_options options = {.hello = &part->hello, .handler = &link_handler, .arg = link};
    rand_os(&options.seed, sizeof(options.seed));
    part->links[number] = link;
    link->link = link_dial(part->loop, address, &options);
}

static void env_disconnect(void *ctx, unsigned number)
{
    struct router_loop *part = ctx;
    assert(number < part->link_size && part->links[number] != NULL);
    link_free(part->links[number]->link);
    part->links[number]->magic = 0;
    free(part->links[number]);
    part->links[number] = NULL;
}

static struct buf *env_send(void *ctx, unsigned number)
{
    struct router_loop *part = ctx;
    struct link *link = part->links[number]->link;
    return link_full(link) ? NULL : link_out(link);
}

static uint64_t env_moved_ms(void *ctx, unsigned number)
{
    struct router_loop *part = ctx;
    return link_moved_ms(part->links[number]->link);
}

static void env_message(void *ctx, const struct frame_message *frame)
{
    struct router_loop *part = ctx;
    struct front_message message = {.kind = frame->kind,
                                    .topic = frame->topic,
                                    .channel = frame->channel,
                                    .payload = frame->payload};
    front_deliver(front_part(part->router->front, part->index), &message);
}

static uint64_t env_now_ms(void *ctx)
{
    const struct router_loop *part = ctx;
    return loop_now_ms(part->loop);
}

/* The map on disk. */

static void write_map(struct work *work)
{
    struct map_save *save = (struct map_save *)(void *)work;
    enum status status = disk_replace_file(save->path, buf_slice(&save->bytes));
    if (status != STATUS_OK) {
        log_warn("router.map_not_saved", "path=%s reason=\"%s\"", save->path, status_text(status));
    }
}

static void map_written(struct work *work)
{
    struct map_save *save = (struct map_save *)(void *)work;
    buf_deinit(&save->bytes);
    free(save);
}

static void env_save_map(void *ctx, struct slice bytes)
{
    struct router_loop *part = ctx;
    struct router *router = part->router;
    memcpy(part->hello.cluster, core_map(part->core)->cluster, sizeof(part->hello.cluster));
    /* One pool thread, one loop that saves: the newest map is written last. */
    if (part->index != 0 || router->map_path == NULL) {
        return;
    }
    struct map_save *save = calloc(1, sizeof(*save));
    assert(save != NULL);
    save->path = router->map_path;
    buf_init(&save->bytes, FRAME_BODY_SIZE_MAX);
    buf_append_slice(&save->bytes, bytes);
    save->work.run = write_map;
    save->work.done = map_written;
    pool_submit(router->pool, part->loop, &save->work);
}

/* Commands. */

static struct router_call *take_call(struct router_loop *part)
{
    struct router_call *call = part->calls_free;
    if (call != NULL) {
        part->calls_free = call->next;
    } else {
        call = malloc(sizeof(*call));
        assert(call != NULL);
    }
    call->core.flags = 0;
    call->core.replica = false;
    call->core.alone = NULL;
    call->ask = NULL;
    call->scattered = false;
    call->part = part;
    call->next = NULL;
    part->calls++;
    return call;
}

static void put_call(struct router_call *call)
{
    struct router_loop *part = call->part;
    call->next = part->calls_free;
    part->calls_free = call;
    part->calls--;
}

/* A transaction had one home when it came, and a split has parted its keys: nothing was done. */
static bool begin_apart(struct router_call *call, struct slice reply)
{
    static const char text[] = "-CROSSSLOT";
    size_t len = sizeof(text) - 1;
    struct router_loop *part = call->part;
    bool apart = call->core.command->id == CMD_batch && !call->scattered && reply.len > len &&
                 memcmp(reply.data, text, len) == 0;
    if (!apart || config_number(part->router->config, CONFIG_multi_across_shards) != 1 ||
        !scatter_wanted(part->core, &call->core)) {
        return false;
    }
    call->scattered = true;
    scatter_execute(part->core, &call->core);
    return true;
}

static void on_reply(struct core_request *core, struct slice reply)
{
    struct router_call *call = (struct router_call *)(void *)core;
    struct request *request = call->request;
    if (begin_apart(call, reply)) {
        return;
    }
    uint8_t *memory = core_take_reply(call->part->core, reply);
    request->user = NULL;
    put_call(call); /* The end of the request may begin the next one. */
    if (memory != NULL) {
        request_finish_owned(request, memory, reply.len);
    } else {
        request_finish(request, reply);
    }
}

static bool is_alone(struct core_request *core)
{
    struct router_call *call = (struct router_call *)(void *)core;
    return request_alone(call->request);
}

/* What goes to a shard at once has to fit an entry of its log. */
static bool too_large(const struct request *request)
{
    size_t size = 0;
    for (size_t i = 0; i < request->args.argc; i++) {
        size += request->args.argv[i].len;
    }
    return size > UPLOAD_WHOLE_SIZE_MAX;
}

/* What the setting says about the keys: all of them, the strictest. */
static bool rules_allow(struct router_loop *part, const struct request *request, uint64_t *bound_ms)
{
    const char *text = config_text(part->router->config, CONFIG_read_from_replicas);
    if (text != part->rules_text) {
        const char *reason = NULL;
        enum status status = read_rules_parse(slice_str(text), &part->rules, &reason);
        assert(status == STATUS_OK); /* The configuration takes nothing else. */
        part->rules_text = text;
    }
    *bound_ms = UINT64_MAX;
    size_t at = 0;
    size_t nth = 0;
    while (part->rules.count > 0 &&
           (at = command_key_at(request->command, request->args, nth)) != 0) {
        const struct read_rule *rule = read_rules_find(&part->rules, request->args.argv[at]);
        if (rule == NULL || !rule->replica) {
            return false;
        }
        *bound_ms = rule->bound_ms < *bound_ms ? rule->bound_ms : *bound_ms;
        nth++;
    }
    return nth > 0;
}

static bool leaves_leader(struct router_loop *part,
                          const struct request *request,
                          uint64_t *bound_ms)
{
    *bound_ms = request->bound_ms;
    if ((request->command->flags & CMD_READ) == 0 || (request->command->flags & CMD_WRITE) != 0) {
        return false;
    }
    return request->read_chosen ? request->replica : rules_allow(part, request, bound_ms);
}

void router_loop_execute(struct router_loop *part, struct request *request)
{
    struct router_call *call = take_call(part);
    call->request = request;
    call->core.command = request->command;
    call->core.args = request->args;
    call->core.db = request->db;
    call->core.on_done = on_reply;
    call->core.alone = is_alone;
    request->user = call;
    int64_t deadline_ms = config_number(part->router->config, CONFIG_request_deadline_ms);
    core_set_deadline(part->core, (uint32_t)deadline_ms);
    if (config_number(part->router->config, CONFIG_multi_across_shards) == 1 &&
        scatter_wanted(part->core, &call->core)) {
        (void)request_alone(request); /* Its parts may have to be sent again. */
        call->scattered = true;
        scatter_execute(part->core, &call->core);
    } else if (!upload_wanted(&call->core) && too_large(request)) {
        put_call(call);
        request_fail(request,
                     "ERR the arguments of this command are larger than 30 MB in all; only "
                     "SET, SETNX, SETEX, PSETEX and GETSET take larger values");
    } else if (upload_wanted(&call->core)) {
        upload_execute(part->core, &call->core);
    } else {
        call->core.replica =
            leaves_leader(part, request, &call->core.bound_ms) && request_solo(request);
        core_execute(part->core, &call->core);
    }
}

static void on_answer(struct core_request *core, struct slice reply)
{
    struct router_call *call = (struct router_call *)(void *)core;
    struct front_ask *ask = call->ask;
    put_call(call);
    ask->on_reply(ask, reply);
}

void router_loop_ask(struct router_loop *part, struct front_ask *ask)
{
    struct router_call *call = take_call(part);
    call->request = NULL;
    call->ask = ask;
    call->core.command = ask->command;
    call->core.args = ask->args;
    call->core.db = 0;
    call->core.on_done = on_answer;
    core_execute(part->core, &call->core);
}

/* Asks all shards for `usage`. */
static void ask_usage(struct router_loop *part,
                      struct router_call *call,
                      bool bytes,
                      void (*on_done)(struct core_request *core, struct slice reply))
{
    static const struct slice words[] = {{.data = (const uint8_t *)"usage", .len = 5},
                                         {.data = (const uint8_t *)"bytes", .len = 5}};
    call->core.command = command_at(CMD_usage);
    call->core.args = (struct args){.argv = words, .argc = bytes ? 2 : 1};
    call->core.db = 0;
    call->core.on_done = on_done;
    core_execute(part->core, &call->core);
}

void router_loop_cancel(struct router_loop *part, struct request *request)
{
    struct router_call *call = request->user;
    if (call == NULL) {
        return; /* It waits for nothing here. */
    }
    if (!request_abandoned(request)) {
        core_unblock(part->core, &call->core);
        return;
    }
    core_cancel(part->core, &call->core);
    put_call(call);
    request_finish(request, slice_str("*-1\r\n"));
}

static void on_count(struct core_request *core, struct slice reply)
{
    struct router_call *call = (struct router_call *)(void *)core;
    struct router_loop *part = call->part;
    part->usage_known = usage_read(reply, &part->usage) || part->usage_known;
    part->usage_ms = loop_now_ms(part->loop);
    part->counter = NULL;
    put_call(call);
}

const struct usage *router_loop_usage(struct router_loop *part)
{
    bool old = !part->usage_known || part->usage_ms + USAGE_MS <= loop_now_ms(part->loop);
    if (old && part->counter == NULL && part->stop_ms == 0) {
        struct router_call *call = take_call(part);
        part->counter = call;
        call->request = NULL;
        ask_usage(part, call, false, on_count);
    }
    return part->usage_known ? &part->usage : NULL;
}

static void on_databases(struct core_request *core, struct slice reply)
{
    struct router_call *call = (struct router_call *)(void *)core;
    struct router_loop *part = call->part;
    struct request *request = call->request;
    struct usage usage;
    put_call(call);
    if (!usage_read(reply, &usage)) {
        request_finish(request, reply); /* An error. */
        return;
    }
    struct buf out;
    buf_init(&out, FRAME_BODY_SIZE_MAX);
    struct cluster_view view = router_report_view(part);
    usage_write(&usage, &view, &out);
    request_finish(request, buf_slice(&out));
    buf_deinit(&out);
}

void router_loop_databases(struct router_loop *part, struct request *request)
{
    struct router_call *call = take_call(part);
    call->request = request;
    ask_usage(part, call, true, on_databases);
}

struct inquiry {
    struct router_loop *part;
    struct request *request;
};

static void on_inquired(const struct errand_order *order, enum status status, struct slice reply)
{
    struct inquiry *inquiry = order->ctx;
    struct buf failure;
    buf_init(&failure, FRAME_BODY_SIZE_MAX);
    if (status != STATUS_OK) {
        errand_write_failure(status, &failure);
        reply = buf_slice(&failure);
    }
    inquiry->part->calls--;
    request_finish(inquiry->request, reply);
    buf_deinit(&failure);
    free(inquiry);
}

void router_loop_inquire(struct router_loop *part, struct request *request)
{
    struct config *config = part->router->config;
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
    assert(inquiry != NULL);
    *inquiry = (struct inquiry){.part = part, .request = request};
    part->calls++;
    struct errand_order order = {
        .shard = SHARD_META,
        .args = request->args,
        .deadline_ms = (uint32_t)config_number(config, CONFIG_request_deadline_ms),
        .once = true,
        .ctx = inquiry,
        .done = on_inquired};
    core_inquire(part->core, &order);
}

/* Turns and timers. */

static void on_timer(void *arg)
{
    struct router_loop *part = arg;
    part->timer_ms = UINT64_MAX; /* The turn that follows does the work. */
}

static void end_if_done(struct router_loop *part)
{
    uint64_t now_ms = loop_now_ms(part->loop);
    if (part->calls > 0 && now_ms >= part->stop_ms) {
        core_expire_all(part->core);
    }
    if (part->calls == 0 || now_ms >= part->stop_ms) {
        loop_stop(part->loop);
    }
}

static void on_turn(void *arg)
{
    struct router_loop *part = arg;
    uint64_t now_ms = loop_now_ms(part->loop);
    if (core_next_ms(part->core) <= now_ms) {
        core_tick(part->core);
    }
    if (part->stop_ms != 0) {
        end_if_done(part);
    }
    uint64_t next_ms = core_next_ms(part->core);
    if (part->stop_ms != 0 && part->stop_ms < next_ms) {
        next_ms = part->stop_ms;
    }
    /* A timer that runs out too early costs one empty turn; setting it anew each turn more. */
    if (next_ms < part->timer_ms) {
        part->timer_ms = next_ms;
        uint64_t delay_ms = next_ms > now_ms ? next_ms - now_ms : 1;
        loop_timer_start(part->loop, &part->timer, delay_ms, 0, on_timer, part);
    }
}

static void on_report(void *arg)
{
    struct router_loop *part = arg;
    struct router *router = part->router;
    router_report_counters(part);
    if (!atomic_load(&router->served) && router_report_ready(router)) {
        if (!atomic_exchange(&router->served, true)) {
            log_info("router.ready", "shards=%zu", core_map(part->core)->shard_count);
        }
    }
    uint64_t delay_ms = atomic_load(&router->served) ? REPORT_MS : REPORT_FIRST_MS;
    loop_timer_start(part->loop, &part->report, delay_ms, 0, on_report, part);
}

static void on_accept(void *arg, struct conn *conn)
{
    struct router_loop *part = arg;
    session_open(front_part(part->router->front, part->index), conn);
}

static void run_stop(struct mail *mail)
{
    struct router_loop *part =
        (struct router_loop *)(void *)((char *)mail - offsetof(struct router_loop, stop));
    if (part->listener != NULL) {
        listener_close(part->listener);
        part->listener = NULL;
    }
    part->stop_ms = loop_now_ms(part->loop) + STOP_MS;
    core_unblock_all(part->core);
    loop_again(part->loop);
}

void router_loop_stop(struct router_loop *part)
{
    part->stop.run = run_stop;
    mailbox_post(part->loop, &part->stop);
}

static void make_core(struct router_loop *part)
{
    struct router *router = part->router;
    struct core_env env = {.ctx = part,
                           .now_ms = env_now_ms,
                           .send = env_send,
                           .moved_ms = env_moved_ms,
                           .connect = env_connect,
                           .disconnect = env_disconnect,
                           .message = env_message,
                           .save_map = env_save_map};
    struct core_options options = {.zone = config_text(router->config, CONFIG_zone),
                                   .seeds = (const char *const *)router->seeds,
                                   .seed_count = router->seed_count,
                                   .saved_map = buf_slice(&router->saved_map)};
    rand_os(&options.seed, sizeof(options.seed));
    rand_os(&options.session, sizeof(options.session));
    options.session = session_number_own(options.session);
    part->hello = (struct frame_hello){
        .version = FRAME_VERSION, .role = FRAME_ROLE_ROUTER, .incarnation = options.session};
    part->core = core_new(&options, &env);
    memcpy(part->hello.cluster, core_map(part->core)->cluster, sizeof(part->hello.cluster));
}

enum status router_loop_open(struct router_loop *part,
                             struct router *router,
                             unsigned index,
                             const char *address,
                             char *error)
{
    *part = (struct router_loop){.router = router, .index = index, .timer_ms = UINT64_MAX};
    part->loop = loop_new(index);
    struct listener_options options = {
        .address = address, .shared = index > 0, .on_accept = on_accept, .arg = part};
    enum status status = listener_open(part->loop, &options, &part->listener, error);
    if (status != STATUS_OK) {
        loop_free(part->loop);
        part->loop = NULL;
        return status;
    }
    part->metrics = metrics_part(router->metrics, index);
    router_report_open(part);
    front_attach(router->front, index, part->loop);
    make_core(part);
    loop_timer_init(&part->timer);
    loop_timer_init(&part->report);
    loop_set_turn(part->loop, on_turn, part);
    loop_timer_start(part->loop, &part->timer, 1, 0, on_timer, part);
    loop_timer_start(part->loop, &part->report, REPORT_FIRST_MS, 0, on_report, part);
    return STATUS_OK;
}

void router_loop_close(struct router_loop *part)
{
    if (part->loop == NULL) {
        return;
    }
    if (part->listener != NULL) {
        listener_close(part->listener);
    }
    loop_timer_stop(&part->timer);
    loop_timer_stop(&part->report);
    while (part->calls > 0) {
        core_expire_all(part->core); /* What the end of one begins is ended too. */
    }
    core_free(part->core);
    part->core = NULL;
    loop_free(part->loop);
    while (part->calls_free != NULL) {
        struct router_call *call = part->calls_free;
        part->calls_free = call->next;
        free(call);
    }
    free(part->links);
}
