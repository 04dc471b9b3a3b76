#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/sha1.h"
#include "common/proto/resp.h"
#include "router/core.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_mix.h"

/* A client: one command at a time on a few keys through a router, every call and return written
 * down. Values that are set are unique, so that a read says which write it saw. Some of the
 * commands are writes to collections, which are not in the history. */

enum {
    ARGC_MAX = 6,
    TEXT_SIZE = 40,
    SCRIPT_PERMILLE = 250,  /* Of the commands are asked for by a script that does the same. */
    SHA_PERMILLE = 500,     /* Of these by its SHA-1: some shard or other has run it before. */
    LONG_PERMILLE = 10,     /* Of these take longer than a loop allows. */
    MOVE_PERMILLE = 60,     /* Of all move an amount between two keys. */
    STRAY_PERMILLE = 50,    /* Go through another router than usual. */
    MIXED_PERMILLE = 150,   /* Of all change collections. */
    REPLICA_PERMILLE = 500, /* Of the reads may be answered by replicas, */
    BOUNDED_PERMILLE = 400, /* of these with a bound, */
    BOUND_MS_MAX = 2000,    /* up to this. */
};

struct call {
    struct core_request request;
    struct sim_client *client;
    struct sim_router *router;
    size_t op;
    enum history_kind kind;
    bool mixed; /* In no history: what it leaves is compared. */
    struct sim_mix mix;
    bool moves; /* An amount between two keys: in no history, but the sum must stay. */
    char texts[ARGC_MAX][TEXT_SIZE];
    struct slice argv[ARGC_MAX];
    char script[256];
    char sha[SHA1_HEX_SIZE + 1];
};

struct sim_client {
    struct sim *sim;
    unsigned index;
    uint64_t next_value;
    struct call *call;
    bool stopped;
};

static void begin(void *arg);

/* What does the same as a command, by several, so that it shows if they are torn apart or done
 * twice. */
static const char *const scripts[HISTORY_KIND_COUNT] = {
    [HISTORY_GET] =
        "if redis.call('exists',KEYS[1]) == 0 then return false end "
        "return redis.call('get',KEYS[1])",
    [HISTORY_SET] = "redis.call('del',KEYS[1]) redis.call('append',KEYS[1],ARGV[1]) return 1",
    [HISTORY_SETNX] =
        "if redis.call('exists',KEYS[1]) == 1 then return 0 end "
        "redis.call('set',KEYS[1],ARGV[1]) return 1",
    [HISTORY_GETSET] =
        "local old = redis.call('get',KEYS[1]) redis.call('set',KEYS[1],ARGV[1]) "
        "return old",
    [HISTORY_GETDEL] =
        "local old = redis.call('get',KEYS[1]) if old then "
        "redis.call('del',KEYS[1]) end return old",
    [HISTORY_DEL] = "local n = redis.call('exists',KEYS[1]) redis.call('del',KEYS[1]) return n",
    [HISTORY_EXISTS] = "return redis.call('exists',KEYS[1])",
    [HISTORY_INCRBY] =
        "for i = 1, ARGV[1] do redis.call('incr',KEYS[1]) end "
        "redis.call('pexpire',KEYS[1],100000000) "
        "return tonumber(redis.call('get',KEYS[1]))",
    [HISTORY_APPEND] = "redis.call('append',KEYS[1],ARGV[1]) return redis.call('strlen',KEYS[1])",
};
static const char long_prefix[] = "for i = 1, 500000 do end ";
static const char move_script[] =
    "redis.call('decrby',KEYS[1],ARGV[1]) redis.call('incrby',KEYS[2],ARGV[1]) "
    "return redis.call('get',KEYS[1]) + redis.call('get',KEYS[2])";

static const struct {
    enum history_kind kind;
    const char *name;
    unsigned weight;
} kinds[] = {
    {HISTORY_GET, "get", 40},      {HISTORY_SET, "set", 25},      {HISTORY_INCRBY, "incrby", 12},
    {HISTORY_DEL, "del", 4},       {HISTORY_SETNX, "setnx", 5},   {HISTORY_GETSET, "getset", 4},
    {HISTORY_GETDEL, "getdel", 3}, {HISTORY_EXISTS, "exists", 4}, {HISTORY_APPEND, "append", 3},
};

