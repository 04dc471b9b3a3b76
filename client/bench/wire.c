#include "client/bench/wire.h"

#include <stdlib.h>

#include "client/bench/wire_private.h"
#include "common/base/assert.h"
#include "common/proto/resp.h"

static const char *const names[WIRE_WORKLOAD_COUNT] = {
    [WIRE_SET] = "set",         [WIRE_GET] = "get",   [WIRE_MIX] = "mix",   [WIRE_INCR] = "incr",
    [WIRE_MSET] = "mset",       [WIRE_MGET] = "mget", [WIRE_PING] = "ping", [WIRE_HSET] = "hset",
    [WIRE_LPUSH] = "lpush",     [WIRE_SADD] = "sadd", [WIRE_ZADD] = "zadd", [WIRE_XADD] = "xadd",
    [WIRE_LIMITER] = "limiter",
};

const char *wire_workload_name(enum wire_workload workload)
{
    assert(workload < WIRE_WORKLOAD_COUNT);
    return names[workload];
}

bool wire_find_workload(const char *name, enum wire_workload *workload)
{
    for (size_t i = 0; i < WIRE_WORKLOAD_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *workload = (enum wire_workload)i;
            return true;
        }
    }
    return false;
}

void wire_private_add_key(struct wire *wire, struct wire_template *template)
{
    assert(template->keys < WIRE_KEYS_PER_REQUEST_MAX);
    template->key_at[template->keys++] = template->bytes.len;
    /* A type has keys of its own: what SET wrote is no number, and no list. */
    static const char *const prefixes[WIRE_WORKLOAD_COUNT] = {
        [WIRE_INCR] = "cnt", [WIRE_HSET] = "hsh", [WIRE_LPUSH] = "lst",  [WIRE_SADD] = "set",
        [WIRE_ZADD] = "zst", [WIRE_XADD] = "str", [WIRE_LIMITER] = "lim"};
    const char *prefix = prefixes[wire->options.workload];
    buf_append_format(&template->bytes, "%s:000000000000", prefix != NULL ? prefix : "key");
}

void wire_private_add_value(struct wire *wire, struct wire_template *template)
{
    assert(template->values < WIRE_KEYS_PER_REQUEST_MAX);
    template->value_at[template->values++] = template->bytes.len;
    (void)buf_reserve(&template->bytes, wire->options.value_size);
    memset(template->bytes.data + template->bytes.len, 'x', wire->options.value_size);
    template->bytes.len += wire->options.value_size;
}

