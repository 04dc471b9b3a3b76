#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "common/proto/notify.h"
#include "common/proto/resp.h"
#include "server/machine/event.h"
#include "server/worker_private.h"

/* Pub/sub on a node: what routers ask of the leader of a channel's shard, messages to the
 * connections that joined, and keyspace events of the shards led here. */

enum {
    LINK_PENDING_MAX = 64 << 20, /* A connection that is so far behind gets no more messages. */
    CHANNEL_SIZE_MAX = 128,      /* Of what an event's channel has before the key. */
    PASS_ON_MS = 1000,           /* A script's message that has not arrived by then is gone. */
};

struct sending {
    struct worker *worker;
    struct slice channel;
    struct slice message;
};

static void deliver_here(struct worker *worker, uint64_t number, struct slice frame)
{
    struct buf *out = worker->env.out_link(worker->env.ctx, number);
    if (out == NULL) {
        return;
    }
    bool far_behind = worker->env.link_pending != NULL &&
                      worker->env.link_pending(worker->env.ctx, number) > LINK_PENDING_MAX;
    if (far_behind) {
        worker->stats.messages_dropped++;
        return;
    }
    buf_append_slice(out, frame);
}

static void run_message(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    deliver_here(to, bytes->node, slice_of(bytes->bytes, bytes->len));
    free(bytes);
}

static void send_message(void *ctx,
                         const struct hub_link *link,
                         enum topic_kind kind,
                         struct slice topic)
{
    const struct sending *sending = ctx;
    struct worker *worker = sending->worker;
    struct frame_message message = {.kind = (uint8_t)kind,
                                    .topic = topic,
                                    .channel = sending->channel,
                                    .payload = sending->message};
    struct buf frame;
    buf_init(&frame, FRAME_BODY_SIZE_MAX);
    frame_write_message(&frame, &message);
    if (link->loop == worker->options.loop) {
        deliver_here(worker, link->number, buf_slice(&frame));
    } else {
        worker_post_bytes(worker, link->loop, link->number, buf_slice(&frame), run_message);
    }
    buf_deinit(&frame);
}

static uint64_t publish(struct worker *worker,
                        const struct hub_place *place,
                        enum topic_kind kind,
                        struct slice channel,
                        struct slice message)
{
    struct sending sending = {.worker = worker, .channel = channel, .message = message};
    struct hub_visit visit = {.visit = send_message, .ctx = &sending};
    uint64_t receivers = hub_publish(&worker->hub, place, kind, channel, &visit);
    worker->stats.messages_published++;
    worker->stats.messages_delivered += receivers;
    return receivers;
}

/* One byte that names a kind of channel. */
static bool read_kind(struct slice arg, enum topic_kind *kind)
{
    if (arg.len != 1 || !topic_kind_valid(arg.data[0])) {
        return false;
    }
    *kind = (enum topic_kind)arg.data[0];
    return true;
}

static enum status join(struct worker *worker,
                        const struct worker_op *op,
                        const struct hub_place *place,
                        struct buf *reply)
{
    const struct slice *argv = op->op.args.argv;
    enum topic_kind kind;
    int64_t count = 0;
    if (!read_kind(argv[2], &kind) || !number_parse_i64(argv[3], &count) || count < 0 ||
        count > UINT32_MAX || op->link == 0) {
        return STATUS_BAD_ARGUMENT;
    }
    struct hub_link link = {.loop = op->origin->options.loop, .number = op->link};
    enum status status = hub_join(&worker->hub, place, kind, argv[1], &link, (uint32_t)count);
    if (status == STATUS_OK) {
        resp_write_ok(reply);
    } else {
        resp_write_error(reply, "ERR too many channels have subscribers at this node");
    }
    return STATUS_OK;
}

static void count_each(struct worker *worker,
                       const struct worker_op *op,
                       const struct hub_place *place,
                       struct buf *reply)
{
    bool shard = op->op.command->id == CMD_hub_shard_count;
    struct args args = op->op.args;
    resp_write_array(reply, args.argc - 1);
    for (size_t i = 1; i < args.argc; i++) {
        uint64_t count =
            hub_count(&worker->hub, place, shard ? TOPIC_SHARD : TOPIC_CHANNEL, args.argv[i]);
        resp_write_int(reply, (int64_t)count);
    }
}

static enum status list(struct worker *worker,
                        const struct worker_op *op,
                        const struct hub_place *place,
                        struct buf *reply)
{
    struct args args = op->op.args;
    enum topic_kind kind;
    if (!read_kind(args.argv[1], &kind) || args.argc > 3) {
        return STATUS_BAD_ARGUMENT;
    }
    struct buf names;
    buf_init(&names, FRAME_BODY_SIZE_MAX);
    size_t count =
        hub_list(&worker->hub, place, kind, args.argc == 3 ? &args.argv[2] : NULL, &names);
    resp_write_array(reply, count);
    buf_append_slice(reply, buf_slice(&names));
    buf_deinit(&names);
    return STATUS_OK;
}

