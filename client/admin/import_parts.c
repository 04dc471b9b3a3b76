#include "client/admin/import_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "common/rdb/rdb_payload.h"
#include "common/rdb/rdb_value.h"

enum {
    VALUE_SIZE_MAX = 1 << 30,
    COMMAND_ARGS_MAX = 1024,
    COMMAND_SIZE_MAX = 512 << 10,
    UNDER_WAY_MAX = 64,
    UNDER_WAY_SIZE_MAX = 4 << 20,
    NUMBER_SIZE = 48,
    ERROR_SIZE = 256,
};

struct parts {
    struct sherd *sherd;
    struct slice key; /* That is written to. */
    const char **argv;
    size_t *lens;
    size_t argc;
    size_t argc_max;
    size_t size;
    size_t under_way;
    size_t under_way_size;
    bool lost;   /* All of it is to be begun again. */
    bool failed; /* error says why. */
    char error[ERROR_SIZE];
};

static void fail(struct parts *parts, const char *error)
{
    if (!parts->failed) {
        snprintf(parts->error, sizeof(parts->error), "%s", error);
    }
    parts->failed = true;
}

static bool good(const struct parts *parts)
{
    return !parts->lost && !parts->failed;
}

static void put(struct parts *parts, const void *data, size_t len)
{
    if (parts->argc == parts->argc_max) {
        parts->argc_max = parts->argc_max * 2 + 16;
        parts->argv = realloc(parts->argv, parts->argc_max * sizeof(*parts->argv));
        parts->lens = realloc(parts->lens, parts->argc_max * sizeof(*parts->lens));
        assert(parts->argv != NULL && parts->lens != NULL);
    }
    parts->argv[parts->argc] = data;
    parts->lens[parts->argc++] = len;
    parts->size += len;
}

static void put_slice(struct parts *parts, struct slice bytes)
{
    put(parts, bytes.len == 0 ? (const uint8_t *)"" : bytes.data, bytes.len);
}

static void put_text(struct parts *parts, const char *text)
{
    put(parts, text, strlen(text));
}

/* The last reply, or NULL if there is none that counts. */
static struct sherd_reply *take_replies(struct parts *parts)
{
    struct sherd_reply *last = NULL;
    while (parts->under_way > 0 && sherd_fault(parts->sherd) == SHERD_FINE) {
        sherd_reply_free(last);
        last = sherd_receive(parts->sherd);
        parts->under_way--;
        if (last == NULL || import_target_passes(last)) {
            parts->lost = true;
        } else if (last->type == SHERD_ERROR) {
            fail(parts, last->text);
        }
    }
    parts->under_way_size = 0;
    return last;
}

static void settle(struct parts *parts)
{
    sherd_reply_free(take_replies(parts));
}

/* Starts a command on the key. */
static void begin(struct parts *parts, const char *name)
{
    parts->argc = 0;
    parts->size = 0;
    put_text(parts, name);
    put_slice(parts, parts->key);
}

/* Sends the command; some may be under way. */
static void send_command(struct parts *parts)
{
    if (good(parts)) {
        parts->lost = sherd_send(parts->sherd, parts->argv, parts->lens, parts->argc) != 0;
        parts->under_way++;
        parts->under_way_size += parts->size;
    }
    if (parts->under_way >= UNDER_WAY_MAX || parts->under_way_size >= UNDER_WAY_SIZE_MAX) {
        settle(parts);
    }
}

/* The integer that it is answered with; -1: none. */
static int64_t ask(struct parts *parts)
{
    settle(parts);
    send_command(parts);
    struct sherd_reply *reply = take_replies(parts);
    int64_t number = reply != NULL && reply->type == SHERD_INTEGER ? reply->integer : -1;
    sherd_reply_free(reply);
    return number;
}

/* RPUSH, SADD, HSET, ZADD: as many elements at a time as are good for one entry of the log. */
static void write_elements(struct parts *parts, const struct rdb_value *value, const char *name)
{
    struct reader in = reader_of(buf_slice(&value->bytes));
    char scores[COMMAND_ARGS_MAX][NUMBER_SIZE];
    while (in.rest.len > 0 && good(parts)) {
        begin(parts, name);
        for (size_t i = 0; i < COMMAND_ARGS_MAX && parts->size < COMMAND_SIZE_MAX; i++) {
            if (in.rest.len == 0) {
                break;
            }
            if (value->kind == RDB_ZSET) {
                uint64_t bits = reader_u64(&in);
                double score = 0;
                memcpy(&score, &bits, sizeof(score));
                snprintf(scores[i], NUMBER_SIZE, "%.17g", score);
                put_text(parts, scores[i]);
            }
            put_slice(parts, reader_bytes(&in, UINT32_MAX));
            if (value->kind == RDB_HASH) {
                put_slice(parts, reader_bytes(&in, UINT32_MAX));
            }
        }
        send_command(parts);
    }
    settle(parts);
}

