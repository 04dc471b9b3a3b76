#include "server/control/balance_choice.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "server/control/job_check.h"

enum {
    PERMILLE = 1000,
    OVER_GAP_PERMILLE = 700,
    /* A node is over or under by more than this much of the mean before bytes are moved. */
    ROOM_SLACK_PERMILLE = 50,
    LEADS_SLACK = 2,
    /* Of the load of a node, what is worth a split. */
    WORTH_PERMILLE = 200,
    HALF_CORE_US = 500000,
    ASIDE_PERMILLE = 100, /* What must lie beside a hot key to be worth a cut there. */
};

static double highest(double a, double b)
{
    return a > b ? a : b;
}

/* Use of a node if its load were so much more. */
static double use_with(const struct balance_node *node, double more)
{
    return (node->load + more) / node->capacity;
}

static bool allowed(const struct balance_view *view, struct job_spec *spec)
{
    char text[JOB_FAULT_SIZE];
    return job_check(view->map, spec, text) == NULL;
}

static bool may(const struct balance_rules *rules,
                const struct balance_shard *shard,
                enum job_kind kind)
{
    return !shard->busy && shard->known != NULL && rules->may(rules->ctx, shard, kind);
}

/* Whether it helps that something goes from node to node, and more than the best choice so far. At
 * most OVER_GAP of the gap between the two: what would only make the other one the busier is no
 * help. */
static void consider(const struct balance_view *view,
                     const struct balance_choice *candidate,
                     double leaves,
                     double arrives,
                     struct balance_choice *best)
{
    const struct balance_node *from = &view->nodes[candidate->node];
    const struct balance_node *to = &view->nodes[candidate->to];
    if (!to->takes || candidate->to == candidate->node) {
        return;
    }
    double before = balance_view_use(from);
    double after = highest(use_with(from, -leaves), use_with(to, arrives));
    double gap = before - balance_view_use(to);
    if (after >= before || use_with(to, arrives) * PERMILLE >
                               before * PERMILLE - gap * (PERMILLE - OVER_GAP_PERMILLE)) {
        return;
    }
    if (best->found && best->after <= after) {
        return;
    }
    struct job_spec spec = candidate->spec;
    if (allowed(view, &spec)) {
        *best = *candidate;
        best->found = true;
        best->before = before;
        best->after = after;
    }
}

static struct job_spec spec_of(enum job_kind kind, const struct balance_shard *shard)
{
    return (struct job_spec){.kind = kind,
                             .shard = shard->desc->id,
                             .ver = shard->desc->ver,
                             .conf_ver = shard->desc->conf_ver};
}

void balance_choice_transfer(const struct balance_view *view,
                             const struct balance_rules *rules,
                             size_t node,
                             struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        if (shard->leader != node || !may(rules, shard, JOB_TRANSFER)) {
            continue;
        }
        double goes = shard->load - shard->follower;
        for (unsigned k = 0; k < shard->desc->replica_count; k++) {
            struct balance_choice candidate = {.node = node, .shard = shard};
            candidate.spec = spec_of(JOB_TRANSFER, shard);
            candidate.spec.to = shard->desc->replicas[k].node;
            candidate.to = balance_view_node(view, candidate.spec.to);
            if (candidate.to != BALANCE_NOBODY) {
                consider(view, &candidate, goes, goes, choice);
            }
        }
    }
}

enum { CUTS_MAX = SHARD_LOAD_CUTS + 2 };

/* In front of the hot key and behind it. What lies beside it is taken to be even. */
static size_t cuts_aside(const struct shard_load *load, struct load_cut *cuts)
{
    if (PERMILLE - load->hot_share < ASIDE_PERMILLE || load->hot_token < load->start ||
        load->hot_token > load->last) {
        return 0;
    }
    double aside = PERMILLE - load->hot_share;
    double before =
        (double)(load->hot_token - load->start) / ((double)(load->last - load->start) + 1) * aside;
    size_t count = 0;
    if (load->hot_token > load->start) {
        cuts[count++] = (struct load_cut){.token = load->hot_token, .left = (uint16_t)before};
    }
    if (load->hot_token < load->last) {
        uint16_t left = (uint16_t)(before + load->hot_share);
        cuts[count++] = (struct load_cut){.token = load->hot_token + 1, .left = left};
    }
    return count;
}

