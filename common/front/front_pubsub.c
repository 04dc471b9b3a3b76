#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/front/front_core.h"

/* SUBSCRIBE and its kin, PUBLISH, PUBSUB, and messages to clients. Semantics: Redis 7.0 pubsub.c.
 *
 * A subscription is confirmed when the home of the channel knows of it, so that the client gets all
 * that is published after its confirmation. Requests of this kind keep their place: they begin when
 * the client's earlier ones are done. */

/* Names a client asked for, on the way to their homes. */
struct coming {
    struct request *request;
    enum topic_kind kind;
    const char *word;
    size_t pending;
    bool failed;
    struct topic **topics; /* Each once. */
    size_t count;
};

/* Names a client has left, until their homes know: what is published afterwards is not counted as
 * received. */
struct leaving {
    struct request *request;
    size_t pending;
    struct buf reply;
};

static const char no_pubsub[] = "ERR Pub/Sub is served by routers: connect to a sherd-router";

static uint32_t *counter(struct session *session, enum topic_kind kind)
{
    if (kind == TOPIC_PATTERN) {
        return &session->patterns;
    }
    return kind == TOPIC_SHARD ? &session->shard_channels : &session->channels;
}

static size_t topics_of(const struct session *session)
{
    return (size_t)session->channels + session->patterns + session->shard_channels;
}

static struct member *member_of(struct session *session, struct topic *topic)
{
    return topics_member(topic, session, &session->members, topics_of(session));
}

/* What Redis shows behind the name: shard channels are counted apart. */
static int64_t shown_count(const struct session *session, enum topic_kind kind)
{
    return kind == TOPIC_SHARD ? (int64_t)session->shard_channels
                               : (int64_t)session->channels + session->patterns;
}

static void write_change(struct buf *out, const char *word, const struct slice *name, int64_t count)
{
    resp_write_push(out, 3);
    resp_write_text(out, word);
    if (name == NULL) {
        resp_write_null(out);
    } else {
        resp_write_bulk(out, *name);
    }
    resp_write_int(out, count);
}

/* A topic got its first listener, or lost its last. */
static void count_topic(struct front *front, enum topic_kind kind, bool more)
{
    _Atomic uint64_t *count = kind == TOPIC_PATTERN ? &front->patterns : &front->channels;
    atomic_fetch_add_explicit(count, more ? 1 : UINT64_MAX, memory_order_relaxed);
}

static void on_left(void *ctx, bool joined)
{
    (void)joined; /* A home that cannot be asked forgets by itself. */
    struct leaving *leaving = ctx;
    assert(leaving->pending > 0);
    leaving->pending--;
    if (leaving->pending == 0) {
        request_finish(leaving->request, buf_slice(&leaving->reply));
        buf_deinit(&leaving->reply);
        free(leaving);
    }
}

static void ignore_done(void *ctx, bool joined)
{
    (void)ctx;
    (void)joined;
}

/* Tells the home how many listen now. */
static void announce(struct front_part *part,
                     const struct topic *topic,
                     void (*done)(void *ctx, bool joined),
                     void *ctx)
{
    const struct front_options *options = &part->front->options;
    struct front_join join = {.kind = (uint8_t)topic->kind,
                              .name = topic->name,
                              .count = topic->count + topic->coming,
                              .done = done,
                              .ctx = ctx};
    options->env->join(options->arg, part->index, &join);
}

/* leaving: who wants to know when the home knows; NULL: nobody. */
static void drop_member(struct session *session, struct member *member, struct leaving *leaving)
{
    struct topic *topic = member->topic;
    topics_remove(member);
    (*counter(session, topic->kind))--;
    if (topic->count == 0) {
        count_topic(session->part->front, topic->kind, false);
    }
    if (leaving != NULL) {
        leaving->pending++;
    }
    announce(session->part, topic, leaving != NULL ? on_left : ignore_done, leaving);
    topics_release(&session->part->topics, topic);
}

void front_unsubscribe_all(struct session *session)
{
    while (!list_empty(&session->members)) {
        drop_member(session, list_entry(session->members.next, struct member, in_session), NULL);
    }
}

/* What the client is told, name by name. */
static void confirm(struct coming *coming, struct buf *reply)
{
    struct request *request = coming->request;
    struct front_part *part = request->part;
    struct session *session = request->session;
    request->silent = false; /* CLIENT REPLY OFF is about replies; these are messages. */
    for (size_t i = 1; i < request->args.argc; i++) {
        struct topic *topic = topics_find(&part->topics, coming->kind, request->args.argv[i]);
        assert(topic != NULL);
        if (member_of(session, topic) == NULL) {
            if (topic->count == 0) {
                count_topic(part->front, topic->kind, true);
            }
            topics_add(topic, session, &session->members);
            (*counter(session, coming->kind))++;
        }
        write_change(reply, coming->word, &request->args.argv[i],
                     shown_count(session, coming->kind));
    }
}

