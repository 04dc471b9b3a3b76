#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/block.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "router/core.h"
#include "tests/sim/sim.h"

/* Clients that push elements to lists and take them by commands that wait, while things go wrong.
 * Every element is a number of its own, so that what became of it can be told at the end:
 *
 *   delivered   to one client, once
 *   left        in its list, once, and then nobody got it
 *   lost        only if someone may have taken it who could not be told: whose router died, who
 *               died itself, or whose outcome is unknown; each of them at most one
 *
 * And nobody waits for a list that has elements. */

enum {
    LISTS = 3,
    ELEMENTS_MAX = 1 << 16,
    BURST = 6,
    ARGC_MAX = BURST + 2,
    TEXT_SIZE = 24,
};

enum element_state { NEVER_PUSHED, PUSHED, MAYBE_PUSHED, NOT_PUSHED };

struct element {
    enum element_state state;
    uint8_t list;
    uint8_t delivered;
    uint8_t left;
};

struct queue_call {
    struct core_request request;
    struct queue_client *client;
    struct sim_router *router;
    uint64_t number;  /* Of the client's calls: late timers are void. */
    uint64_t element; /* Of a push; no_element: a list gets another name. */
    bool push;
    bool gone;         /* Its client died. */
    bool let_go;       /* By core_unblock(). */
    uint64_t until_ns; /* Before that nothing is no answer. */
    unsigned argc;
    char texts[ARGC_MAX][TEXT_SIZE];
    struct slice argv[ARGC_MAX];
    struct transaction_form form; /* Of a push that is a transaction. */
};

struct queue_client {
    struct sim *sim;
    unsigned index;
    bool pushes;
    uint64_t calls;
    struct queue_call *call;
};

struct sim_queue {
    struct sim *sim;
    struct queue_client clients[SIM_POPPERS_MAX];
    struct element elements[ELEMENTS_MAX];
    uint64_t element_count;
    uint64_t may_have_taken;
    uint64_t delivered;
    bool closed; /* Nothing is pushed any more; then those that wait are let go. */
    bool over;
};

static const uint64_t no_element = UINT64_MAX;

static void begin(void *arg);

static void next_later(struct queue_client *client, uint64_t max_ms)
{
    struct sim *sim = client->sim;
    sim_after(sim, NULL, sim_random_ns(sim, SIM_MS / 10, max_ms * SIM_MS), begin, client);
}

static void free_call(struct queue_call *call)
{
    transaction_form_deinit(&call->form);
    free(call);
}

static void end_call(struct queue_client *client)
{
    client->call = NULL;
    client->calls++;
    next_later(client, client->pushes ? 40 : 10);
}

static void deliver(struct sim_queue *queue, struct slice text)
{
    uint64_t number = 0;
    bool known = number_parse_u64(text, &number) && number < queue->element_count;
    if (!known || queue->elements[number].state == NOT_PUSHED) {
        sim_fail(queue->sim, "an element that was never pushed: %.*s", (int)text.len,
                 (const char *)text.data);
    }
    if (queue->elements[number].delivered++ > 0) {
        sim_fail(queue->sim, "element %llu was delivered twice", (unsigned long long)number);
    }
    queue->delivered++;
}

/* The bulk strings of a reply but for the first, which is the name of the list. */
static void deliver_all(struct sim_queue *queue, struct slice reply)
{
    bool name = true;
    struct resp_value value;
    while (reply.len > 0) {
        enum status status = resp_value_read(reply, &value);
        assert(status == STATUS_OK);
        if (value.type == '$' && !name) {
            deliver(queue, value.bytes);
        }
        name = name && value.type != '$';
        reply = slice_of(reply.data + value.size_used, reply.len - value.size_used);
    }
}

static bool is_unknown(struct slice reply)
{
    return reply.len > 8 && memcmp(reply.data, "-UNKNOWN", 8) == 0;
}