/* Where a shard may be cut. */
static size_t cuts_of(const struct shard_load *load, struct load_cut *cuts)
{
    if (load->verdict == SPLIT_ONE_KEY) {
        return cuts_aside(load, cuts);
    }
    if (load->verdict != SPLIT_GOOD && load->verdict != SPLIT_UNEVEN) {
        return 0;
    }
    memcpy(cuts, load->cuts, load->cut_count * sizeof(cuts[0]));
    return load->cut_count;
}

static bool worth_it(const struct balance_view *view, const struct balance_shard *shard)
{
    const struct balance_node *node = &view->nodes[shard->leader];
    return shard->load * PERMILLE >= node->load * WORTH_PERMILLE || shard->load >= HALF_CORE_US;
}

/* Either part may go, to whoever has a replica. */
static void consider_cut(const struct balance_view *view,
                         const struct balance_shard *shard,
                         const struct load_cut *cut,
                         struct balance_choice *best)
{
    struct balance_choice candidate = {.node = shard->leader, .shard = shard};
    candidate.spec = spec_of(JOB_SPLIT, shard);
    candidate.spec.token = cut->token;
    for (unsigned side = 0; side < 2; side++) {
        candidate.right = side == 1;
        candidate.part = (double)(side == 1 ? PERMILLE - cut->left : cut->left) / PERMILLE;
        double goes = (shard->load - shard->follower) * candidate.part;
        for (unsigned k = 0; k < shard->desc->replica_count; k++) {
            candidate.to = balance_view_node(view, shard->desc->replicas[k].node);
            if (candidate.to != BALANCE_NOBODY) {
                consider(view, &candidate, goes, goes, best);
            }
        }
    }
}

void balance_choice_split(const struct balance_view *view,
                          const struct balance_rules *rules,
                          size_t node,
                          struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        if (shard->leader != node || !may(rules, shard, JOB_SPLIT) || !worth_it(view, shard) ||
            shard->known->load.ver != shard->desc->ver) {
            continue;
        }
        struct load_cut cuts[CUTS_MAX];
        size_t count = cuts_of(&shard->known->load, cuts);
        for (size_t k = 0; k < count; k++) {
            consider_cut(view, shard, &cuts[k], choice);
        }
    }
}

void balance_choice_move(const struct balance_view *view,
                         const struct balance_rules *rules,
                         size_t node,
                         struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        if (!balance_view_holds(view, shard, node) || !may(rules, shard, JOB_MOVE)) {
            continue;
        }
        double goes = shard->leader == node ? shard->load : shard->follower;
        for (size_t to = 0; to < view->node_count; to++) {
            if (!view->nodes[to].takes || balance_view_holds(view, shard, to)) {
                continue;
            }
            struct balance_choice candidate = {.node = node, .to = to, .shard = shard};
            candidate.spec = spec_of(JOB_MOVE, shard);
            candidate.spec.from = view->nodes[node].desc->id;
            candidate.spec.to = view->nodes[to].desc->id;
            consider(view, &candidate, goes, goes, choice);
        }
    }
}

struct room {
    size_t fullest, emptiest;
    double too_much, too_little;
};

static bool find_room(const struct balance_view *view, struct room *room)
{
    double bytes = 0;
    room->fullest = room->emptiest = BALANCE_NOBODY;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct balance_node *node = &view->nodes[i];
        if (!node->takes) {
            continue;
        }
        bytes += (double)node->bytes;
        bool fuller =
            room->fullest == BALANCE_NOBODY || node->bytes > view->nodes[room->fullest].bytes;
        bool emptier =
            room->emptiest == BALANCE_NOBODY || node->bytes < view->nodes[room->emptiest].bytes;
        room->fullest = fuller ? i : room->fullest;
        room->emptiest = emptier ? i : room->emptiest;
    }
    if (view->takers < 2) {
        return false;
    }
    double mean = bytes / (double)view->takers;
    double slack = mean * ROOM_SLACK_PERMILLE / PERMILLE;
    room->too_much = (double)view->nodes[room->fullest].bytes - mean;
    room->too_little = mean - (double)view->nodes[room->emptiest].bytes;
    return room->too_much > slack || room->too_little > slack;
}