static void settle(struct coming *coming)
{
    struct request *request = coming->request;
    struct front_part *part = request->part;
    bool gone = request_abandoned(request);
    bool joined = !gone && !coming->failed;
    struct buf *reply = front_reply(request);
    for (size_t i = 0; i < coming->count; i++) {
        assert(coming->topics[i]->coming > 0);
        coming->topics[i]->coming--;
    }
    if (joined) {
        confirm(coming, reply);
    }
    for (size_t i = 0; i < coming->count; i++) {
        if (!joined) {
            announce(part, coming->topics[i], ignore_done, NULL);
        }
        topics_release(&part->topics, coming->topics[i]);
    }
    if (!joined) {
        resp_write_error(reply,
                         "TRYAGAIN the home of a channel does not answer; it is subscribed "
                         "to nothing of this command");
    }
    free(coming->topics);
    free(coming);
    front_done(request);
}

static void on_joined(void *ctx, bool joined)
{
    struct coming *coming = ctx;
    assert(coming->pending > 0);
    coming->pending--;
    coming->failed = coming->failed || !joined;
    if (coming->pending == 0) {
        settle(coming);
    }
}

static void subscribe(struct request *request, enum topic_kind kind, const char *word)
{
    struct front_part *part = request->part;
    if (part->front->options.env->join == NULL) {
        request_fail(request, no_pubsub);
        return;
    }
    struct coming *coming = calloc(1, sizeof(*coming));
    assert(coming != NULL);
    *coming = (struct coming){.request = request, .kind = kind, .word = word, .pending = 1};
    coming->topics = calloc(request->args.argc, sizeof(struct topic *));
    assert(coming->topics != NULL);
    for (size_t i = 1; i < request->args.argc; i++) {
        struct topic *topic = topics_get(&part->topics, kind, request->args.argv[i]);
        if (topic->named != coming) {
            topic->named = coming;
            topic->coming++;
            coming->topics[coming->count++] = topic;
        }
    }
    for (size_t i = 0; i < coming->count; i++) {
        coming->topics[i]->named = NULL; /* Another request may lie where this one did. */
    }
    for (size_t i = 0; i < coming->count; i++) {
        if (member_of(request->session, coming->topics[i]) == NULL) {
            coming->pending++;
            announce(part, coming->topics[i], on_joined, coming);
        }
    }
    on_joined(coming, true); /* The one that kept it from ending while we were not through. */
}

static void unsubscribe_named(struct request *request,
                              enum topic_kind kind,
                              const char *word,
                              struct leaving *leaving)
{
    struct session *session = request->session;
    for (size_t i = 1; i < request->args.argc; i++) {
        struct topic *topic = topics_find(&request->part->topics, kind, request->args.argv[i]);
        struct member *member = topic == NULL ? NULL : member_of(session, topic);
        if (member != NULL) {
            drop_member(session, member, leaving);
        }
        write_change(&leaving->reply, word, &request->args.argv[i], shown_count(session, kind));
    }
}

static void unsubscribe_every(struct session *session,
                              enum topic_kind kind,
                              const char *word,
                              struct leaving *leaving)
{
    struct buf *reply = &leaving->reply;
    struct list *next = NULL;
    for (struct list *at = session->members.next; at != &session->members; at = next) {
        next = at->next;
        struct member *member = list_entry(at, struct member, in_session);
        if (member->topic->kind != kind) {
            continue;
        }
        struct buf name;
        buf_init(&name, SIZE_MAX / 2);
        buf_append_slice(&name, member->topic->name);
        drop_member(session, member, leaving);
        struct slice shown = buf_slice(&name);
        write_change(reply, word, &shown, shown_count(session, kind));
        buf_deinit(&name);
    }
    if (reply->len == 0) {
        write_change(reply, word, NULL, shown_count(session, kind));
    }
}

static void unsubscribe(struct request *request, enum topic_kind kind, const char *word)
{
    struct leaving *leaving = calloc(1, sizeof(*leaving));
    assert(leaving != NULL);
    leaving->request = request;
    leaving->pending = 1;
    request->silent = false; /* As in confirm(). */
    buf_init(&leaving->reply, SIZE_MAX / 2);
    if (request->args.argc > 1) {
        unsubscribe_named(request, kind, word, leaving);
    } else {
        unsubscribe_every(request->session, kind, word, leaving);
    }
    on_left(leaving, true); /* The one that kept it from ending while we were not through. */
}

void front_subscribe(struct request *request)
{
    subscribe(request, TOPIC_CHANNEL, "subscribe");
}

