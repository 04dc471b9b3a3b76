#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "router/core.h"
#include "tests/sim/sim.h"

/* Reads of keys that someone was just told were written, each through a router that did not write:
 * a leader that was replaced and does not know it answers them with what was there before. Clients
 * alone would hardly ever ask it in time, since they soon hang on the shards that it cannot serve.
 */

enum { ECHOES_MAX = 1024, KEY_SIZE = 40, ECHO_PERMILLE = 700 };

struct echo {
    struct core_request request;
    struct sim_echo *all;
    struct sim_router *router; /* NULL: not asked yet. */
    size_t op;
    unsigned slot;
    unsigned index; /* Of the router. */
    char key[KEY_SIZE];
    struct slice argv[2];
};

struct sim_echo {
    struct sim *sim;
    struct echo *slots[ECHOES_MAX];
};

void sim_echo_make(struct sim *sim)
{
    struct sim_echo *all = calloc(1, sizeof(*all));
    assert(all != NULL);
    all->sim = sim;
    sim->echo = all;
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct echo *echo = list_entry(request, struct echo, request);
    struct sim *sim = echo->all->sim;
    struct resp_value value;
    if (resp_value_read(reply, &value) != STATUS_OK) {
        sim_fail(sim, "a reply that is no RESP value: %.*s", (int)reply.len,
                 (const char *)reply.data);
    }
    bool error = value.type == '-';
    history_return(&sim->history, echo->op, sim->now_ns, error ? HISTORY_FAIL : HISTORY_OK,
                   error || value.null ? slice_of(NULL, 0) : value.bytes);
    echo->all->slots[echo->slot] = NULL;
    free(echo);
}

static unsigned free_slot(const struct sim_echo *all)
{
    unsigned slot = 0;
    while (slot < ECHOES_MAX && all->slots[slot] != NULL) {
        slot++;
    }
    return slot;
}

/* Later than the write returned, so that it may not take the place before it. */
static void begin(void *arg)
{
    struct echo *echo = arg;
    struct sim *sim = echo->all->sim;
    struct sim_actor *actor = &sim->actors[sim->options.nodes + echo->index];
    if (!actor->alive || actor->paused) {
        echo->all->slots[echo->slot] = NULL;
        free(echo);
        return;
    }
    echo->router = sim->routers[echo->index];
    echo->op = history_invoke(&sim->history, sim->now_ns, sim->options.clients + echo->slot,
                              HISTORY_GET, echo->argv[1], slice_of(NULL, 0));
    sim_enter(actor);
    core_execute(sim_router_core(echo->router), &echo->request);
    sim_turn(actor);
}

static void read_through(struct sim_echo *all, unsigned index, struct slice key)
{
    struct sim *sim = all->sim;
    unsigned slot = free_slot(all);
    if (slot == ECHOES_MAX) {
        return;
    }
    struct echo *echo = calloc(1, sizeof(*echo));
    assert(echo != NULL && key.len < KEY_SIZE);
    memcpy(echo->key, key.data, key.len);
    echo->all = all;
    echo->slot = slot;
    echo->index = index;
    echo->argv[0] = slice_str("get");
    echo->argv[1] = slice_of(echo->key, key.len);
    echo->request.command = command_find(echo->argv[0]);
    echo->request.args = (struct args){.argv = echo->argv, .argc = 2};
    echo->request.on_done = on_done;
    all->slots[slot] = echo;
    sim_after(sim, NULL, sim_random_ns(sim, 1, 3 * SIM_MS), begin, echo);
}

void sim_echo_written(struct sim *sim, const struct sim_router *writer, struct slice key)
{
    for (unsigned i = 0; i < sim->options.routers; i++) {
        if (sim->routers[i] != writer && sim_chance(sim, ECHO_PERMILLE)) {
            read_through(sim->echo, i, key);
        }
    }
}

void sim_echo_orphan(struct sim *sim, const struct sim_router *router)
{
    for (unsigned i = 0; sim->echo != NULL && i < ECHOES_MAX; i++) {
        struct echo *echo = sim->echo->slots[i];
        if (echo != NULL && echo->router == router) {
            history_return(&sim->history, echo->op, sim->now_ns, HISTORY_FAIL, slice_of(NULL, 0));
            sim->echo->slots[i] = NULL; /* Its memory went with the router. */
        }
    }
}

bool sim_echo_idle(const struct sim *sim)
{
    for (unsigned i = 0; i < ECHOES_MAX; i++) {
        if (sim->echo->slots[i] != NULL) {
            return false;
        }
    }
    return true;
}
