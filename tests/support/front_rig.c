#include "tests/support/front_rig.h"

#include "common/base/assert.h"
#include "common/proto/resp.h"

static void answer(struct request *request)
{
    struct buf reply;
    buf_init(&reply, SIZE_MAX / 2);
    if ((request->command->flags & CMD_WRITE) != 0) {
        resp_write_ok(&reply);
    } else if (request->args.argc > 1) {
        resp_write_bulk(&reply, request->args.argv[1]);
    } else {
        resp_write_null(&reply);
    }
    request_finish(request, buf_slice(&reply));
    buf_deinit(&reply);
}

static void execute(void *arg, struct request *request)
{
    struct front_rig *rig = arg;
    if (!rig->hold) {
        answer(request);
        return;
    }
    assert(rig->held_count < FRONT_RIG_HELD_MAX);
    rig->held[rig->held_count++] = request;
}

static void join(void *arg, unsigned loop, const struct front_join *join)
{
    struct front_rig *rig = arg;
    assert(loop == 0 && rig->join_count < FRONT_RIG_HELD_MAX);
    rig->joins[rig->join_count++] = *join;
    if (!rig->hold_joins) {
        join->done(join->ctx, true);
    }
}

void front_rig_joined(struct front_rig *rig, size_t n, bool joined)
{
    assert(n < rig->join_count);
    rig->joins[n].done(rig->joins[n].ctx, joined);
}

/* Answers with the number of arguments. */
static void ask(void *arg, unsigned loop, struct front_ask *ask)
{
    struct front_rig *rig = arg;
    assert(loop == 0);
    for (size_t i = 0; i < ask->args.argc; i++) {
        buf_append_slice(&rig->asked, ask->args.argv[i]);
        buf_append_text(&rig->asked, " ");
    }
    struct buf reply;
    buf_init(&reply, 64);
    resp_write_int(&reply, (int64_t)ask->args.argc);
    ask->on_reply(ask, buf_slice(&reply));
    buf_deinit(&reply);
}

static void cancel(void *arg, struct request *request)
{
    struct front_rig *rig = arg;
    rig->cancelled = request;
    rig->cancel_count++;
}

static void sherd(void *arg, struct request *request)
{
    (void)arg;
    request_fail(request, "ERR sherd was asked");
}

static void info(void *arg, unsigned loop, struct buf *out)
{
    (void)arg;
    buf_append_format(out, "loop:%u\r\n", loop);
}

static bool keyspace(void *arg, unsigned loop, struct front_keyspace *keyspace)
{
    (void)arg;
    (void)loop;
    *keyspace = (struct front_keyspace){.keys = {5, 0, 7}, .expires = {2}};
    return true;
}

static void config_changed(void *arg, enum config_id id)
{
    ((struct front_rig *)arg)->changed = id;
}

static unsigned replicas(void *arg)
{
    (void)arg;
    return 1;
}

static const struct front_env env = {
    .execute = execute,
    .ask = ask,
    .join = join,
    .cancel = cancel,
    .sherd = sherd,
    .info = info,
    .keyspace = keyspace,
    .config_changed = config_changed,
    .replicas = replicas,
};

void front_rig_start(struct front_rig *rig)
{
    *rig = (struct front_rig){.changed = CONFIG_COUNT};
    config_init(&rig->config, CONFIG_ROUTER);
    rig->metrics = metrics_new(METRIC_ROUTER, 1);
    struct front_options options = {
        .config = &rig->config,
        .metrics = rig->metrics,
        .env = &env,
        .arg = rig,
        .loops = 1,
        .program = "sherd-router",
        .tcp_port = 6379,
    };
    rig->front = front_new(&options);
    rig->session = session_new(front_part(rig->front, 0));
    buf_init(&rig->got, SIZE_MAX / 2);
    buf_init(&rig->asked, SIZE_MAX / 2);
}

void front_rig_stop(struct front_rig *rig)
{
    session_free(rig->session);
    for (size_t i = 0; i < rig->held_count; i++) {
        if (rig->held[i] != NULL) {
            front_rig_finish(rig, i);
        }
    }
    front_free(rig->front);
    metrics_free(rig->metrics);
    config_deinit(&rig->config);
    buf_deinit(&rig->got);
    buf_deinit(&rig->asked);
}

void front_rig_reconnect(struct front_rig *rig)
{
    session_free(rig->session);
    rig->session = session_new(front_part(rig->front, 0));
}

struct slice front_rig_take(struct front_rig *rig)
{
    buf_clear(&rig->got);
    struct buf *out = session_output(rig->session);
    buf_append_slice(&rig->got, buf_slice(out));
    buf_clear(out);
    return buf_slice(&rig->got);
}

struct slice front_rig_feed(struct front_rig *rig, struct slice bytes)
{
    while (bytes.len > 0) {
        size_t used = session_feed(rig->session, bytes);
        if (used == 0) {
            break;
        }
        bytes = slice_of(bytes.data + used, bytes.len - used);
    }
    return front_rig_take(rig);
}

struct slice front_rig_ask(struct front_rig *rig, const char *text)
{
    return front_rig_feed(rig, slice_str(text));
}

void front_rig_reply(struct front_rig *rig, size_t n, const char *reply)
{
    struct request *request = rig->held[n];
    rig->held[n] = NULL;
    request_finish(request, slice_str(reply));
}

void front_rig_finish(struct front_rig *rig, size_t n)
{
    struct request *request = rig->held[n];
    assert(request != NULL);
    rig->held[n] = NULL;
    answer(request);
}

bool front_rig_has(struct slice text, const char *part)
{
    return text.len > 0 && memmem(text.data, text.len, part, strlen(part)) != NULL;
}