void front_unsubscribe(struct request *request)
{
    unsubscribe(request, TOPIC_CHANNEL, "unsubscribe");
}

void front_psubscribe(struct request *request)
{
    subscribe(request, TOPIC_PATTERN, "psubscribe");
}

void front_punsubscribe(struct request *request)
{
    unsubscribe(request, TOPIC_PATTERN, "punsubscribe");
}

void front_ssubscribe(struct request *request)
{
    subscribe(request, TOPIC_SHARD, "ssubscribe");
}

void front_sunsubscribe(struct request *request)
{
    unsubscribe(request, TOPIC_SHARD, "sunsubscribe");
}

bool front_pubsub_allows(struct request *request)
{
    static const enum command_id allowed[] = {
        CMD_subscribe,    CMD_unsubscribe, CMD_psubscribe, CMD_punsubscribe, CMD_ssubscribe,
        CMD_sunsubscribe, CMD_ping,        CMD_quit,       CMD_reset,
    };
    const struct session *session = request->session;
    if (session->protocol != 2 || list_empty(&session->members)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (request->command->id == allowed[i]) {
            return true;
        }
    }
    struct buf *reply = front_reply(request);
    resp_write_errorf(reply,
                      "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                      "QUIT / RESET are allowed in this context",
                      request->command->name);
    front_done(request);
    return false;
}

/* Messages. */

static void write_message(struct buf *out, const struct front_message *message)
{
    bool pattern = message->kind == TOPIC_PATTERN;
    resp_write_push(out, pattern ? 4 : 3);
    if (pattern) {
        resp_write_text(out, "pmessage");
        resp_write_bulk(out, message->topic);
    } else {
        resp_write_text(out, message->kind == TOPIC_SHARD ? "smessage" : "message");
    }
    resp_write_bulk(out, message->channel);
    resp_write_bulk(out, message->payload);
}

void front_deliver(struct front_part *part, const struct front_message *message)
{
    struct topic *topic =
        topics_find(&part->topics, (enum topic_kind)message->kind, message->topic);
    if (topic == NULL) {
        return;
    }
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    write_message(&text, message);
    size_t bound = (size_t)front_setting(part, CONFIG_client_output_buffer_limit_pubsub);
    struct list *next = NULL;
    for (struct list *at = topic->members.next; at != &topic->members; at = next) {
        next = at->next;
        struct session *session = list_entry(at, struct member, in_topic)->session;
        if (session->dead) {
            continue;
        }
        struct buf *out = session_output(session);
        size_t pending = session->conn != NULL ? conn_pending(session->conn) : out->len;
        if (pending > bound) {
            session_end(session, FRONT_OUTPUT);
            continue;
        }
        resp_convert(buf_slice(&text), session->protocol, out);
        metrics_add(part->metrics, METRIC_messages_delivered_total, 1);
    }
    buf_deinit(&text);
}

/* What is asked of the shards. */

struct question {
    struct front_ask ask;
    struct request *request;
    struct slice argv[4];
    uint8_t kind; /* enum topic_kind */
    size_t keep;  /* NUMSUB: names that stand beside the numbers. */
    struct slice *names;
};

static struct question *question_new(struct request *request, enum command_id id)
{
    struct question *question = calloc(1, sizeof(*question));
    assert(question != NULL);
    question->request = request;
    question->ask.command = command_at(id);
    question->argv[0] = slice_str(question->ask.command->name);
    question->ask.args.argv = question->argv;
    return question;
}

static void question_send(struct question *question)
{
    const struct front_options *options = &question->request->part->front->options;
    if (options->env->ask == NULL) {
        request_fail(question->request, no_pubsub);
        free(question->names);
        free(question);
        return;
    }
    options->env->ask(options->arg, question->request->part->index, &question->ask);
}

static void question_end(struct question *question, struct slice reply)
{
    struct request *request = question->request;
    free(question->names);
    free(question);
    request_finish(request, reply);
}

static void on_plain(struct front_ask *ask, struct slice reply)
{
    question_end(list_entry(ask, struct question, ask), reply);
}

static void publish(struct request *request, enum topic_kind kind)
{
    struct question *question = question_new(request, CMD_hub_publish);
    question->argv[1] = request->args.argv[1];
    question->kind = (uint8_t)kind;
    question->argv[2] = slice_of(&question->kind, 1);
    question->argv[3] = request->args.argv[2];
    question->ask.args.argc = 4;
    question->ask.on_reply = on_plain;
    question_send(question);
}

void front_publish(struct request *request)
{
    publish(request, TOPIC_CHANNEL);
}

void front_spublish(struct request *request)
{
    publish(request, TOPIC_SHARD);
}

