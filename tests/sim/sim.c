#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/support/clock_sim.h"

struct sim_event {
    uint64_t at_ns;
    uint64_t order;
    struct sim_actor *actor;
    uint64_t life;
    void (*fn)(void *arg);
    void *arg;
    struct list deferred;
};

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void push(struct sim *sim, struct sim_event *event)
{
    if (sim->heap_count == sim->heap_size) {
        sim->heap_size = sim->heap_size == 0 ? 1024 : sim->heap_size * 2;
        sim->heap = realloc(sim->heap, sim->heap_size * sizeof(*sim->heap));
        assert(sim->heap != NULL);
    }
    size_t at = sim->heap_count++;
    while (at > 0 && before(event, sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

static struct sim_event *pop(struct sim *sim)
{
    struct sim_event *top = sim->heap[0];
    struct sim_event *last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && before(sim->heap[child + 1], sim->heap[child])) {
            child++;
        }
        if (!before(sim->heap[child], last)) {
            break;
        }
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return top;
}

void sim_after(
    struct sim *sim, struct sim_actor *actor, uint64_t delay_ns, void (*fn)(void *arg), void *arg)
{
    struct sim_event *event = calloc(1, sizeof(*event));
    assert(event != NULL);
    *event = (struct sim_event){.at_ns = sim->now_ns + delay_ns,
                                .order = sim->order++,
                                .actor = actor,
                                .life = actor == NULL ? 0 : actor->life,
                                .fn = fn,
                                .arg = arg};
    list_init(&event->deferred);
    push(sim, event);
}

void sim_enter(struct sim_actor *actor)
{
    int64_t drift = (int64_t)(actor->sim->now_ns / 1000000) * actor->drift_ppm;
    clock_sim_set_offset(actor->boot_ns + drift, actor->wall_ms);
    actor->sim->entered = actor;
}

void sim_turn(struct sim_actor *actor)
{
    struct sim *sim = actor->sim;
    if (!actor->alive) {
        return;
    }
    assert(sim->entered == actor); /* Else it looks at the clocks of another. */
    if (actor->index < sim->options.nodes) {
        sim_node_turn(sim->nodes[actor->index]);
    } else {
        sim_router_turn(sim->routers[actor->index - sim->options.nodes]);
    }
    sim_flush(actor);
}

uint64_t sim_random_ns(struct sim *sim, uint64_t min_ns, uint64_t max_ns)
{
    return min_ns + rand_below(&sim->rand, max_ns - min_ns + 1);
}

bool sim_chance(struct sim *sim, unsigned permille)
{
    return rand_below(&sim->rand, 1000) < permille;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim: seed %llu at %.3f ms: ", (unsigned long long)sim->options.seed,
            (double)sim->now_ns / SIM_MS);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nreproduce with: sim --seed %llu\n", (unsigned long long)sim->options.seed);
    va_end(args);
    exit(1);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->options.verbose) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%10.3f ", (double)sim->now_ns / SIM_MS);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void sim_address(unsigned index, char text[32])
{
    (void)snprintf(text, 32, "sim:%u", index + 1);
}

struct sim_actor *sim_actor_at(struct sim *sim, const char *address)
{
    char text[32];
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        sim_address(i, text);
        if (strcmp(text, address) == 0) {
            return &sim->actors[i];
        }
    }
    return NULL;
}

static void run_event(struct sim *sim, struct sim_event *event)
{
    struct sim_actor *actor = event->actor;
    if (actor != NULL && (!actor->alive || actor->life != event->life)) {
        free(event);
        return;
    }
    if (actor != NULL && actor->paused) {
        list_push_back(&actor->deferred, &event->deferred);
        return;
    }
    if (actor != NULL) {
        sim_enter(actor);
    }
    sim->events++;
    event->fn(event->arg);
    free(event);
}

/* Runs until the time, or until done() says so. */
static void run_until(struct sim *sim, uint64_t until_ns, bool (*done)(struct sim *sim))
{
    while (sim->heap_count > 0 && sim->heap[0]->at_ns <= until_ns) {
        struct sim_event *event = pop(sim);
        assert(event->at_ns >= sim->now_ns);
        sim->now_ns = event->at_ns;
        clock_sim_set_ns(sim->now_ns);
        run_event(sim, event);
        if (done != NULL && done(sim)) {
            return;
        }
    }
    sim->now_ns = until_ns > sim->now_ns && done == NULL ? until_ns : sim->now_ns;
}

void sim_resume(struct sim_actor *actor)
{
    actor->paused = false;
    for (struct list *at; (at = list_pop_front(&actor->deferred)) != NULL;) {
        struct sim_event *event = list_entry(at, struct sim_event, deferred);
        event->at_ns = actor->sim->now_ns;
        event->order = actor->sim->order++;
        push(actor->sim, event);
    }
}

static void make_actors(struct sim *sim)
{
    unsigned count = sim->options.nodes + sim->options.routers;
    assert(count <= SIM_ACTORS_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct sim_actor *actor = &sim->actors[i];
        actor->sim = sim;
        actor->index = i;
        list_init(&actor->deferred);
        actor->boot_ns = (int64_t)rand_below(&sim->rand, UINT64_C(3600000000000));
        actor->wall_ms = (int64_t)rand_below(&sim->rand, 2000) - 1000;
        actor->drift_ppm = (int64_t)rand_below(&sim->rand, 400) - 200;
    }
}