static void next_later(struct sim_client *client)
{
    struct sim *sim = client->sim;
    sim_after(sim, NULL, sim_random_ns(sim, SIM_MS / 10, 30 * SIM_MS), begin, client);
}

/* What the reply says of the outcome, in the history's words. */
static enum history_outcome outcome_of(struct call *call, struct slice reply, struct slice *result)
{
    struct resp_value value;
    if (resp_value_read(reply, &value) != STATUS_OK) {
        sim_fail(call->client->sim, "a reply that is no RESP value: %.*s", (int)reply.len,
                 (const char *)reply.data);
    }
    if (value.type != '-') {
        *result = value.null ? slice_of(NULL, 0) : value.bytes;
        return HISTORY_OK;
    }
    struct sim *sim = call->client->sim;
    bool user_error = value.bytes.len >= 4 && memcmp(value.bytes.data, "ERR ", 4) == 0;
    bool read = call->kind == HISTORY_GET || call->kind == HISTORY_EXISTS;
    static const char known[] = "ERR value is not an integer";
    if (user_error && memcmp(value.bytes.data, known, sizeof(known) - 1) != 0) {
        sim_fail(sim, "client %u: %.*s", call->client->index, (int)value.bytes.len,
                 (const char *)value.bytes.data);
    }
    static const char unknown[] = "NOSCRIPT";
    if (value.bytes.len > 8 && memcmp(value.bytes.data, unknown, sizeof(unknown) - 1) == 0) {
        return HISTORY_FAIL; /* Whatever was tried before, nothing was done. */
    }
    if (user_error) {
        return HISTORY_FAIL; /* INCRBY of what is no number: nothing changed. */
    }
    sim->errors++;
    sim_trace(sim, "client %u: %.*s", call->client->index, (int)value.bytes.len,
              (const char *)value.bytes.data);
    sim->unknowns += !read;
    return read ? HISTORY_FAIL : HISTORY_UNKNOWN;
}

static void on_mixed(struct core_request *request, struct slice reply)
{
    struct call *call = list_entry(request, struct call, request);
    struct sim_client *client = call->client;
    size_t size = 0;
    assert(client->call == call);
    if (resp_value_size(reply, reply.len, &size) != STATUS_OK || size != reply.len) {
        sim_fail(client->sim, "a reply that is no RESP value: %.*s", (int)reply.len,
                 (const char *)reply.data);
    }
    static const char *const wrong[] = {"-ERR syntax", "-ERR wrong number", "-ERR unknown"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t len = strlen(wrong[i]);
        if (reply.len > len && memcmp(reply.data, wrong[i], len) == 0) {
            sim_fail(client->sim, "%.*s: %.*s", (int)call->mix.argv[0].len,
                     (const char *)call->mix.argv[0].data, (int)reply.len,
                     (const char *)reply.data);
        }
    }
    client->call = NULL;
    free(call);
    next_later(client);
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct call *call = list_entry(request, struct call, request);
    struct sim_client *client = call->client;
    struct sim *sim = client->sim;
    assert(client->call == call);
    if (call->moves) {
        bool wrong = reply.len > 4 && memcmp(reply.data, "-ERR", 4) == 0;
        if (wrong || (reply.data[0] == ':' && !slice_equal(reply, slice_str(":0\r\n")))) {
            sim_fail(sim, "a script saw half of another: %.*s", (int)reply.len,
                     (const char *)reply.data);
        }
        client->call = NULL;
        free(call);
        next_later(client);
        return;
    }
    struct slice result = slice_of(NULL, 0);
    enum history_outcome outcome = outcome_of(call, reply, &result);
    char number[32];
    if (outcome == HISTORY_OK && reply.data[0] == ':') {
        struct resp_value value;
        enum status status = resp_value_read(reply, &value);
        assert(status == STATUS_OK);
        (void)snprintf(number, sizeof(number), "%lld", (long long)value.number);
        result = slice_str(number);
    }
    history_return(&sim->history, call->op, sim->now_ns, outcome, result);
    if (outcome == HISTORY_OK && call->kind != HISTORY_GET && call->kind != HISTORY_EXISTS) {
        sim_echo_written(sim, call->router, slice_str(call->texts[1]));
    }
    client->call = NULL;
    free(call);
    next_later(client);
}