static int by_bytes(const void *a, const void *b)
{
    const struct slice *left = a;
    const struct slice *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = len == 0 ? 0 : memcmp(left->data, right->data, len);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

/* The strings of an array, each once; the caller frees. NULL: it is an error, or none. */
static struct slice *read_names(struct slice reply, size_t *count)
{
    struct resp_value array;
    *count = 0;
    if (resp_value_read(reply, &array) != STATUS_OK || array.type != '*' || array.number < 0) {
        return NULL;
    }
    size_t found = (size_t)array.number;
    struct slice *names = malloc((found + 1) * sizeof(*names));
    assert(names != NULL);
    struct slice rest = slice_of(reply.data + array.size_used, reply.len - array.size_used);
    for (size_t i = 0; i < found; i++) {
        struct resp_value value;
        enum status status = resp_value_read(rest, &value);
        assert(status == STATUS_OK);
        names[i] = value.bytes;
        rest = slice_of(rest.data + value.size_used, rest.len - value.size_used);
    }
    qsort(names, found, sizeof(*names), by_bytes);
    for (size_t i = 0; i < found; i++) {
        if (i == 0 || !slice_equal(names[i], names[*count - 1])) {
            names[(*count)++] = names[i];
        }
    }
    return names;
}

/* Channels of keyspace events are joined at every shard, and patterns are. */
static void on_names(struct front_ask *ask, struct slice reply)
{
    struct question *question = list_entry(ask, struct question, ask);
    size_t count = 0;
    struct slice *names = read_names(reply, &count);
    if (names == NULL) {
        question_end(question, reply);
        return;
    }
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (question->argv[1].data[0] == TOPIC_PATTERN) {
        resp_write_int(&out, (int64_t)count);
    } else {
        resp_write_array(&out, count);
        for (size_t i = 0; i < count; i++) {
            resp_write_bulk(&out, names[i]);
        }
    }
    free(names);
    question_end(question, buf_slice(&out));
    buf_deinit(&out);
}

static void ask_names(struct request *request, enum topic_kind kind)
{
    struct question *question = question_new(request, CMD_hub_list);
    question->kind = (uint8_t)kind;
    question->argv[1] = slice_of(&question->kind, 1);
    question->ask.args.argc = 2;
    if (request->args.argc == 3) {
        question->argv[2] = request->args.argv[2];
        question->ask.args.argc = 3;
    }
    question->ask.on_reply = on_names;
    question_send(question);
}

static void channels(struct request *request)
{
    ask_names(request, TOPIC_CHANNEL);
}

static void shard_channels(struct request *request)
{
    ask_names(request, TOPIC_SHARD);
}

static void patterns(struct request *request)
{
    ask_names(request, TOPIC_PATTERN);
}

static void on_counts(struct front_ask *ask, struct slice reply)
{
    struct question *question = list_entry(ask, struct question, ask);
    struct resp_value array;
    if (resp_value_read(reply, &array) != STATUS_OK || array.type != '*') {
        question_end(question, reply);
        return;
    }
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    struct slice rest = slice_of(reply.data + array.size_used, reply.len - array.size_used);
    resp_write_array(&out, question->keep * 2);
    for (size_t i = 0; i < question->keep; i++) {
        struct resp_value value;
        enum status status = resp_value_read(rest, &value);
        assert(status == STATUS_OK);
        resp_write_bulk(&out, question->names[i + 1]);
        buf_append(&out, rest.data, value.size_used);
        rest = slice_of(rest.data + value.size_used, rest.len - value.size_used);
    }
    question_end(question, buf_slice(&out));
    buf_deinit(&out);
}

static void ask_counts(struct request *request, enum command_id id)
{
    size_t count = request->args.argc - 2;
    if (count == 0) {
        resp_write_array(front_reply(request), 0);
        front_done(request);
        return;
    }
    struct question *question = question_new(request, id);
    question->keep = count;
    question->names = malloc((count + 1) * sizeof(*question->names));
    assert(question->names != NULL);
    question->names[0] = question->argv[0];
    for (size_t i = 0; i < count; i++) {
        question->names[i + 1] = request->args.argv[i + 2];
    }
    question->ask.args = (struct args){.argv = question->names, .argc = count + 1};
    question->ask.on_reply = on_counts;
    question_send(question);
}

static void counts(struct request *request)
{
    ask_counts(request, CMD_hub_count);
}

static void shard_counts(struct request *request)
{
    ask_counts(request, CMD_hub_shard_count);
}

void front_pubsub(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"channels", -2, channels},        {"numsub", -2, counts},
        {"numpat", 2, patterns},           {"shardchannels", -2, shard_channels},
        {"shardnumsub", -2, shard_counts},
    };
    static const char *const help[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> "
        "(default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