/* Who got nothing has waited as long as he said. */
static void check_time(const struct queue_call *call, struct slice reply)
{
    struct sim *sim = call->client->sim;
    bool nothing = slice_equal(reply, slice_str("*-1\r\n"));
    if (nothing && !call->let_go && sim->now_ns < call->until_ns) {
        sim_fail(sim, "client %u was sent away %.3f ms too early", call->client->index,
                 (double)(call->until_ns - sim->now_ns) / SIM_MS);
    }
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct queue_call *call = list_entry(request, struct queue_call, request);
    struct queue_client *client = call->client;
    struct sim_queue *queue = client->sim->queue;
    assert(client->call == call && !call->gone);
    bool error = reply.data[0] == '-';
    if (error) {
        client->sim->errors++;
        sim_trace(client->sim, "queue client %u: %.*s", client->index, (int)reply.len,
                  (const char *)reply.data);
    }
    if (call->push && call->element != no_element) {
        queue->elements[call->element].state = !error              ? PUSHED
                                               : is_unknown(reply) ? MAYBE_PUSHED
                                                                   : NOT_PUSHED;
    } else if (error && !call->push) {
        queue->may_have_taken += is_unknown(reply);
    } else if (!call->push) {
        check_time(call, reply);
        deliver_all(queue, reply);
    }
    free_call(call);
    end_call(client);
}

static char *next_text(struct queue_call *call)
{
    assert(call->argc < ARGC_MAX);
    return call->texts[call->argc];
}

/* What was written there is an argument. */
static void take_text(struct queue_call *call)
{
    call->argv[call->argc] = slice_str(call->texts[call->argc]);
    call->argc++;
}

static void add_text(struct queue_call *call, const char *text)
{
    (void)snprintf(next_text(call), TEXT_SIZE, "%s", text);
    take_text(call);
}

static void add_list(struct queue_call *call, unsigned list, const char *behind)
{
    (void)snprintf(next_text(call), TEXT_SIZE, "{list%u}%s", list, behind);
    take_text(call);
}

/* Turns a push into a script that does the same. */
static void by_script(struct queue_call *call)
{
    static const char *const texts[] = {"return redis.call('lpush',KEYS[1],ARGV[1])",
                                        "return redis.call('rpush',KEYS[1],ARGV[1])"};
    struct slice *argv = call->argv;
    argv[4] = argv[2];
    argv[3] = argv[1];
    argv[2] = slice_str("1");
    argv[1] = slice_str(texts[argv[0].data[0] == 'r']);
    argv[0] = slice_str("eval");
    call->argc = 5;
}

static void fill_push(struct queue_call *call)
{
    struct sim *sim = call->client->sim;
    struct sim_queue *queue = sim->queue;
    unsigned list = (unsigned)rand_below(&sim->rand, LISTS);
    call->push = true;
    if (sim_chance(sim, 150)) {
        /* Several elements at once, for which nobody is there who is put behind the push. */
        call->element = no_element;
        add_text(call, "renamenx");
        add_list(call, list, "store");
        add_list(call, list, "");
        return;
    }
    call->element = queue->element_count++;
    assert(call->element < ELEMENTS_MAX);
    queue->elements[call->element] = (struct element){.state = MAYBE_PUSHED, .list = (uint8_t)list};
    add_text(call, sim_chance(sim, 500) ? "lpush" : "rpush");
    add_list(call, list, sim_chance(sim, 400) ? "store" : "");
    (void)snprintf(next_text(call), TEXT_SIZE, "%llu", (unsigned long long)call->element);
    take_text(call);
    if (sim_chance(sim, 250)) {
        by_script(call);
    }
}

/* Turns a push into a transaction. */
static void by_transaction(struct queue_call *call)
{
    struct slice look[] = {slice_str("llen"), call->argv[call->argc - 2]};
    struct transaction_item items[] = {{.args = {.argv = look, .argc = 2}},
                                       {.args = {.argv = call->argv, .argc = call->argc}},
                                       {.args = {.argv = look, .argc = 2}}};
    for (size_t i = 0; i < 3; i++) {
        items[i].command = command_find(items[i].args.argv[0]);
    }
    transaction_form_init(&call->form, items, 3, NULL, 0);
}