static void put_key(uint8_t *at, uint64_t number)
{
    for (size_t i = WIRE_KEY_SIZE; i > 4; i--) {
        at[i - 1] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

size_t wire_private_fill(struct wire *wire, const struct wire_template *template, struct buf *out)
{
    size_t at = out->len;
    buf_append_slice(out, buf_slice(&template->bytes));
    for (size_t i = 0; i < template->keys; i++) {
        put_key(out->data + at + template->key_at[i], key_pick_next(&wire->pick));
    }
    for (size_t i = 0; i < template->values; i++) {
        memcpy(out->data + at + template->value_at[i],
               wire->pool + rand_below(&wire->rand, WIRE_POOL_SIZE), wire->options.value_size);
    }
    return at;
}

const struct wire_template *wire_private_choose(struct wire *wire)
{
    switch (wire->options.workload) {
    case WIRE_GET:
    case WIRE_MGET:
    case WIRE_PING: return &wire->read;
    case WIRE_MIX:
        return rand_below(&wire->rand, 100) < wire->options.read_percent ? &wire->read
                                                                         : &wire->write;
    case WIRE_SET:
    case WIRE_INCR:
    case WIRE_MSET:
    case WIRE_HSET:
    case WIRE_LPUSH:
    case WIRE_SADD:
    case WIRE_ZADD:
    case WIRE_XADD:
    case WIRE_LIMITER:
    case WIRE_WORKLOAD_COUNT: break;
    }
    return &wire->write;
}

static void add_word(struct wire_template *template, const char *word)
{
    buf_append_format(&template->bytes, "$%zu\r\n%s\r\n", strlen(word), word);
}

/* "*N", the name, then pairs times a key and, if wanted, a value. */
static void make_command(
    struct wire *wire, struct wire_template *template, const char *name, size_t keys, bool values)
{
    size_t argc = 1 + keys * (values ? 2 : 1);
    buf_append_format(&template->bytes, "*%zu\r\n", argc);
    add_word(template, name);
    for (size_t i = 0; i < keys; i++) {
        buf_append_format(&template->bytes, "$%d\r\n", WIRE_KEY_SIZE);
        wire_private_add_key(wire, template);
        buf_append_text(&template->bytes, "\r\n");
        if (values) {
            buf_append_format(&template->bytes, "$%zu\r\n", wire->options.value_size);
            wire_private_add_value(wire, template);
            buf_append_text(&template->bytes, "\r\n");
        }
    }
}

static void add_key_word(struct wire *wire, struct wire_template *template)
{
    buf_append_format(&template->bytes, "$%d\r\n", WIRE_KEY_SIZE);
    wire_private_add_key(wire, template);
    buf_append_text(&template->bytes, "\r\n");
}

static void add_value_word(struct wire *wire, struct wire_template *template)
{
    buf_append_format(&template->bytes, "$%zu\r\n", wire->options.value_size);
    wire_private_add_value(wire, template);
    buf_append_text(&template->bytes, "\r\n");
}

/* NAME key word value; word NULL: there is none. */
static void make_add(struct wire *wire, const char *name, const char *word)
{
    struct wire_template *template = &wire->write;
    buf_append_format(&template->bytes, "*%d\r\n", word != NULL ? 4 : 3);
    add_word(template, name);
    add_key_word(wire, template);
    if (word != NULL) {
        add_word(template, word);
    }
    add_value_word(wire, template);
}

/* XADD key * f value. */
static void make_entry(struct wire *wire)
{
    struct wire_template *template = &wire->write;
    buf_append_text(&template->bytes, "*5\r\n");
    add_word(template, "XADD");
    add_key_word(wire, template);
    add_word(template, "*");
    add_word(template, "f");
    add_value_word(wire, template);
}

/* A limiter of fixed windows, as users write it. */
static void make_limiter(struct wire *wire)
{
    static const char source[] =
        "local n = redis.call('INCR', KEYS[1]) if n == 1 then "
        "redis.call('PEXPIRE', KEYS[1], ARGV[1]) end "
        "return {n, redis.call('PTTL', KEYS[1])}";
    struct wire_template *template = &wire->write;
    buf_append_text(&template->bytes, "*5\r\n");
    add_word(template, "EVAL");
    add_word(template, source);
    add_word(template, "1");
    add_key_word(wire, template);
    add_word(template, "60000");
}

void wire_private_make_resp(struct wire *wire)
{
    size_t many = wire->options.keys_per_request;
    switch (wire->options.workload) {
    case WIRE_SET: make_command(wire, &wire->write, "SET", 1, true); break;
    case WIRE_GET: make_command(wire, &wire->read, "GET", 1, false); break;
    case WIRE_MIX:
        make_command(wire, &wire->read, "GET", 1, false);
        make_command(wire, &wire->write, "SET", 1, true);
        break;
    case WIRE_INCR: make_command(wire, &wire->write, "INCR", 1, false); break;
    case WIRE_MSET: make_command(wire, &wire->write, "MSET", many, true); break;
    case WIRE_MGET: make_command(wire, &wire->read, "MGET", many, false); break;
    case WIRE_PING: make_command(wire, &wire->read, "PING", 0, false); break;
    case WIRE_HSET: make_add(wire, "HSET", "f"); break;
    case WIRE_LPUSH: make_add(wire, "LPUSH", NULL); break;
    case WIRE_SADD: make_add(wire, "SADD", NULL); break;
    case WIRE_ZADD: make_add(wire, "ZADD", "1"); break;
    case WIRE_XADD: make_entry(wire); break;
    case WIRE_LIMITER: make_limiter(wire); break;
    case WIRE_WORKLOAD_COUNT: assert(false);
    }
}

struct wire *wire_new(const struct wire_options *options)
{
    assert(options->value_size <= WIRE_VALUE_SIZE_MAX);
    assert(options->keys_per_request <= WIRE_KEYS_PER_REQUEST_MAX);
    struct wire *wire = calloc(1, sizeof *wire);
    assert(wire != NULL);
    wire->options = *options;
    key_pick_init(&wire->pick, options->dist, options->keys, options->theta, options->seed);
    rand_init(&wire->rand, options->seed + 1);
    wire->pool = malloc(WIRE_POOL_SIZE + options->value_size);
    assert(wire->pool != NULL);
    for (size_t i = 0; i < WIRE_POOL_SIZE + options->value_size; i++) {
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        wire->pool[i] = (uint8_t)letters[rand_below(&wire->rand, 64)];
    }
    buf_init(&wire->read.bytes, WIRE_TEMPLATE_SIZE_MAX);
    buf_init(&wire->write.bytes, WIRE_TEMPLATE_SIZE_MAX);
    if (options->protocol == WIRE_ETCD) {
        wire_private_make_etcd(wire);
    } else {
        wire_private_make_resp(wire);
    }
    return wire;
}

void wire_free(struct wire *wire)
{
    buf_deinit(&wire->read.bytes);
    buf_deinit(&wire->write.bytes);
    free(wire->pool);
    free(wire);
}

void wire_begin(struct wire *wire, struct wire_state *state, struct buf *out)
{
    *state = (struct wire_state){0};
    if (wire->options.protocol == WIRE_ETCD) {
        wire_private_begin_etcd(state, out);
    }
}

void wire_request(struct wire *wire, struct wire_state *state, struct buf *out)
{
    if (wire->options.protocol == WIRE_ETCD) {
        wire_private_request_etcd(wire, state, out);
    } else {
        (void)wire_private_fill(wire, wire_private_choose(wire), out);
    }
}

static enum status read_resp(struct slice input, struct wire_reply *reply, size_t *size_used)
{
    enum status status = resp_value_size(input, WIRE_REPLY_SIZE_MAX, size_used);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t type = input.data[0];
    reply->whole = type != '>';
    reply->failed = type == '-' || type == '!';
    reply->missing = type == '_' || (*size_used >= 5 && input.data[1] == '-' && type == '$');
    if (reply->failed) {
        reply->text = slice_of(input.data + 1, *size_used - 3);
    }
    return STATUS_OK;
}

enum status wire_read(struct wire *wire,
                      struct wire_state *state,
                      struct slice input,
                      struct buf *out,
                      struct wire_reply *reply,
                      size_t *size_used)
{
    *reply = (struct wire_reply){0};
    if (input.len == 0) {
        return STATUS_AGAIN;
    }
    if (wire->options.protocol == WIRE_ETCD) {
        return wire_private_read_etcd(state, input, out, reply, size_used);
    }
    return read_resp(input, reply, size_used);
}
