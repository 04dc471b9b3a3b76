#include "server/control/placement.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/hash.h"

/* Rows are filled one shard after the other. Every node has a quota, the number of rows that it is
 * in; every zone a cap per row. With n rows left the rest can be completed if and only if every
 * node's quota is at most n, every zone's at most n times its cap, and the sum is n times the
 * replicas (Gale-Ryser; columns grouped by zone). So a row first takes what would break that
 * condition for the rows after it, and is free to follow the hash with the rest. */

struct zone {
    const char *name;
    size_t size;    /* Nodes in it. */
    size_t cap;     /* Most replicas of one shard in it. */
    uint64_t quota; /* Replicas still to be placed in it. */
    size_t taken;   /* By the row being filled. */
};

struct column {
    uint64_t id;
    size_t zone;
    uint64_t quota;
    uint64_t score; /* Rendezvous weight for the row being filled. */
    bool taken;
};

struct plan {
    size_t node_count;
    size_t zone_count;
    size_t rows_left;
    unsigned replicas;
    struct column *columns;
    struct zone *zones;
};

static uint64_t rendezvous(uint64_t node, uint64_t row, uint64_t seed)
{
    uint8_t bytes[16];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(node >> (8 * i));
        bytes[8 + i] = (uint8_t)(row >> (8 * i));
    }
    return hash_bytes_seeded(slice_of(bytes, sizeof(bytes)), seed);
}

static void *zeroed(size_t count, size_t size)
{
    void *array = calloc(count, size);
    assert(array != NULL);
    return array;
}

static size_t zone_of(struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->zone_count; i++) {
        if (strcmp(plan->zones[i].name, name) == 0) {
            return i;
        }
    }
    plan->zones[plan->zone_count] = (struct zone){.name = name};
    return plan->zone_count++;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The smallest cap per zone with which a row can still be filled. */
static void set_caps(struct plan *plan)
{
    for (size_t cap = 1;; cap++) {
        size_t room = 0;
        for (size_t i = 0; i < plan->zone_count; i++) {
            plan->zones[i].cap = min_size(plan->zones[i].size, cap);
            room += plan->zones[i].cap;
        }
        if (room >= plan->replicas) {
            return;
        }
        assert(cap < plan->replicas);
    }
}

static int by_score(const void *a, const void *b)
{
    const struct column *left = *(const struct column *const *)a;
    const struct column *right = *(const struct column *const *)b;
    if (left->score != right->score) {
        return left->score > right->score ? -1 : 1;
    }
    return left->id < right->id ? -1 : 1;
}

/* Deals the replicas out one at a time, round after round, to the nodes that may have more: as even
 * as the caps of the zones allow. Who gets the odd ones is the hash's choice. */
static void set_quotas(struct plan *plan, size_t shards, uint64_t seed)
{
    struct column **open = zeroed(plan->node_count, sizeof(struct column *));
    for (size_t i = 0; i < plan->node_count; i++) {
        plan->columns[i].score = rendezvous(plan->columns[i].id, UINT64_MAX, seed);
        open[i] = &plan->columns[i];
    }
    qsort(open, plan->node_count, sizeof(struct column *), by_score);
    size_t open_count = plan->node_count;
    uint64_t left = (uint64_t)shards * plan->replicas;
    while (left > 0) {
        size_t kept = 0;
        assert(open_count > 0);
        for (size_t i = 0; i < open_count && left > 0; i++) {
            struct column *column = open[i];
            struct zone *zone = &plan->zones[column->zone];
            if (column->quota == shards || zone->quota == (uint64_t)shards * zone->cap) {
                continue;
            }
            column->quota++;
            zone->quota++;
            left--;
            open[kept++] = column;
        }
        open_count = kept;
    }
    free(open);
}

static void take(struct plan *plan, struct column *column, uint64_t *row, size_t *filled)
{
    struct zone *zone = &plan->zones[column->zone];
    assert(!column->taken && column->quota > 0);
    assert(zone->taken < zone->cap && *filled < plan->replicas);
    column->taken = true;
    column->quota--;
    zone->quota--;
    zone->taken++;
    row[(*filled)++] = column->id;
}