static void fill_pop(struct queue_call *call)
{
    struct sim *sim = call->client->sim;
    static const char *const names[] = {"blpop", "brpop"};
    const char *timeout = sim_chance(sim, 300) ? "0" : sim_chance(sim, 500) ? "0.05" : "2.5";
    timeout = sim->queue->closed ? "0" : timeout;
    uint64_t timeout_ms = 0;
    const char *error = block_seconds(slice_str(timeout), &timeout_ms);
    assert(error == NULL);
    /* Clocks drift by some tenths of a thousandth, and milliseconds are whole. */
    bool ever = timeout_ms == BLOCK_FOREVER;
    call->until_ns = ever ? UINT64_MAX : sim->now_ns + (timeout_ms - timeout_ms / 500 - 2) * SIM_MS;
    unsigned list = (unsigned)rand_below(&sim->rand, LISTS);
    if (sim_chance(sim, 300)) {
        add_text(call, "blmpop");
        add_text(call, timeout);
        add_text(call, "1");
        add_list(call, list, "");
        add_text(call, "left");
        return;
    }
    add_text(call, names[rand_below(&sim->rand, 2)]);
    add_list(call, list, "");
    if (sim_chance(sim, 200)) {
        add_list(call, list, "other");
    }
    add_text(call, timeout);
}

static struct sim_router *pick_router(struct sim *sim, struct sim_actor **actor)
{
    unsigned first = (unsigned)rand_below(&sim->rand, sim->options.routers);
    for (unsigned i = 0; i < sim->options.routers; i++) {
        unsigned index = (first + i) % sim->options.routers;
        *actor = &sim->actors[sim->options.nodes + index];
        if (sim_router_core(sim->routers[index]) != NULL && !(*actor)->paused) {
            return sim->routers[index];
        }
    }
    return NULL;
}

/* The actor of the call's router, if that lives and is not paused. */
static struct sim_actor *actor_of(struct queue_call *call)
{
    struct sim *sim = call->client->sim;
    for (unsigned i = 0; i < sim->options.routers; i++) {
        struct sim_actor *actor = &sim->actors[sim->options.nodes + i];
        if (sim->routers[i] == call->router && actor->alive && !actor->paused) {
            return actor;
        }
    }
    return NULL;
}

struct interruption {
    struct queue_client *client;
    uint64_t number;
};

/* The client dies, or someone lets it go. */
static void interrupt(void *arg)
{
    struct interruption *interruption = arg;
    struct queue_client *client = interruption->client;
    struct queue_call *call = client->call;
    bool late = call == NULL || client->calls != interruption->number;
    free(interruption);
    struct sim_actor *actor = late ? NULL : actor_of(call);
    if (actor == NULL) {
        return;
    }
    struct core *core = sim_router_core(call->router);
    sim_enter(actor);
    if (sim_chance(client->sim, 500)) {
        call->let_go = true;
        core_unblock(core, &call->request);
    } else {
        call->gone = true;
        core_cancel(core, &call->request);
        client->sim->queue->may_have_taken++;
        free_call(call);
        end_call(client);
    }
    sim_turn(actor);
}

static void interrupt_later(struct queue_client *client)
{
    struct sim *sim = client->sim;
    struct interruption *interruption = calloc(1, sizeof(*interruption));
    assert(interruption != NULL);
    *interruption = (struct interruption){.client = client, .number = client->calls};
    sim_after(sim, NULL, sim_random_ns(sim, SIM_MS / 10, 1500 * SIM_MS), interrupt, interruption);
}

static void execute(struct queue_call *call, struct sim_actor *actor)
{
    call->request.command = command_find(call->argv[0]);
    assert(call->request.command != NULL);
    call->request.args = (struct args){.argv = call->argv, .argc = call->argc};
    if (call->form.argv != NULL) {
        call->request.command = command_at(CMD_batch);
        call->request.args = call->form.args;
    }
    sim_enter(actor);
    core_execute(sim_router_core(call->router), &call->request);
    sim_turn(actor);
}