static bool all_led(struct sim *sim)
{
    return sim_check_serving(sim);
}

static bool clients_idle(struct sim *sim)
{
    for (unsigned i = 0; i < sim->options.clients; i++) {
        if (!sim_client_idle(sim->clients[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < SIM_TELLERS; i++) {
        if (!sim_teller_idle(sim->tellers[i])) {
            return false;
        }
    }
    return sim_queue_idle(sim) && sim_echo_idle(sim);
}

static bool jobs_ended(struct sim *sim)
{
    return sim_jobs_ended(sim);
}

static void phases(struct sim *sim)
{
    run_until(sim, UINT64_C(20000) * SIM_MS, all_led);
    if (!all_led(sim)) {
        sim_fail(sim, "the cluster was not ready after 20 s");
    }
    sim_trace(sim, "ready");
    for (unsigned i = 0; i < sim->options.clients; i++) {
        sim_client_make(sim, i);
    }
    sim_queue_make(sim);
    sim_echo_make(sim);
    for (unsigned i = 0; i < SIM_TELLERS; i++) {
        sim_teller_make(sim, i);
    }
    if (sim->options.splits) {
        sim_surgeon_make(sim);
    }
    if (sim->options.moves) {
        sim_jobs_make(sim);
    }
    if (sim->options.faults) {
        sim_fault_begin(sim);
    }
    run_until(sim, sim->now_ns + sim->options.fault_ms * SIM_MS, NULL);
    sim_fault_heal(sim);
    sim_trace(sim, "healed");
    run_until(sim, sim->now_ns + sim->options.peace_ms * SIM_MS / 2, NULL);
    sim_queue_close(sim);
    sim_surgeon_stop(sim);
    sim_jobs_stop(sim);
    sim->calm = true;
    for (unsigned i = 0; i < sim->options.nodes; i++) {
        sim_node_calm(sim->nodes[i]);
    }
    for (unsigned i = 0; i < sim->options.clients; i++) {
        sim_client_stop(sim->clients[i]);
    }
    for (unsigned i = 0; i < SIM_TELLERS; i++) {
        sim_teller_stop(sim->tellers[i]);
    }
    run_until(sim, sim->now_ns + UINT64_C(5000) * SIM_MS, NULL);
    if (sim->options.moves) { /* Until leaderships have gone where they are to be. */
        run_until(sim, sim->now_ns + UINT64_C(60000) * SIM_MS, jobs_ended);
        run_until(sim, sim->now_ns + UINT64_C(12000) * SIM_MS, NULL);
    }
    sim_queue_burst(sim);
    run_until(sim, sim->now_ns + UINT64_C(500) * SIM_MS, NULL);
    sim_queue_read(sim);
    run_until(sim, sim->now_ns + UINT64_C(1000) * SIM_MS, NULL);
    sim_queue_let_go(sim);
    run_until(sim, sim->now_ns + UINT64_C(30000) * SIM_MS, clients_idle);
    if (!clients_idle(sim)) {
        sim_fail(sim, "a command had no reply after 30 s of peace");
    }
    sim_queue_read(sim);
    run_until(sim, sim->now_ns + sim->options.peace_ms * SIM_MS / 2, NULL);
    sim_queue_check(sim);
    sim_check_end(sim);
}

void sim_run(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    assert(sim != NULL);
    sim->options = *options;
    rand_init(&sim->rand, options->seed);
    list_init(&sim->conns);
    history_init(&sim->history);
    sim->delay_max_ns = 2 * SIM_MS;
    clock_sim_set_ns(0);
    make_actors(sim);
    for (unsigned i = 0; i < options->nodes; i++) {
        sim_node_make(sim, i);
        sim_node_start(sim->nodes[i]);
    }
    for (unsigned i = 0; i < options->routers; i++) {
        sim_router_make(sim, i);
        sim_router_start(sim->routers[i]);
    }
    phases(sim);
    uint64_t done = 0;
    uint64_t aborted = 0;
    for (unsigned i = 0; i < SIM_BANKS; i++) {
        done += sim->banks[i].done;
        aborted += sim->banks[i].aborted;
    }
    printf(
        "seed %llu: ok, %zu commands, %llu events, %llu crashes, %llu cuts, %llu pauses, %llu "
        "wipes, %llu errors, %llu unknown, %llu transactions, %llu not executed, %llu splits, %llu "
        "merges, %llu jobs\n",
        (unsigned long long)options->seed, sim->history.count, (unsigned long long)sim->events,
        (unsigned long long)sim->crashes, (unsigned long long)sim->cuts,
        (unsigned long long)sim->pauses, (unsigned long long)sim->wipes,
        (unsigned long long)sim->errors, (unsigned long long)sim->unknowns,
        (unsigned long long)done, (unsigned long long)aborted, (unsigned long long)sim->splits,
        (unsigned long long)sim->merges, (unsigned long long)sim->jobs);
}