void balance_choice_room(const struct balance_view *view,
                         const struct balance_rules *rules,
                         struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    struct room room;
    if (!find_room(view, &room)) {
        return;
    }
    /* What the emptiest lacks: so nothing has to leave it again. */
    double fits = room.too_little + (double)view->nodes[room.emptiest].bytes / 64;
    double best = 0;
    double emptier = (double)view->nodes[room.emptiest].bytes;
    double fuller = (double)view->nodes[room.fullest].bytes;
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        double size = (double)shard->weight;
        /* The largest that fits; of equal ones first those that are led elsewhere. */
        double value = size * 4 + (shard->leader != room.fullest) + 1;
        if (value <= best || size > fits || emptier + size >= fuller ||
            !balance_view_holds(view, shard, room.fullest) ||
            balance_view_holds(view, shard, room.emptiest) || !may(rules, shard, JOB_MOVE)) {
            continue;
        }
        struct job_spec spec = spec_of(JOB_MOVE, shard);
        spec.from = view->nodes[room.fullest].desc->id;
        spec.to = view->nodes[room.emptiest].desc->id;
        if (allowed(view, &spec)) {
            best = value;
            *choice = (struct balance_choice){.found = true,
                                              .spec = spec,
                                              .before = fuller,
                                              .after = fuller - size,
                                              .node = room.fullest,
                                              .to = room.emptiest,
                                              .shard = shard};
        }
    }
}

/* A replica of the shard on a node that leads fewer by enough. */
static size_t leads_fewer(const struct balance_view *view, const struct balance_shard *shard)
{
    size_t best = BALANCE_NOBODY;
    for (unsigned k = 0; k < shard->desc->replica_count; k++) {
        size_t to = balance_view_node(view, shard->desc->replicas[k].node);
        if (to == BALANCE_NOBODY || !view->nodes[to].takes ||
            view->nodes[to].leads + LEADS_SLACK > view->nodes[shard->leader].leads) {
            continue;
        }
        best =
            best == BALANCE_NOBODY || view->nodes[to].leads < view->nodes[best].leads ? to : best;
    }
    return best;
}

void balance_choice_leads(const struct balance_view *view,
                          const struct balance_rules *rules,
                          double load_max,
                          struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        if (shard->leader == BALANCE_NOBODY || !may(rules, shard, JOB_TRANSFER) ||
            shard->load > load_max) {
            continue;
        }
        size_t to = leads_fewer(view, shard);
        unsigned leads = view->nodes[shard->leader].leads;
        struct job_spec spec = spec_of(JOB_TRANSFER, shard);
        if (to == BALANCE_NOBODY || (choice->found && choice->before >= leads)) {
            continue;
        }
        spec.to = view->nodes[to].desc->id;
        if (allowed(view, &spec)) {
            *choice = (struct balance_choice){.found = true,
                                              .spec = spec,
                                              .before = leads,
                                              .after = leads - 1,
                                              .node = shard->leader,
                                              .to = to,
                                              .shard = shard};
        }
    }
}

void balance_choice_size(const struct balance_view *view,
                         const struct balance_rules *rules,
                         uint64_t bytes_max,
                         struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        struct job_spec spec = spec_of(JOB_SPLIT, shard);
        bool larger = shard->bytes > bytes_max && (double)shard->bytes > choice->before;
        if (larger && shard->known->load.keys > 1 && may(rules, shard, JOB_SPLIT) &&
            allowed(view, &spec)) {
            *choice = (struct balance_choice){.found = true,
                                              .spec = spec,
                                              .before = (double)shard->bytes,
                                              .after = (double)shard->bytes / 2,
                                              .part = 0.5,
                                              .right = true,
                                              .node = shard->leader,
                                              .to = shard->leader,
                                              .shard = shard};
        }
    }
}

void balance_choice_merge(const struct balance_view *view,
                          const struct balance_rules *rules,
                          double load_max,
                          uint64_t bytes_max,
                          struct balance_choice *choice)
{
    *choice = (struct balance_choice){0};
    for (size_t i = 1; i < view->shard_count; i++) {
        const struct balance_shard *left = &view->shards[i - 1];
        const struct balance_shard *right = &view->shards[i];
        if (!may(rules, left, JOB_MERGE) || !may(rules, right, JOB_MERGE)) {
            continue;
        }
        double load = (double)load_table_peak(left->known) + (double)load_table_peak(right->known);
        struct job_spec spec = spec_of(JOB_MERGE, right);
        spec.other = left->desc->id;
        bool small = load <= load_max && left->bytes + right->bytes <= bytes_max;
        if (small && (!choice->found || load < choice->before) && allowed(view, &spec)) {
            *choice = (struct balance_choice){.found = true,
                                              .spec = spec,
                                              .before = load,
                                              .after = load,
                                              .node = right->leader,
                                              .to = left->leader,
                                              .shard = right};
        }
    }
}