/* A name's home is with the shard that owns its token; patterns and events are everywhere. */
static bool owns_names(const struct shard *shard, const struct worker_op *op)
{
    const struct shard_desc *desc = &shard_state(shard)->desc;
    struct args args = op->op.args;
    enum command_id id = op->op.command->id;
    bool many = id == CMD_hub_count || id == CMD_hub_shard_count;
    if (!many && id != CMD_hub_publish && id != CMD_hub_join) {
        return true;
    }
    for (size_t i = 1; i < (many ? args.argc : 2); i++) {
        uint64_t token = token_of_key(args.argv[i]);
        if (token < desc->start || token > desc->last) {
            return false;
        }
    }
    return true;
}

enum status worker_hub_run(struct worker *worker, const struct worker_op *op, struct buf *reply)
{
    const struct shard *shard = op->op.shard;
    assert((op->op.command->flags & CMD_NODE) != 0);
    if (!shard_leads(shard)) {
        return STATUS_NOT_LEADER;
    }
    if (!owns_names(shard, op)) {
        return STATUS_NOT_OWNER;
    }
    struct hub_place place = {.shard = op->shard, .term = shard_leader(shard).term};
    const struct slice *argv = op->op.args.argv;
    enum command_id id = op->op.command->id;
    if (id == CMD_hub_publish) {
        enum topic_kind kind;
        if (!read_kind(argv[2], &kind) || kind == TOPIC_PATTERN) {
            return STATUS_BAD_ARGUMENT;
        }
        resp_write_int(reply, (int64_t)publish(worker, &place, kind, argv[1], argv[3]));
        return STATUS_OK;
    }
    if (id == CMD_hub_join || id == CMD_hub_join_all) {
        return join(worker, op, &place, reply);
    }
    if (id == CMD_hub_count || id == CMD_hub_shard_count) {
        count_each(worker, op, &place, reply);
        return STATUS_OK;
    }
    return id == CMD_hub_list ? list(worker, op, &place, reply) : STATUS_BAD_ARGUMENT;
}

/* On "__keyspace@DB__:KEY" the event, on "__keyevent@DB__:EVENT" the key. */
static void publish_event(struct worker *worker,
                          const struct hub_place *place,
                          const char *kind,
                          const struct event *event,
                          bool keyspace)
{
    struct buf channel;
    buf_init(&channel, CHANNEL_SIZE_MAX + event->key.len + event->name.len);
    buf_append_format(&channel, "__%s@%u__:", kind, (unsigned)event->db);
    buf_append_slice(&channel, keyspace ? event->key : event->name);
    (void)publish(worker, place, TOPIC_CHANNEL, buf_slice(&channel),
                  keyspace ? event->name : event->key);
    buf_deinit(&channel);
}

static void drop(struct worker_op *op, enum status status, struct slice reply)
{
    (void)status; /* Messages are delivered at most once. */
    (void)reply;
    free(op);
}

/* A message of a script to the home of its channel, which may be another shard's leader. */
static void pass_on(struct worker *worker, const struct event *event)
{
    const struct shard_desc *home = shard_map_find(&worker->routes, token_of_key(event->name));
    struct leader_hint hint;
    if (home == NULL || !worker_leader(worker, home->id, &hint)) {
        return;
    }
    struct slice argv[] = {slice_str("hub_publish"), event->name,
                           slice_str(event->class == EVENT_MESSAGE ? "c" : "s"), event->key};
    if (hint.node != worker->options.node) {
        struct buf *out = worker->env.out_node(worker->env.ctx, hint.node);
        struct frame_request frame = {.shard = home->id,
                                      .flags = REQUEST_FIRST,
                                      .deadline_ms = PASS_ON_MS,
                                      .args = {.argv = argv, .argc = 4}};
        if (out != NULL) {
            frame_write_request(out, &frame);
        }
        return;
    }
    size_t head = sizeof(struct worker_op) + sizeof(argv);
    struct worker_op *op = calloc(1, head + event->name.len + event->key.len);
    assert(op != NULL);
    struct slice *copies = (struct slice *)(void *)(op + 1);
    uint8_t *at = (uint8_t *)op + head;
    memcpy(copies, argv, sizeof(argv));
    for (size_t i = 1; i < 4; i += 2) {
        memcpy(at, argv[i].data, argv[i].len);
        copies[i].data = at;
        at += argv[i].len;
    }
    op->origin = worker;
    op->shard = home->id;
    op->deliver = drop;
    op->op.command = command_at(CMD_hub_publish);
    op->op.args = (struct args){.argv = copies, .argc = 4};
    op->op.expires_ms = clock_now_ms() + PASS_ON_MS;
    worker_submit(worker, op);
}

void worker_hub_happened(void *ctx, struct shard *shard, struct slice events)
{
    struct worker *worker = ctx;
    struct hub_place place = {.shard = shard_id(shard), .term = shard_leader(shard).term};
    bool wanted = hub_wants_events(&worker->hub, &place);
    uint32_t flags = shard_state(shard)->machine.notify;
    struct reader in = reader_of(events);
    struct event event;
    while (event_next(&in, &event)) {
        if (event.class == EVENT_MESSAGE || event.class == EVENT_SHARD_MESSAGE) {
            pass_on(worker, &event);
            continue;
        }
        if (!wanted || (flags & notify_class((char)event.class)) == 0) {
            continue;
        }
        if ((flags & NOTIFY_KEYSPACE) != 0) {
            publish_event(worker, &place, "keyspace", &event, true);
        }
        if ((flags & NOTIFY_KEYEVENT) != 0) {
            publish_event(worker, &place, "keyevent", &event, false);
        }
    }
}