static enum history_kind pick_kind(struct sim *sim)
{
    unsigned total = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        total += kinds[i].weight;
    }
    uint64_t at = rand_below(&sim->rand, total);
    size_t i = 0;
    while (at >= kinds[i].weight) {
        at -= kinds[i++].weight;
    }
    return kinds[i].kind;
}

static const char *name_of(enum history_kind kind)
{
    size_t i = 0;
    while (kinds[i].kind != kind) {
        i++;
    }
    return kinds[i].name;
}

static bool takes_argument(enum history_kind kind)
{
    return kind == HISTORY_SET || kind == HISTORY_SETNX || kind == HISTORY_GETSET ||
           kind == HISTORY_INCRBY || kind == HISTORY_APPEND;
}

/* Half of the keys are counters, so that values and numbers do not meet. */
static void fill(struct call *call)
{
    struct sim_client *client = call->client;
    struct sim *sim = client->sim;
    unsigned key = (unsigned)rand_below(&sim->rand, sim->options.keys);
    bool counter = key % 2 == 0;
    do {
        call->kind = pick_kind(sim);
    } while (counter ? call->kind == HISTORY_SET || call->kind == HISTORY_SETNX ||
                           call->kind == HISTORY_GETSET || call->kind == HISTORY_APPEND
                     : call->kind == HISTORY_INCRBY);
    (void)snprintf(call->texts[0], TEXT_SIZE, "%s", name_of(call->kind));
    (void)snprintf(call->texts[1], TEXT_SIZE, "%s%u", counter ? "count" : "key", key);
    if (call->kind == HISTORY_INCRBY) {
        (void)snprintf(call->texts[2], TEXT_SIZE, "%u", 1 + (unsigned)rand_below(&sim->rand, 3));
    } else {
        (void)snprintf(call->texts[2], TEXT_SIZE, "c%u.%llu.", client->index,
                       (unsigned long long)client->next_value++);
    }
}

/* Of an EVAL. */
static void ask_by_sha(struct call *call, bool reads)
{
    sha1_hex(call->argv[1], call->sha);
    call->argv[1] = slice_str(call->sha);
    call->argv[0] = slice_str(reads ? "evalsha_ro" : "evalsha");
}

/* Turns the command into a script that does the same; returns the number of arguments. */
static size_t ask_script(struct call *call, size_t argc)
{
    struct sim *sim = call->client->sim;
    bool reads = call->kind == HISTORY_GET || call->kind == HISTORY_EXISTS;
    const char *prefix = sim_chance(sim, LONG_PERMILLE) ? long_prefix : "";
    (void)snprintf(call->script, sizeof(call->script), "%s%s", prefix, scripts[call->kind]);
    call->argv[4] = call->argv[2];
    call->argv[3] = call->argv[1];
    call->argv[2] = slice_str("1");
    call->argv[1] = slice_str(call->script);
    reads = reads && sim_chance(sim, 500);
    call->argv[0] = slice_str(reads ? "eval_ro" : "eval");
    if (sim_chance(sim, SHA_PERMILLE)) {
        ask_by_sha(call, reads);
    }
    return argc + 2;
}

static void ask_move(struct call *call)
{
    call->moves = true;
    call->argv[0] = slice_str("eval");
    call->argv[1] = slice_str(move_script);
    call->argv[2] = slice_str("2");
    call->argv[3] = slice_str("{move}a");
    call->argv[4] = slice_str("{move}b");
    call->argv[5] = slice_str("3");
}

struct sim_router *sim_client_router(struct sim *sim, unsigned client, struct sim_actor **actor)
{
    /* Mostly the same, or a cut would soon have all clients wait behind it. */
    unsigned first = sim_chance(sim, STRAY_PERMILLE)
                         ? (unsigned)rand_below(&sim->rand, sim->options.routers)
                         : client;
    for (unsigned i = 0; i < sim->options.routers; i++) {
        struct sim_router *router = sim->routers[(first + i) % sim->options.routers];
        *actor = &sim->actors[sim->options.nodes + (first + i) % sim->options.routers];
        if (sim_router_core(router) != NULL && !(*actor)->paused) {
            return router;
        }
    }
    return NULL;
}

