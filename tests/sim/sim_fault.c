#include "common/base/assert.h"
#include "tests/sim/sim.h"

/* What goes wrong: every few hundred milliseconds something, and most of it ends by itself. */

static void cut_link(struct sim *sim, unsigned a, unsigned b)
{
    sim->cut[a][b] = true;
    if (sim_chance(sim, 600)) {
        sim->cut[b][a] = true;
    }
}

static unsigned any_actor(struct sim *sim)
{
    return (unsigned)rand_below(&sim->rand, sim->options.nodes + sim->options.routers);
}

static unsigned any_node(struct sim *sim)
{
    return (unsigned)rand_below(&sim->rand, sim->options.nodes);
}

static void isolate(struct sim *sim, unsigned node)
{
    sim_trace(sim, "isolate %u", node + 1);
    for (unsigned i = 0; i < sim->options.nodes + sim->options.routers; i++) {
        if (i != node) {
            sim->cut[i][node] = sim->cut[node][i] = true;
        }
    }
}

/* One node and some routers on one side, the rest on the other: clients here go on asking a leader
 * that those there have replaced. */
static void split(struct sim *sim, unsigned node)
{
    sim_trace(sim, "split off %u", node + 1);
    unsigned count = sim->options.nodes + sim->options.routers;
    bool here[SIM_ACTORS_MAX] = {false};
    here[node] = true;
    for (unsigned i = sim->options.nodes; i < count; i++) {
        here[i] = sim_chance(sim, 500);
    }
    for (unsigned a = 0; a < count; a++) {
        for (unsigned b = 0; b < count; b++) {
            sim->cut[a][b] = sim->cut[a][b] || here[a] != here[b];
        }
    }
}

static void pause_for(struct sim *sim, unsigned index, uint64_t ns);
static void heal_cuts(void *arg);

static void cut_for(struct sim *sim, uint64_t ns)
{
    sim->cuts++;
    sim->cut_until_ns = sim->now_ns + ns;
    sim_after(sim, NULL, ns, heal_cuts, sim);
}

static bool all_run(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->options.nodes + sim->options.routers; i++) {
        if (!sim->actors[i].alive || sim->actors[i].paused) {
            return false;
        }
    }
    return true;
}

/* A leader that one router still asks while the others have replaced it. Often it stands still
 * meanwhile: when it goes on, it takes a while to see that it leads no more. Only where all is
 * well, and mostly nothing else happens meanwhile: then the others do elect another, and soon. */
static bool depose(struct sim *sim)
{
    if (!all_run(sim) || !sim_check_serving(sim)) {
        return false;
    }
    sim->cut_until_ns = 0;
    heal_cuts(sim);
    unsigned first = any_node(sim);
    unsigned node = first;
    do {
        node = (node + 1) % sim->options.nodes;
    } while (node != first && !sim_check_leads(sim, node));
    unsigned count = sim->options.nodes + sim->options.routers;
    unsigned router = sim->options.nodes + (unsigned)rand_below(&sim->rand, sim->options.routers);
    sim_trace(sim, "depose %u, which router %u asks", node + 1, router - sim->options.nodes + 1);
    for (unsigned i = 0; i < count; i++) {
        if (i != node && i != router) {
            sim->cut[i][node] = sim->cut[node][i] = true;
            sim->cut[i][router] = sim->cut[router][i] = true;
        }
    }
    uint64_t paused_ns = 0;
    if (sim_chance(sim, 600)) {
        paused_ns = sim_random_ns(sim, 700 * SIM_MS, 1400 * SIM_MS);
        pause_for(sim, node, paused_ns);
    }
    cut_for(sim, paused_ns + sim_random_ns(sim, 500 * SIM_MS, 1500 * SIM_MS));
    return true;
}

static void heal_cuts(void *arg)
{
    struct sim *sim = arg;
    if (sim->now_ns < sim->cut_until_ns) {
        return; /* Another cut is younger and has its own end. */
    }
    for (unsigned a = 0; a < SIM_ACTORS_MAX; a++) {
        for (unsigned b = 0; b < SIM_ACTORS_MAX; b++) {
            sim->cut[a][b] = false;
        }
    }
}

struct restart {
    struct sim *sim;
    unsigned index;
};

static struct restart restarts[SIM_ACTORS_MAX];

static void restart(void *arg)
{
    struct restart *which = arg;
    struct sim *sim = which->sim;
    if (sim->actors[which->index].alive) {
        return;
    }
    sim_trace(sim, "start of %u", which->index + 1);
    if (which->index < sim->options.nodes) {
        sim_node_start(sim->nodes[which->index]);
    } else {
        sim_router_start(sim->routers[which->index - sim->options.nodes]);
    }
}

static void resume(void *arg)
{
    struct restart *which = arg;
    struct sim_actor *actor = &which->sim->actors[which->index];
    if (actor->alive && actor->paused) {
        sim_trace(which->sim, "resume %u", which->index + 1);
        sim_resume(actor);
    }
}

