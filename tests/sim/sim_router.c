#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "router/core.h"
#include "tests/sim/sim.h"

/* One router process: its core, and connections to nodes. */

struct sim_router {
    struct sim *sim;
    struct sim_actor *actor;
    unsigned index;
    struct core *core;
    struct map links; /* link + 1 -> struct sim_conn */
    struct buf saved_map;
    uint64_t due_ms; /* Of the tick that is under way. */
};

static uint64_t now_ms(void *ctx)
{
    (void)ctx;
    return clock_now_ms();
}

static struct buf *on_send(void *ctx, unsigned link)
{
    struct sim_router *router = ctx;
    struct sim_conn *conn = map_get(&router->links, link + 1);
    return conn == NULL ? NULL : sim_out(conn, router->actor);
}

static void on_up(void *arg, struct sim_conn *conn, const struct frame_hello *hello)
{
    struct sim_router *router = arg;
    core_link_up(router->core, (unsigned)conn->id, hello);
}

static void on_frame(void *arg, struct sim_conn *conn, const struct frame *frame)
{
    struct sim_router *router = arg;
    if (core_frame(router->core, (unsigned)conn->id, frame) != STATUS_OK) {
        sim_fail(router->sim, "the router refused a frame of a sound node");
    }
}

static void on_down(void *arg, struct sim_conn *conn)
{
    struct sim_router *router = arg;
    core_link_down(router->core, (unsigned)conn->id);
}

static void on_connect(void *ctx, unsigned link, const char *address)
{
    struct sim_router *router = ctx;
    struct sim_end end = {.on_up = on_up, .on_frame = on_frame, .on_down = on_down, .arg = router};
    struct sim_conn *old =
        map_put(&router->links, link + 1, sim_dial(router->actor, address, link, &end));
    assert(old == NULL);
}

static void on_disconnect(void *ctx, unsigned link)
{
    struct sim_router *router = ctx;
    struct sim_conn *conn = map_remove(&router->links, link + 1);
    assert(conn != NULL);
    sim_hang_up(conn);
}

static void on_save_map(void *ctx, struct slice bytes)
{
    struct sim_router *router = ctx;
    buf_clear(&router->saved_map);
    buf_append_slice(&router->saved_map, bytes);
}

static void tick(void *arg)
{
    struct sim_router *router = arg;
    router->due_ms = 0;
    core_tick(router->core);
    sim_turn(router->actor);
}

void sim_router_turn(struct sim_router *router)
{
    uint64_t next_ms = core_next_ms(router->core);
    uint64_t present_ms = clock_now_ms();
    uint64_t at_ms = next_ms <= present_ms ? present_ms + 1 : next_ms;
    if (at_ms > present_ms + 1000) {
        at_ms = present_ms + 1000;
    }
    if (router->due_ms != 0 && router->due_ms <= at_ms) {
        return;
    }
    router->due_ms = at_ms;
    sim_after(router->sim, router->actor, (at_ms - present_ms) * SIM_MS, tick, router);
}

void sim_router_make(struct sim *sim, unsigned index)
{
    struct sim_router *router = calloc(1, sizeof(*router));
    assert(router != NULL);
    sim->routers[index] = router;
    router->sim = sim;
    router->index = index;
    router->actor = &sim->actors[sim->options.nodes + index];
    buf_init(&router->saved_map, 1 << 24);
}

void sim_router_start(struct sim_router *router)
{
    struct sim_actor *actor = router->actor;
    struct sim *sim = router->sim;
    assert(!actor->alive);
    actor->alive = true;
    actor->paused = false;
    actor->life++;
    sim_enter(actor);
    map_init(&router->links);
    router->due_ms = 0;
    char addresses[SIM_NODES_MAX][32];
    const char *seeds[SIM_NODES_MAX];
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        sim_address(i, addresses[i]);
        seeds[i] = addresses[i];
    }
    struct core_options options = {.seed = rand_u64(&sim->rand),
                                   .session = rand_u64(&sim->rand) | 1,
                                   .seeds = seeds,
                                   .seed_count = sim->options.nodes,
                                   .saved_map = buf_slice(&router->saved_map)};
    struct core_env env = {.ctx = router,
                           .now_ms = now_ms,
                           .send = on_send,
                           .connect = on_connect,
                           .disconnect = on_disconnect,
                           .save_map = on_save_map};
    router->core = core_new(&options, &env);
    sim_turn(actor);
}

void sim_router_crash(struct sim_router *router)
{
    assert(router->actor->alive);
    sim_trace(router->sim, "crash of router %u", router->index + 1);
    router->sim->crashes++;
    router->actor->alive = false;
    router->actor->paused = false;
    list_init(&router->actor->deferred);
    sim_drop_all(router->actor);
    router->core = NULL;
    sim_client_orphan(router->sim, router);
    sim_echo_orphan(router->sim, router);
    sim_queue_orphan(router->sim, router);
    sim_teller_orphan(router->sim, router);
}

struct core *sim_router_core(const struct sim_router *router)
{
    return router->actor->alive ? router->core : NULL;
}

/* ---- what the network asks of an actor ---- */

void sim_actor_hello(struct sim_actor *actor, struct frame_hello *hello)
{
    struct sim *sim = actor->sim;
    if (actor->index < sim->options.nodes) {
        sim_node_hello(sim->nodes[actor->index], hello);
        return;
    }
    *hello = (struct frame_hello){.version = FRAME_VERSION, .role = FRAME_ROLE_ROUTER};
}

void sim_actor_accept(struct sim_actor *actor,
                      struct sim_conn *conn,
                      const struct frame_hello *hello)
{
    struct sim *sim = actor->sim;
    assert(actor->index < sim->options.nodes);
    sim_node_accept(sim->nodes[actor->index], conn, hello);
}