/* The untaken node with the highest score in the zone, or in any zone that has room if `any`. */
static struct column *best(struct plan *plan, size_t zone, bool any)
{
    struct column *found = NULL;
    for (size_t i = 0; i < plan->node_count; i++) {
        struct column *column = &plan->columns[i];
        bool fits = any ? plan->zones[column->zone].taken < plan->zones[column->zone].cap
                        : column->zone == zone;
        if (fits && !column->taken && column->quota > 0 &&
            (found == NULL || by_score(&column, &found) < 0)) {
            found = column;
        }
    }
    return found;
}

static void fill_row(struct plan *plan, uint64_t index, uint64_t seed, uint64_t *row)
{
    size_t filled = 0;
    for (size_t i = 0; i < plan->zone_count; i++) {
        plan->zones[i].taken = 0;
        assert(plan->zones[i].quota <= (uint64_t)plan->rows_left * plan->zones[i].cap);
    }
    for (size_t i = 0; i < plan->node_count; i++) {
        plan->columns[i].taken = false;
        plan->columns[i].score = rendezvous(plan->columns[i].id, index, seed);
        assert(plan->columns[i].quota <= plan->rows_left);
    }
    for (size_t i = 0; i < plan->node_count; i++) {
        if (plan->columns[i].quota == plan->rows_left) {
            take(plan, &plan->columns[i], row, &filled);
        }
    }
    for (size_t i = 0; i < plan->zone_count; i++) {
        struct zone *zone = &plan->zones[i];
        while (zone->quota > (uint64_t)(plan->rows_left - 1) * zone->cap) {
            struct column *column = best(plan, i, false);
            assert(column != NULL);
            take(plan, column, row, &filled);
        }
    }
    while (filled < plan->replicas) {
        struct column *column = best(plan, 0, true);
        assert(column != NULL);
        take(plan, column, row, &filled);
    }
    plan->rows_left--;
}

/* Leaders. Every row is led by one of its nodes; the greedy choice is then improved along paths: a
 * chain of rows whose leadership moves by one node each takes one from its first node and gives it
 * to its last. When no chain leads from a node to one that has at least two fewer, the loads are as
 * even as the rows allow (optimal semi-matching, Harvey et al. 2003). */

struct leads {
    const struct placement_input *input;
    uint64_t *out;
    size_t *led;     /* Rows led, per node index. */
    size_t *via_row; /* How the search reached a node: this row's leadership would come to it. */
    size_t *via_node;
    bool *reached;
};