static void begin(void *arg)
{
    struct queue_client *client = arg;
    struct sim *sim = client->sim;
    struct sim_queue *queue = sim->queue;
    struct sim_actor *actor = NULL;
    struct sim_router *router = pick_router(sim, &actor);
    if (queue->over || (queue->closed && client->pushes)) {
        return;
    }
    if (router == NULL) {
        next_later(client, 30);
        return;
    }
    struct queue_call *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    call->client = client;
    call->router = router;
    if (client->pushes) {
        fill_push(call);
        if (call->element != no_element && sim_chance(sim, 250)) {
            by_transaction(call);
        }
    } else {
        fill_pop(call);
    }
    call->request.on_done = on_done;
    client->call = call;
    /* In half of the runs nobody dies but with a router: then hardly anything may be lost. */
    if (!call->push && sim->options.seed % 2 == 0 && !queue->closed && sim_chance(sim, 150)) {
        interrupt_later(client);
    }
    execute(call, actor);
}

void sim_queue_make(struct sim *sim)
{
    struct sim_queue *queue = calloc(1, sizeof(*queue));
    assert(queue != NULL);
    sim->queue = queue;
    queue->sim = sim;
    for (unsigned i = 0; i < sim->options.poppers; i++) {
        queue->clients[i] = (struct queue_client){.sim = sim, .index = i, .pushes = i % 3 == 0};
        next_later(&queue->clients[i], 30);
    }
}

void sim_queue_orphan(struct sim *sim, const struct sim_router *router)
{
    for (unsigned i = 0; sim->queue != NULL && i < sim->options.poppers; i++) {
        struct queue_client *client = &sim->queue->clients[i];
        if (client->call != NULL && client->call->router == router) {
            /* A push stays one that may have been; the memory went with the router. */
            sim->queue->may_have_taken += !client->call->push;
            end_call(client);
        }
    }
}

void sim_queue_close(struct sim *sim)
{
    sim->queue->closed = true;
}

static void on_burst(struct core_request *request, struct slice reply)
{
    struct queue_call *call = list_entry(request, struct queue_call, request);
    struct sim *sim = call->client->sim;
    if (reply.data[0] == '-') {
        sim_fail(sim, "a push in peace failed: %.*s", (int)reply.len, (const char *)reply.data);
    }
    free(call);
}

static struct queue_call *burst_call(struct sim *sim, struct sim_router *router)
{
    struct queue_call *call = calloc(1, sizeof(*call));
    assert(call != NULL);
    call->client = &sim->queue->clients[0];
    call->router = router;
    call->push = true;
    call->request.on_done = on_burst;
    return call;
}

void sim_queue_burst(struct sim *sim)
{
    struct sim_queue *queue = sim->queue;
    struct sim_actor *actor = NULL;
    struct sim_router *router = pick_router(sim, &actor);
    assert(router != NULL);
    for (unsigned list = 0; list < LISTS; list++) {
        struct queue_call *push = burst_call(sim, router);
        add_text(push, "rpush");
        add_list(push, list, "store");
        for (unsigned i = 0; i < BURST; i++) {
            uint64_t element = queue->element_count++;
            assert(element < ELEMENTS_MAX);
            queue->elements[element] = (struct element){.state = PUSHED, .list = (uint8_t)list};
            (void)snprintf(next_text(push), TEXT_SIZE, "%llu", (unsigned long long)element);
            take_text(push);
        }
        execute(push, actor);
        struct queue_call *name = burst_call(sim, router);
        add_text(name, "renamenx");
        add_list(name, list, "store");
        add_list(name, list, "");
        execute(name, actor);
    }
}

void sim_queue_let_go(struct sim *sim)
{
    struct sim_queue *queue = sim->queue;
    queue->over = true;
    for (unsigned i = 0; i < sim->options.poppers; i++) {
        struct queue_call *call = queue->clients[i].call;
        struct sim_actor *actor = call == NULL || call->push ? NULL : actor_of(call);
        if (actor != NULL) {
            sim_enter(actor);
            call->let_go = true;
            core_unblock(sim_router_core(call->router), &call->request);
            sim_turn(actor);
        }
    }
}

bool sim_queue_idle(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->options.poppers; i++) {
        if (sim->queue->clients[i].call != NULL) {
            return false;
        }
    }
    return true;
}

/* What the lists have. */