static struct restart *which_actor(struct sim *sim, unsigned index)
{
    restarts[index] = (struct restart){.sim = sim, .index = index};
    return &restarts[index];
}

static unsigned nodes_alive(const struct sim *sim)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        count += sim->actors[i].alive;
    }
    return count;
}

static void crash(struct sim *sim, unsigned index)
{
    if (!sim->actors[index].alive) {
        return;
    }
    if (index < sim->options.nodes) {
        sim_node_crash(sim->nodes[index]);
    } else {
        sim_router_crash(sim->routers[index - sim->options.nodes]);
    }
    sim_after(sim, NULL, sim_random_ns(sim, 10 * SIM_MS, 3000 * SIM_MS), restart,
              which_actor(sim, index));
}

/* A replaced disk is one failure of the few that a group of three survives: not while another node
 * is down, and only once every replica has caught up with the last one. */
static void wipe(struct sim *sim)
{
    unsigned index = any_node(sim);
    if (nodes_alive(sim) < sim->options.nodes || !sim_check_whole(sim)) {
        return;
    }
    sim_node_crash(sim->nodes[index]);
    sim_node_wipe(sim->nodes[index]);
    sim_after(sim, NULL, sim_random_ns(sim, 10 * SIM_MS, 500 * SIM_MS), restart,
              which_actor(sim, index));
}

static void power_cut(struct sim *sim)
{
    sim_trace(sim, "power cut");
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        crash(sim, i);
    }
}

static void pause_for(struct sim *sim, unsigned index, uint64_t ns)
{
    struct sim_actor *actor = &sim->actors[index];
    if (!actor->alive || actor->paused) {
        return;
    }
    sim_trace(sim, "pause %u", index + 1);
    sim->pauses++;
    actor->paused = true;
    sim_after(sim, NULL, ns, resume, which_actor(sim, index));
}

static void strike(void *arg)
{
    struct sim *sim = arg;
    if (!sim->faulty) {
        return;
    }
    bool quiet = false;
    switch (sim->options.deposes ? 12 : rand_below(&sim->rand, 16)) {
    case 0:
    case 1:
    case 2: crash(sim, any_actor(sim)); break;
    case 3:
    case 4:
        cut_link(sim, any_actor(sim), any_actor(sim));
        cut_for(sim, sim_random_ns(sim, 50 * SIM_MS, 4000 * SIM_MS));
        break;
    case 5:
        if (sim_chance(sim, 500)) {
            isolate(sim, any_node(sim));
        } else {
            split(sim, any_node(sim));
        }
        cut_for(sim, sim_random_ns(sim, 50 * SIM_MS, 4000 * SIM_MS));
        break;
    case 12:
    case 13:
    case 14:
    case 15: quiet = depose(sim); break;
    case 6:
    case 7: pause_for(sim, any_actor(sim), sim_random_ns(sim, 100 * SIM_MS, 3500 * SIM_MS)); break;
    case 8:
        if (sim_chance(sim, 300)) {
            power_cut(sim);
        }
        break;
    case 9:
        sim_node_disk(sim->nodes[any_node(sim)], sim_random_ns(sim, SIM_MS, 60 * SIM_MS));
        break;
    case 10: {
        struct sim_actor *actor = &sim->actors[any_actor(sim)];
        actor->wall_ms = (int64_t)rand_below(&sim->rand, 20000) - 10000;
        break;
    }
    default:
        if (sim_chance(sim, 400)) {
            wipe(sim);
        }
        break;
    }
    sim_check_replicas(sim);
    uint64_t pause_ns = sim_random_ns(sim, 50 * SIM_MS, 1200 * SIM_MS);
    if (quiet && sim_chance(sim, 800)) {
        pause_ns += sim->cut_until_ns - sim->now_ns;
    }
    sim_after(sim, NULL, pause_ns, strike, sim);
}

void sim_fault_begin(struct sim *sim)
{
    sim->faulty = true;
    sim->loss_permille = (unsigned)rand_below(&sim->rand, 30);
    sim->delay_max_ns = sim_random_ns(sim, SIM_MS / 2, 20 * SIM_MS);
    strike(sim);
}

void sim_fault_heal(struct sim *sim)
{
    sim->faulty = false;
    sim->delay_max_ns = 2 * SIM_MS;
    sim->cut_until_ns = 0;
    heal_cuts(sim);
    for (unsigned i = 0; i < sim->options.nodes + sim->options.routers; i++) {
        struct sim_actor *actor = &sim->actors[i];
        if (!actor->alive) {
            restart(which_actor(sim, i));
        } else if (actor->paused) {
            sim_resume(actor);
        }
        if (i < sim->options.nodes) {
            sim_node_disk(sim->nodes[i], SIM_MS);
        }
    }
}