/* When the read is to count as asked for: what it sees may be as old as its bound, by a clock that
 * drifts. */
static uint64_t choose_replica(struct call *call)
{
    struct sim *sim = call->client->sim;
    bool reads = call->kind == HISTORY_GET || call->kind == HISTORY_EXISTS;
    call->request.replica = reads && sim_chance(sim, REPLICA_PERMILLE);
    if (!call->request.replica || !sim_chance(sim, BOUNDED_PERMILLE)) {
        return sim->now_ns;
    }
    call->request.bound_ms = 1 + rand_below(&sim->rand, BOUND_MS_MAX);
    uint64_t bound_ns = call->request.bound_ms * 1001000;
    return sim->now_ns > bound_ns ? sim->now_ns - bound_ns : 0;
}

/* A command of the history, or a script. */
static void ask(struct call *call)
{
    struct sim *sim = call->client->sim;
    fill(call);
    size_t argc = takes_argument(call->kind) ? 3 : 2;
    for (size_t i = 0; i < argc; i++) {
        call->argv[i] = slice_str(call->texts[i]);
    }
    if (sim_chance(sim, MOVE_PERMILLE)) {
        ask_move(call);
        argc = 6;
    } else {
        uint64_t asked_ns = choose_replica(call);
        call->op = history_invoke(&sim->history, asked_ns, call->client->index, call->kind,
                                  call->argv[1], argc == 3 ? call->argv[2] : slice_of(NULL, 0));
        argc = sim_chance(sim, SCRIPT_PERMILLE) ? ask_script(call, argc) : argc;
    }
    call->request.args = (struct args){.argv = call->argv, .argc = argc};
    call->request.on_done = on_done;
}

static void begin(void *arg)
{
    struct sim_client *client = arg;
    struct sim *sim = client->sim;
    struct sim_actor *actor = NULL;
    struct sim_router *router = sim_client_router(sim, client->index, &actor);
    if (client->stopped) {
        return;
    }
    if (router == NULL) {
        next_later(client);
        return;
    }
    struct call *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    call->client = client;
    call->router = router;
    client->call = call;
    call->mixed = sim_chance(sim, MIXED_PERMILLE);
    if (call->mixed) {
        sim_mix_fill(&call->mix, &sim->rand);
        call->request.args = (struct args){.argv = call->mix.argv, .argc = call->mix.argc};
        call->request.on_done = on_mixed;
    } else {
        ask(call);
    }
    call->request.command = command_find(call->request.args.argv[0]);
    assert(call->request.command != NULL);
    sim_enter(actor);
    core_execute(sim_router_core(router), &call->request);
    sim_turn(actor);
}

void sim_client_make(struct sim *sim, unsigned index)
{
    struct sim_client *client = calloc(1, sizeof(*client));
    assert(client != NULL);
    client->sim = sim;
    client->index = index;
    sim->clients[index] = client;
    next_later(client);
}

void sim_client_orphan(struct sim *sim, const struct sim_router *router)
{
    for (unsigned i = 0; i < sim->options.clients; i++) {
        struct sim_client *client = sim->clients[i];
        if (client == NULL || client->call == NULL || client->call->router != router) {
            continue;
        }
        bool read = client->call->kind == HISTORY_GET || client->call->kind == HISTORY_EXISTS;
        if (client->call->moves || client->call->mixed) {
            client->call = NULL;
            next_later(client);
            continue;
        }
        history_return(&sim->history, client->call->op, sim->now_ns,
                       read ? HISTORY_FAIL : HISTORY_UNKNOWN, slice_of(NULL, 0));
        client->call = NULL; /* Its memory went with the router. */
        next_later(client);
    }
}

void sim_client_stop(struct sim_client *client)
{
    client->stopped = true;
}

bool sim_client_idle(const struct sim_client *client)
{
    return client->stopped && client->call == NULL;
}