struct reading {
    struct core_request request;
    struct sim_queue *queue;
    char key[TEXT_SIZE];
    unsigned list;
    bool store; /* Nobody waits for that. */
    struct slice argv[4];
};

static bool waits_for(const struct sim_queue *queue, unsigned list)
{
    char key[TEXT_SIZE];
    (void)snprintf(key, sizeof(key), "{list%u}", list);
    for (unsigned i = 0; i < queue->sim->options.poppers; i++) {
        const struct queue_call *call = queue->clients[i].call;
        for (unsigned k = 1; call != NULL && !call->push && k < call->argc; k++) {
            if (slice_equal(call->argv[k], slice_str(key)) && call->request.waited) {
                return true;
            }
        }
    }
    return false;
}

static void note_left(struct sim_queue *queue, unsigned list, struct slice text)
{
    uint64_t number = 0;
    bool known = number_parse_u64(text, &number) && number < queue->element_count;
    struct element *element = known ? &queue->elements[number] : NULL;
    if (element == NULL || element->list != list || element->state == NOT_PUSHED ||
        element->delivered > 0 || element->left++ > 0) {
        sim_fail(queue->sim, "list %u has %.*s, which should not be there", list, (int)text.len,
                 (const char *)text.data);
    }
}

static void on_read(struct core_request *request, struct slice reply)
{
    struct reading *reading = list_entry(request, struct reading, request);
    struct sim_queue *queue = reading->queue;
    struct resp_value value;
    enum status status = resp_value_read(reply, &value);
    assert(status == STATUS_OK && value.type == '*');
    bool asked = !queue->over && !reading->store && value.number > 0;
    if (asked && waits_for(queue, reading->list)) {
        sim_fail(queue->sim, "a client waits for list %u, which has %lld elements", reading->list,
                 (long long)value.number);
    }
    int64_t count = queue->over ? value.number : 0;
    size_t at = value.size_used;
    for (int64_t i = 0; i < count; i++) {
        status = resp_value_read(slice_of(reply.data + at, reply.len - at), &value);
        assert(status == STATUS_OK);
        note_left(queue, reading->list, value.bytes);
        at += value.size_used;
    }
    free(reading);
}

void sim_queue_read(struct sim *sim)
{
    struct sim_actor *actor = NULL;
    struct sim_router *router = pick_router(sim, &actor);
    assert(router != NULL);
    for (unsigned i = 0; i < 2 * LISTS; i++) {
        struct reading *reading = calloc(1, sizeof(*reading));
        assert(reading != NULL);
        reading->queue = sim->queue;
        reading->list = i / 2;
        reading->store = i % 2 == 1;
        (void)snprintf(reading->key, sizeof(reading->key), "{list%u}%s", reading->list,
                       reading->store ? "store" : "");
        reading->argv[0] = slice_str("lrange");
        reading->argv[1] = slice_str(reading->key);
        reading->argv[2] = slice_str("0");
        reading->argv[3] = slice_str("-1");
        reading->request.command = command_find(reading->argv[0]);
        reading->request.args = (struct args){.argv = reading->argv, .argc = 4};
        reading->request.on_done = on_read;
        sim_enter(actor);
        core_execute(sim_router_core(router), &reading->request);
        sim_turn(actor);
    }
}

void sim_queue_check(struct sim *sim)
{
    struct sim_queue *queue = sim->queue;
    uint64_t lost = 0;
    for (uint64_t i = 0; i < queue->element_count; i++) {
        const struct element *element = &queue->elements[i];
        bool there = element->delivered > 0 || element->left > 0;
        lost += element->state == PUSHED && !there;
    }
    if (lost > queue->may_have_taken) {
        sim_fail(sim, "%llu elements are lost, and only %llu clients may have taken one",
                 (unsigned long long)lost, (unsigned long long)queue->may_have_taken);
    }
    sim_trace(sim, "%llu elements, %llu delivered, %llu lost, %llu may have been taken",
              (unsigned long long)queue->element_count, (unsigned long long)queue->delivered,
              (unsigned long long)lost, (unsigned long long)queue->may_have_taken);
}