static size_t index_of(const struct placement_input *input, uint64_t id)
{
    size_t low = 0;
    size_t high = input->node_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (input->nodes[middle].id <= id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    assert(input->nodes[low].id == id);
    return low;
}

static void lead(struct leads *leads, size_t row, uint64_t node)
{
    uint64_t *nodes = &leads->out[row * leads->input->replicas];
    unsigned at = 0;
    while (nodes[at] != node) {
        at++;
        assert(at < leads->input->replicas);
    }
    nodes[at] = nodes[0];
    nodes[0] = node;
}

static void lead_greedily(struct leads *leads)
{
    const struct placement_input *input = leads->input;
    for (size_t row = 0; row < input->shards; row++) {
        const uint64_t *nodes = &leads->out[row * input->replicas];
        uint64_t chosen = nodes[0];
        for (unsigned i = 1; i < input->replicas; i++) {
            size_t here = leads->led[index_of(input, nodes[i])];
            size_t there = leads->led[index_of(input, chosen)];
            if (here < there || (here == there && rendezvous(nodes[i], row, input->seed) >
                                                      rendezvous(chosen, row, input->seed))) {
                chosen = nodes[i];
            }
        }
        lead(leads, row, chosen);
        leads->led[index_of(input, chosen)]++;
    }
}

/* One pass of the search from all nodes reached so far. True if a new one was reached; *found is
 * one with at most `most` rows, else it stays. */
static bool widen(struct leads *leads, size_t most, size_t *found)
{
    const struct placement_input *input = leads->input;
    bool grew = false;
    for (size_t row = 0; row < input->shards; row++) {
        const uint64_t *nodes = &leads->out[row * input->replicas];
        size_t from = index_of(input, nodes[0]);
        for (unsigned i = 1; leads->reached[from] && i < input->replicas; i++) {
            size_t to = index_of(input, nodes[i]);
            if (leads->reached[to]) {
                continue;
            }
            leads->reached[to] = true;
            leads->via_row[to] = row;
            leads->via_node[to] = from;
            grew = true;
            if (leads->led[to] <= most) {
                *found = to;
                return true;
            }
        }
    }
    return grew;
}

/* Moves one row away from the node, to one that has at least two fewer. False if it cannot. */
static bool relieve(struct leads *leads, size_t node)
{
    size_t count = leads->input->node_count;
    if (leads->led[node] < 2) {
        return false;
    }
    memset(leads->reached, 0, count * sizeof(bool));
    leads->reached[node] = true;
    size_t found = count;
    while (found == count && widen(leads, leads->led[node] - 2, &found)) {
    }
    if (found == count) {
        return false;
    }
    leads->led[found]++;
    leads->led[node]--;
    while (found != node) {
        lead(leads, leads->via_row[found], leads->input->nodes[found].id);
        found = leads->via_node[found];
    }
    return true;
}

static void choose_leaders(const struct placement_input *input, uint64_t *out)
{
    struct leads leads = {.input = input, .out = out};
    leads.led = zeroed(input->node_count, sizeof(size_t));
    leads.via_row = zeroed(input->node_count, sizeof(size_t));
    leads.via_node = zeroed(input->node_count, sizeof(size_t));
    leads.reached = zeroed(input->node_count, sizeof(bool));
    lead_greedily(&leads);
    bool better = true;
    while (better) {
        better = false;
        for (size_t i = 0; i < input->node_count; i++) {
            while (relieve(&leads, i)) {
                better = true;
            }
        }
    }
    free(leads.led);
    free(leads.via_row);
    free(leads.via_node);
    free(leads.reached);
}

enum status placement_make(const struct placement_input *input, uint64_t *out)
{
    if (input->replicas == 0 || input->shards == 0 || input->node_count < input->replicas) {
        return STATUS_BAD_ARGUMENT;
    }
    struct plan plan = {
        .node_count = input->node_count, .rows_left = input->shards, .replicas = input->replicas};
    plan.columns = zeroed(input->node_count, sizeof(struct column));
    plan.zones = zeroed(input->node_count, sizeof(struct zone));
    for (size_t i = 0; i < input->node_count; i++) {
        assert(i == 0 || input->nodes[i - 1].id < input->nodes[i].id);
        plan.columns[i].id = input->nodes[i].id;
        plan.columns[i].zone = zone_of(&plan, input->nodes[i].zone);
        plan.zones[plan.columns[i].zone].size++;
    }
    set_caps(&plan);
    set_quotas(&plan, input->shards, input->seed);
    for (size_t row = 0; row < input->shards; row++) {
        fill_row(&plan, row, input->seed, &out[row * input->replicas]);
    }
    free(plan.columns);
    free(plan.zones);
    choose_leaders(input, out);
    return STATUS_OK;
}

static bool is_used(uint64_t node, const uint64_t *used, size_t used_count)
{
    for (size_t i = 0; i < used_count; i++) {
        if (used[i] == node) {
            return true;
        }
    }
    return false;
}

/* How many of the used nodes share the zone. */
static size_t crowd(const struct placement_node *nodes,
                    size_t node_count,
                    const char *zone,
                    const uint64_t *used,
                    size_t used_count)
{
    size_t count = 0;
    for (size_t i = 0; i < node_count; i++) {
        count += strcmp(nodes[i].zone, zone) == 0 && is_used(nodes[i].id, used, used_count);
    }
    return count;
}

uint64_t placement_choose(const struct placement_node *nodes,
                          size_t node_count,
                          const uint64_t *used,
                          size_t used_count,
                          uint64_t shard)
{
    const struct placement_node *chosen = NULL;
    size_t chosen_crowd = 0;
    for (size_t i = 0; i < node_count; i++) {
        const struct placement_node *node = &nodes[i];
        if (is_used(node->id, used, used_count)) {
            continue;
        }
        size_t node_crowd = crowd(nodes, node_count, node->zone, used, used_count);
        bool better = chosen == NULL || node_crowd < chosen_crowd;
        if (!better && node_crowd == chosen_crowd) {
            better = node->load != chosen->load
                         ? node->load < chosen->load
                         : rendezvous(node->id, shard, 0) > rendezvous(chosen->id, shard, 0);
        }
        if (better) {
            chosen = node;
            chosen_crowd = node_crowd;
        }
    }
    return chosen == NULL ? 0 : chosen->id;
}