static void take_id(struct reader *in, char text[NUMBER_SIZE])
{
    uint64_t ms = reader_u64_be(in);
    uint64_t seq = reader_u64_be(in);
    snprintf(text, NUMBER_SIZE, "%" PRIu64 "-%" PRIu64, ms, seq);
}

static void write_entries(struct parts *parts, struct reader *in)
{
    char id[NUMBER_SIZE];
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count && good(parts); i++) {
        take_id(in, id);
        uint32_t strings = reader_u32(in);
        begin(parts, "XADD");
        put_text(parts, id);
        for (uint32_t n = 0; n < strings; n++) {
            put_slice(parts, reader_bytes(in, UINT32_MAX));
        }
        send_command(parts);
    }
    if (count == 0) {
        static const char *const empty[] = {"1-1", "a", "b"};
        begin(parts, "XADD");
        for (size_t i = 0; i < 3; i++) {
            put_text(parts, empty[i]);
        }
        send_command(parts);
        begin(parts, "XDEL");
        put_text(parts, empty[0]);
        send_command(parts);
    }
}

static void begin_group(struct parts *parts, const char *what, struct slice group)
{
    parts->argc = 0;
    parts->size = 0;
    put_text(parts, "XGROUP");
    put_text(parts, what);
    put_slice(parts, parts->key);
    put_slice(parts, group);
}

static void write_consumer(struct parts *parts, struct slice group, struct reader *in)
{
    struct slice name = reader_bytes(in, UINT32_MAX);
    (void)reader_u64(in);
    uint64_t pending = reader_u64(in);
    begin_group(parts, "CREATECONSUMER", group);
    put_slice(parts, name);
    send_command(parts);
    for (uint64_t i = 0; i < pending && good(parts); i++) {
        char id[NUMBER_SIZE];
        char time[NUMBER_SIZE];
        char count[NUMBER_SIZE];
        take_id(in, id);
        snprintf(time, sizeof(time), "%" PRIu64, reader_u64(in));
        snprintf(count, sizeof(count), "%" PRIu64, reader_u64(in));
        begin(parts, "XCLAIM");
        put_slice(parts, group);
        put_slice(parts, name);
        const char *const rest[] = {"0", id, "TIME", time, "RETRYCOUNT", count, "FORCE", "JUSTID"};
        for (size_t n = 0; n < sizeof(rest) / sizeof(rest[0]); n++) {
            put_text(parts, rest[n]);
        }
        send_command(parts);
    }
}

static void write_group(struct parts *parts, struct reader *in)
{
    char last[NUMBER_SIZE];
    char read_text[NUMBER_SIZE];
    struct slice name = reader_bytes(in, UINT32_MAX);
    take_id(in, last);
    uint64_t read = reader_u64(in);
    bool known = read != RDB_VALUE_READ_ESTIMATED;
    snprintf(read_text, sizeof(read_text), "%" PRId64, known ? (int64_t)read : -1);
    begin_group(parts, "CREATE", name);
    put_text(parts, last);
    put_text(parts, "ENTRIESREAD");
    put_text(parts, read_text);
    send_command(parts);
    uint64_t consumers = reader_u64(in);
    for (uint64_t i = 0; i < consumers && good(parts); i++) {
        write_consumer(parts, name, in);
    }
}

static void write_stream(struct parts *parts, const struct rdb_value *value)
{
    struct reader in = reader_of(buf_slice(&value->bytes));
    char added[NUMBER_SIZE];
    char last[NUMBER_SIZE];
    char deleted[NUMBER_SIZE];
    snprintf(added, sizeof(added), "%" PRIu64, reader_u64(&in));
    take_id(&in, last);
    take_id(&in, deleted);
    write_entries(parts, &in);
    begin(parts, "XSETID");
    const char *const rest[] = {last, "ENTRIESADDED", added, "MAXDELETEDID", deleted};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        put_text(parts, rest[i]);
    }
    send_command(parts);
    uint64_t groups = reader_u64(&in);
    for (uint64_t i = 0; i < groups && good(parts); i++) {
        write_group(parts, &in);
    }
    settle(parts);
}

static void write_collection(struct parts *parts, const struct rdb_value *value)
{
    static const char *const names[RDB_KIND_END] = {
        [RDB_HASH] = "HSET", [RDB_SET] = "SADD", [RDB_ZSET] = "ZADD", [RDB_LIST] = "RPUSH"};
    begin(parts, "DEL");
    send_command(parts);
    if (value->kind == RDB_STREAM) {
        write_stream(parts, value);
    } else {
        write_elements(parts, value, names[value->kind]);
    }
}

/* Beside the key: on the same shard, as it has the same tag. Empty if there is no such name. */
static void name_beside(struct slice key, struct buf *name)
{
    struct slice tag = token_tag(key);
    bool whole = tag.data == key.data && tag.len == key.len;
    if (whole && (key.len == 0 || memchr(key.data, '}', key.len) != NULL)) {
        return;
    }
    buf_append_text(name, "{");
    buf_append_slice(name, tag);
    buf_append_text(name, "}sherd-import:");
    buf_append_slice(name, key);
}

static void set_expire(struct parts *parts, uint64_t expire_ms)
{
    char number[NUMBER_SIZE];
    if (expire_ms == 0) {
        return;
    }
    snprintf(number, sizeof(number), "%" PRIu64, expire_ms);
    begin(parts, "PEXPIREAT");
    put_text(parts, number);
    send_command(parts);
    settle(parts);
}

/* Returns false if the key came to be meanwhile. */
static bool write_string(struct parts *parts,
                         const struct rdb_value *value,
                         const struct import_item *item,
                         bool replace)
{
    char number[NUMBER_SIZE];
    snprintf(number, sizeof(number), "%" PRIu64, item->expire_ms);
    begin(parts, "SET");
    put_slice(parts, buf_slice(&value->bytes));
    if (item->expire_ms != 0) {
        put_text(parts, "PXAT");
        put_text(parts, number);
    }
    if (!replace) {
        put_text(parts, "NX");
    }
    send_command(parts);
    struct sherd_reply *reply = take_replies(parts);
    bool set = reply == NULL || reply->type != SHERD_NULL;
    sherd_reply_free(reply);
    return set;
}

/* The value under its name. Returns false if the key came to be meanwhile. */
static bool write_value(struct parts *parts,
                        const struct rdb_value *value,
                        const struct import_item *item,
                        bool replace)
{
    struct buf beside;
    bool set = true;
    if (value->kind == RDB_STRING) {
        return write_string(parts, value, item, replace);
    }
    buf_init(&beside, 2 * item->key.len + 64);
    name_beside(item->key, &beside);
    bool renamed = beside.len > 0;
    parts->key = renamed ? buf_slice(&beside) : item->key;
    if (!renamed && !replace && item->again) {
        fail(parts, "a part of it may be there; use --replace");
        buf_deinit(&beside);
        return true;
    }
    write_collection(parts, value);
    set_expire(parts, item->expire_ms);
    if (renamed && good(parts)) {
        begin(parts, replace ? "RENAME" : "RENAMENX");
        put_slice(parts, item->key);
        set = ask(parts) != 0;
    }
    if (!parts->lost && (!set || parts->failed)) {
        bool failed = parts->failed;
        parts->failed = false; /* What is half done goes. */
        begin(parts, "DEL");
        (void)ask(parts);
        parts->failed = failed || parts->failed;
    }
    buf_deinit(&beside);
    return set;
}

static const char *decode(const struct import_item *item, struct rdb_value *value)
{
    struct slice bytes;
    if (!rdb_payload_open(item->payload, &bytes) || bytes.len == 0) {
        return "the version or the checksum of its value is wrong";
    }
    enum status status =
        rdb_value_decode(bytes.data[0], slice_of(bytes.data + 1, bytes.len - 1), value);
    if (status == STATUS_TOO_BIG) {
        return "its value is longer than 1 GB";
    }
    return status == STATUS_OK ? NULL : "Bad data format";
}

static void count(struct import_target *target, const struct import_item *item, bool set)
{
    struct import_report *report = target->report;
    report->done += set ? 1 : 0;
    report->bytes += set ? item->payload.len : 0;
    report->again += !set && item->again ? 1 : 0;
    report->existing += !set && !item->again ? 1 : 0;
}

enum status import_parts_put(struct import_target *target, const struct import_item *item)
{
    struct rdb_value value;
    struct parts parts = {.sherd = target->sherd, .key = item->key};
    rdb_value_init(&value, VALUE_SIZE_MAX);
    const char *error = decode(item, &value);
    bool set = true;
    if (error != NULL) {
        fail(&parts, error);
    } else if (!target->replace) {
        begin(&parts, "EXISTS");
        set = ask(&parts) == 0;
    }
    if (good(&parts) && set) {
        set = write_value(&parts, &value, item, target->replace);
    }
    settle(&parts);
    rdb_value_deinit(&value);
    free(parts.argv);
    free(parts.lens);
    if (parts.lost) {
        return STATUS_DISCONNECTED;
    }
    if (parts.failed) {
        import_report_fail(target->report, item->source_db, item->key, parts.error);
    } else {
        count(target, item, set);
    }
    import_report_show(target->report);
    return STATUS_OK;
}
