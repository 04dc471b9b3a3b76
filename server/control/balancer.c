#include "server/control/balancer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "server/control/balance_choice.h"
#include "server/control/balance_memory.h"

enum {
    CHECKS_MAX = 16,
    ACTIVE_MAX = 4, /* Jobs under way: more are not begun. */
    MOVES_MAX = 2,
    PERMILLE = 1000,

    OVER_PERMILLE = 1100,  /* Of the mean: then a node has too much. */
    GAIN_PERMILLE = 100,   /* Of what it has over the mean: a change must take off that much. */
    SPLIT_SHARDS_MAX = 64, /* Per node; then nothing is split for its load any more. */
    SPLITS_MAX = 8,        /* At once; then one every SPLIT_EVERY_MS. */
    IDLE_PERMILLE = 20,    /* Of the mean load of a node: a shard that may be led anywhere. */
    HOT_PERMILLE = 200,
    HALF_CORE_US = 500000,
    MERGE_RATIO = 4,      /* Two shards are merged when both together are a quarter of a hot one, */
    FAIR_PERMILLE = 1250, /* or little more than what a shard of the first cut has. */

    LEAD_MS = 30 * 1000,    /* After beginning to lead the meta group, */
    QUIET_MS = 30 * 1000,   /* after a node or a leader was lost. */
    MILD_MS = 8 * 1000,     /* How long a node has too much before anything is done, */
    GREAT_MS = 3 * 1000,    /* if it is half more than the mean, */
    EPISODE_MS = 15 * 1000, /* or so soon after something was done; */
    MOVE_MS = 20 * 1000,    /* and before replicas are moved for it. */
    VERIFY_MS = 30 * 1000,
    USELESS_MS = 10 * 60 * 1000,
    HOPE_MS = 10 * 1000,
    SPLIT_EVERY_MS = 10 * 1000,
    MERGE_AGE_MS = 60 * 60 * 1000, /* Neither is younger. */
    MERGE_EVERY_MS = 10 * 1000,
    ADVISE_MS = 10 * 60 * 1000, /* Before the same is said again. */
};

/* A decision whose effect is still to be seen. */
struct check {
    struct job_spec spec;
    uint64_t start, last; /* Of the shard. */
    uint64_t due_ms;
    double before, after; /* The busiest node to the mean. */
    double load;          /* Of the shard. */
};

struct node_memory {
    uint64_t node;
    uint64_t incarnation;
    uint64_t over_ms; /* Since when it has too much; 0: it has not. */
    bool heard;
};

struct balancer {
    struct balancer_options options;
    uint64_t began_ms;
    uint64_t quiet_ms; /* Nothing is decided before. */
    bool whole;        /* Every shard was led when it was last looked at. */
    struct balance_memory memory;
    size_t node_count;
    struct node_memory nodes[MAP_NODES_MAX];
    size_t check_count;
    struct check checks[CHECKS_MAX];
    size_t hope_count;
    struct balance_hope hopes[BALANCE_HOPES_MAX];
    unsigned splits; /* That may still be made at once. */
    uint64_t split_ms;
    uint64_t merged_ms;
    uint64_t helped_ms; /* The last decision for a node that had too much. */
    struct balancer_stats stats;
    char waits[JOB_TEXT_SIZE_MAX];
};

/* One tick at work. */
struct turn {
    struct balancer *balancer;
    const struct balance_input *input;
    struct balance_view view;
    enum balancer_mode mode;
    struct balancer_output *out;
    uint64_t now_ms;
};

struct balancer *balancer_new(const struct balancer_options *options, uint64_t now_ms)
{
    struct balancer *balancer = calloc(1, sizeof(*balancer));
    assert(balancer != NULL);
    balancer->options = *options;
    if (balancer->options.use_min <= 0) {
        balancer->options.use_min = 0.05;
    }
    if (balancer->options.shard_bytes_max == 0) {
        balancer->options.shard_bytes_max = UINT64_C(8) << 30;
    }
    if (balancer->options.haste == 0) {
        balancer->options.haste = 1;
    }
    balancer->began_ms = now_ms;
    balancer->whole = true;
    balancer->splits = SPLITS_MAX;
    balance_memory_init(&balancer->memory, balancer->options.haste);
    return balancer;
}

void balancer_free(struct balancer *balancer)
{
    balance_memory_deinit(&balancer->memory);
    free(balancer);
}

const struct balancer_stats *balancer_stats(const struct balancer *balancer)
{
    return &balancer->stats;
}

const char *balancer_waits(const struct balancer *balancer)
{
    return balancer->waits;
}

static uint64_t scaled(const struct balancer *balancer, uint64_t ms)
{
    return ms / balancer->options.haste;
}

static void waits(struct balancer *balancer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void waits(struct balancer *balancer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(balancer->waits, sizeof(balancer->waits), format, args);
    va_end(args);
}

static struct balancer_note *new_note(struct turn *turn)
{
    if (turn->out->note_count == BALANCER_NOTES_MAX) {
        return NULL;
    }
    struct balancer_note *note = &turn->out->notes[turn->out->note_count++];
    *note = (struct balancer_note){0};
    return note;
}

static bool may(void *ctx, const struct balance_shard *shard, enum job_kind kind)
{
    const struct turn *turn = ctx;
    struct balancer *balancer = turn->balancer;
    uint64_t known_ms = turn->now_ms - shard->known->known_ms;
    if (kind == JOB_MERGE && known_ms < scaled(balancer, MERGE_AGE_MS)) {
        return false;
    }
    const struct balance_past *memory = balance_memory_find(&balancer->memory, shard->desc->start);
    if (memory == NULL) {
        return true;
    }
    bool useless =
        memory->useless_ms != 0 && turn->now_ms - memory->useless_ms < scaled(balancer, USELESS_MS);
    return !useless && turn->now_ms >= balance_memory_ready_ms(&balancer->memory, memory, kind);
}

static size_t find_node(const struct balancer *balancer, uint64_t node)
{
    size_t at = 0;
    while (at < balancer->node_count && balancer->nodes[at].node != node) {
        at++;
    }
    return at;
}

static struct node_memory *node_memory(struct turn *turn, uint64_t node)
{
    struct balancer *balancer = turn->balancer;
    size_t at = find_node(balancer, node);
    if (at < balancer->node_count) {
        return &balancer->nodes[at];
    }
    if (at == MAP_NODES_MAX) { /* One that is not in the map any more makes room. */
        at = 0;
        while (shard_map_node(turn->input->map, balancer->nodes[at].node) != NULL) {
            at++;
        }
        assert(at < MAP_NODES_MAX); /* The map has fewer: the new one is of it. */
    } else {
        balancer->node_count++;
    }
    balancer->nodes[at] = (struct node_memory){.node = node};
    return &balancer->nodes[at];
}

static void quiet(struct turn *turn, uint64_t ms)
{
    uint64_t until_ms = turn->now_ms + scaled(turn->balancer, ms);
    if (until_ms > turn->balancer->quiet_ms) {
        turn->balancer->quiet_ms = until_ms;
    }
}

/* Nodes that came, went or were started again; shards that nobody leads. */
static void watch(struct turn *turn)
{
    struct balancer *balancer = turn->balancer;
    const struct shard_map *map = turn->input->map;
    for (size_t i = 0; i < map->node_count; i++) {
        struct node_memory *memory = node_memory(turn, map->nodes[i].id);
        const struct load_node *known =
            load_table_node(turn->input->table, map->nodes[i].id, turn->now_ms);
        bool again =
            known != NULL && memory->heard && memory->incarnation != known->load.incarnation;
        if (again || (known == NULL && memory->heard)) {
            quiet(turn, QUIET_MS);
        }
        memory->heard = known != NULL;
        memory->incarnation = known == NULL ? memory->incarnation : known->load.incarnation;
    }
    if (!turn->view.whole && balancer->whole) {
        quiet(turn, QUIET_MS);
    }
    balancer->whole = turn->view.whole;
}

static bool has_too_much(const struct turn *turn, const struct balance_node *node)
{
    double use = balance_view_use(node);
    return node->takes && use >= turn->balancer->options.use_min &&
           use * PERMILLE > balance_view_mean(&turn->view) * OVER_PERMILLE;
}

static bool somebody_has_too_much(const struct turn *turn)
{
    size_t busiest = balance_view_busiest(&turn->view);
    return busiest != BALANCE_NOBODY && has_too_much(turn, &turn->view.nodes[busiest]);
}

static void measure(struct turn *turn)
{
    struct balancer *balancer = turn->balancer;
    const struct balance_view *view = &turn->view;
    for (size_t i = 0; i < view->node_count; i++) {
        struct node_memory *memory = node_memory(turn, view->nodes[i].desc->id);
        bool over = has_too_much(turn, &view->nodes[i]);
        memory->over_ms = !over ? 0 : memory->over_ms == 0 ? turn->now_ms : memory->over_ms;
    }
    size_t busiest = balance_view_busiest(view);
    double mean = balance_view_mean(view);
    balancer->stats.skew =
        busiest == BALANCE_NOBODY || mean <= 0 ? 0 : balance_view_use(&view->nodes[busiest]) / mean;
    balancer->stats.hot = 0;
    for (size_t i = 0; i < view->shard_count; i++) {
        const struct balance_shard *shard = &view->shards[i];
        const struct balance_node *node =
            shard->leader == BALANCE_NOBODY ? NULL : &view->nodes[shard->leader];
        bool busy = node != NULL && balance_view_use(node) >= balancer->options.use_min;
        balancer->stats.hot += busy && (shard->load >= HALF_CORE_US ||
                                        shard->load * PERMILLE >= node->load * HOT_PERMILLE);
    }
}

static void hope(struct turn *turn, const struct balance_hope *fresh)
{
    struct balancer *balancer = turn->balancer;
    if (balancer->hope_count == BALANCE_HOPES_MAX) {
        memmove(&balancer->hopes[0], &balancer->hopes[1],
                (BALANCE_HOPES_MAX - 1) * sizeof(balancer->hopes[0]));
        balancer->hope_count--;
    }
    balancer->hopes[balancer->hope_count++] = *fresh;
}

/* Until it is measured, what was decided is taken for done. */
static void hope_for(struct turn *turn, const struct balance_choice *choice)
{
    const struct balance_shard *shard = choice->shard;
    struct balance_hope whole = {.start = shard->desc->start,
                                 .load = shard->load,
                                 .follower = shard->follower,
                                 .until_ms = turn->now_ms + HOPE_MS};
    if (choice->spec.kind == JOB_TRANSFER) {
        whole.node = choice->spec.to;
        hope(turn, &whole);
    }
    if (choice->spec.kind == JOB_SPLIT && choice->spec.token != 0) {
        double right = choice->right ? choice->part : 1 - choice->part;
        for (size_t i = 0; i < turn->balancer->hope_count; i++) { /* Of the whole: less now. */
            struct balance_hope *older = &turn->balancer->hopes[i];
            bool same = older->start == whole.start;
            older->load *= same ? 1 - right : 1;
            older->follower *= same ? 1 - right : 1;
        }
        struct balance_hope child = whole;
        child.start = choice->spec.token;
        child.load *= right;
        child.follower *= right;
        hope(turn, &child);
    }
}

static void count(struct balancer *balancer, enum job_kind kind)
{
    switch (kind) {
    case JOB_SPLIT: balancer->stats.splits++; break;
    case JOB_MERGE: balancer->stats.merges++; break;
    case JOB_MOVE: balancer->stats.moves++; break;
    case JOB_TRANSFER: balancer->stats.transfers++; break;
    case JOB_DRAIN:
    case JOB_REPLACE:
    case JOB_REBUILD:
    case JOB_REBALANCE:
    case JOB_KINDS: break;
    }
}

static void remember(struct turn *turn, const struct balance_choice *choice)
{
    struct balancer *balancer = turn->balancer;
    balance_memory_note(&balancer->memory, choice->shard->desc->start, &choice->spec, turn->now_ms);
    balancer->splits -= choice->spec.kind == JOB_SPLIT && balancer->splits > 0;
    balancer->merged_ms = choice->spec.kind == JOB_MERGE ? turn->now_ms : balancer->merged_ms;
}

/* Of the shards that begin within the range that the decision was about. */
static double load_of(const struct turn *turn, const struct check *check)
{
    double load = 0;
    for (size_t i = 0; i < turn->view.shard_count; i++) {
        const struct balance_shard *shard = &turn->view.shards[i];
        bool within = shard->desc->start >= check->start && shard->desc->start <= check->last;
        load += within ? shard->load : 0;
    }
    return load;
}

/* Whether it helps is looked at when its time has come. */
static void check_later(struct turn *turn, const struct balance_choice *choice)
{
    struct balancer *balancer = turn->balancer;
    double mean = balance_view_mean(&turn->view);
    if (balancer->check_count == CHECKS_MAX || mean <= 0) {
        return;
    }
    balancer->checks[balancer->check_count++] =
        (struct check){.spec = choice->spec,
                       .start = choice->shard->desc->start,
                       .last = choice->shard->desc->last,
                       .due_ms = turn->now_ms + scaled(balancer, VERIFY_MS),
                       .before = choice->before / mean,
                       .after = choice->after / mean,
                       .load = choice->shard->load};
}

/* Makes a job of it, or says that it would. */
static void decide(struct turn *turn, const struct balance_choice *choice, bool by_load)
{
    struct balancer *balancer = turn->balancer;
    if (turn->mode == BALANCER_ADVISE) {
        struct balance_past *memory =
            balance_memory_of(&balancer->memory, choice->shard->desc->start);
        bool said = memory->advised_ms != 0 &&
                    turn->now_ms - memory->advised_ms < scaled(balancer, ADVISE_MS);
        struct balancer_note *note = said ? NULL : new_note(turn);
        if (note != NULL) {
            char text[JOB_TEXT_SIZE_MAX];
            (void)snprintf(note->what, sizeof(note->what), "advice: %.190s",
                           job_spec_describe(&choice->spec, text, sizeof(text)));
            cluster_job_text_copy(note->why, sizeof(note->why), choice->spec.reason);
            memory->advised_ms = turn->now_ms;
        }
        return;
    }
    turn->out->decided = true;
    turn->out->spec = choice->spec;
    count(balancer, choice->spec.kind);
    remember(turn, choice);
    hope_for(turn, choice);
    if (by_load) {
        balancer->helped_ms = turn->now_ms;
        check_later(turn, choice);
    }
}

/* ---- what came of earlier decisions ---- */

static void judge(struct turn *turn, const struct check *check)
{
    struct balancer *balancer = turn->balancer;
    double now = balancer->stats.skew;
    double load = load_of(turn, check);
    bool comparable = load > check->load / 2 && load < check->load * 2;
    double gain = check->before - now;
    bool useless = comparable && gain * PERMILLE < (check->before - check->after) * GAIN_PERMILLE;
    if (useless) {
        balance_memory_of(&balancer->memory, check->start)->useless_ms = turn->now_ms;
        balancer->stats.useless++;
    }
    struct balancer_note *note = new_note(turn);
    if (note == NULL) {
        return;
    }
    char text[JOB_TEXT_SIZE_MAX];
    (void)snprintf(note->what, sizeof(note->what), "effect: %.190s",
                   job_spec_describe(&check->spec, text, sizeof(text)));
    cluster_job_text_copy(note->why, sizeof(note->why), check->spec.reason);
    (void)snprintf(note->effect, sizeof(note->effect),
                   "busiest node to the mean: %.2f before, %.2f expected, %.2f now%s",
                   check->before, check->after, now,
                   !comparable ? "; its load is another one, so this says nothing"
                   : useless   ? "; no gain: the shard is left alone for 10 minutes"
                               : "");
}

static void verify(struct turn *turn)
{
    struct balancer *balancer = turn->balancer;
    size_t kept = 0;
    for (size_t i = 0; i < balancer->check_count; i++) {
        struct check check = balancer->checks[i];
        if (check.due_ms <= turn->now_ms) {
            judge(turn, &check);
        } else {
            balancer->checks[kept++] = check;
        }
    }
    balancer->check_count = kept;
    kept = 0;
    for (size_t i = 0; i < balancer->hope_count; i++) {
        if (balancer->hopes[i].until_ms > turn->now_ms) {
            balancer->hopes[kept++] = balancer->hopes[i];
        }
    }
    balancer->hope_count = kept;
}

/* ---- too much load on a node ---- */

static double gain_of(const struct balance_choice *choice)
{
    return choice->found ? choice->before - choice->after : 0;
}

static bool is_enough(const struct turn *turn, const struct balance_choice *choice)
{
    double excess = choice->before - balance_view_mean(&turn->view);
    return choice->found && gain_of(choice) * PERMILLE >= excess * GAIN_PERMILLE;
}

/* What a shard is of what its node has to do, percent. */
static double percent_of(const struct turn *turn, const struct balance_shard *shard)
{
    double load = turn->view.nodes[shard->leader].load;
    return load > 0 ? shard->load * 100 / load : 0;
}

static void explain_load(const struct turn *turn, struct balance_choice *choice)
{
    double mean = balance_view_mean(&turn->view);
    const struct balance_shard *shard = choice->shard;
    bool aside = choice->spec.kind == JOB_SPLIT && shard->known->load.verdict == SPLIT_ONE_KEY;
    (void)snprintf(choice->spec.reason, sizeof(choice->spec.reason),
                   "node %" PRIu64 " does %.2f of the mean, shard %" PRIu64
                   " is %.0f%% of it%s; with node %" PRIu64 " as its help: %.2f",
                   turn->view.nodes[choice->node].desc->id, choice->before / mean, shard->desc->id,
                   shard->leader == choice->node ? percent_of(turn, shard) : 0.0,
                   aside ? ", mostly one key, which is set apart" : "",
                   turn->view.nodes[choice->to].desc->id, choice->after / mean);
}

/* The shard of the node that has most to do. */
static const struct balance_shard *hottest_of(const struct turn *turn, size_t node)
{
    const struct balance_shard *best = NULL;
    for (size_t i = 0; i < turn->view.shard_count; i++) {
        const struct balance_shard *shard = &turn->view.shards[i];
        if (shard->leader == node && shard->known != NULL &&
            (best == NULL || shard->load > best->load)) {
            best = shard;
        }
    }
    return best;
}

/* Nothing would help: says why, and what would. */
static void give_up(struct turn *turn, size_t node)
{
    const struct balance_shard *shard = hottest_of(turn, node);
    if (shard == NULL || percent_of(turn, shard) * 10 < HOT_PERMILLE) {
        return;
    }
    struct balance_past *memory = balance_memory_of(&turn->balancer->memory, shard->desc->start);
    bool said = memory->advised_ms != 0 &&
                turn->now_ms - memory->advised_ms < scaled(turn->balancer, ADVISE_MS);
    const struct shard_load *load = &shard->known->load;
    bool one = load->verdict == SPLIT_ONE_KEY || load->verdict == SPLIT_ONE_TOKEN;
    bool never = one || load->verdict == SPLIT_NO_DATA || load->verdict == SPLIT_UNEVEN;
    struct balancer_note *note = said || !never ? NULL : new_note(turn);
    if (note == NULL) {
        return;
    }
    memory->advised_ms = turn->now_ms;
    (void)snprintf(note->what, sizeof(note->what),
                   "shard %" PRIu64 " is hot, and a split cannot help", shard->desc->id);
    if (one && load->key_count > 0) {
        struct buf key;
        buf_init(&key, 1 << 10);
        buf_append_shown(&key, slice_of(load->hot[0].key, load->hot[0].key_len), 32);
        buf_append_u8(&key, '\0');
        (void)snprintf(note->why, sizeof(note->why), "key %s is %u%% of its load; %s",
                       (const char *)key.data, load->hot[0].share / 10U,
                       shard_load_remedy(&load->hot[0]));
        buf_deinit(&key);
    } else {
        (void)snprintf(note->why, sizeof(note->why), "%s", shard_load_verdict_text(load->verdict));
    }
}

/* A node that has had too much for long enough: the longer, the less it is. */
static size_t node_to_help(struct turn *turn, bool *long_enough)
{
    struct balancer *balancer = turn->balancer;
    size_t busiest = balance_view_busiest(&turn->view);
    if (busiest == BALANCE_NOBODY || turn->view.takers < 2) {
        return BALANCE_NOBODY;
    }
    uint64_t over_ms = node_memory(turn, turn->view.nodes[busiest].desc->id)->over_ms;
    bool urgent = balancer->stats.skew >= 1.5 ||
                  turn->now_ms - balancer->helped_ms < scaled(balancer, EPISODE_MS);
    uint64_t needed = urgent ? GREAT_MS : MILD_MS;
    if (over_ms == 0 || turn->now_ms - over_ms < scaled(balancer, needed)) {
        return BALANCE_NOBODY;
    }
    *long_enough = turn->now_ms - over_ms >= scaled(balancer, MOVE_MS);
    return busiest;
}

static bool may_split(const struct turn *turn)
{
    return turn->balancer->splits > 0 &&
           turn->view.shard_count < turn->view.takers * SPLIT_SHARDS_MAX;
}

static bool help(struct turn *turn, const struct balance_rules *rules)
{
    bool long_enough = false;
    size_t node = node_to_help(turn, &long_enough);
    if (node == BALANCE_NOBODY) {
        return false;
    }
    struct balance_choice transfer;
    struct balance_choice split = {0};
    struct balance_choice move = {0};
    balance_choice_transfer(&turn->view, rules, node, &transfer);
    if (may_split(turn)) {
        balance_choice_split(&turn->view, rules, node, &split);
    }
    /* The cheapest first, unless the next is worth much more. */
    struct balance_choice *best = &transfer;
    if (!is_enough(turn, best) || gain_of(&split) > 2 * gain_of(best)) {
        best = &split;
    }
    if (!is_enough(turn, best) && long_enough && turn->view.moves < MOVES_MAX) {
        balance_choice_move(&turn->view, rules, node, &move);
        best = &move;
    }
    if (!is_enough(turn, best)) {
        give_up(turn, node);
        return false;
    }
    explain_load(turn, best);
    decide(turn, best, true);
    return true;
}

/* ---- bytes, leaders, sizes, merges ---- */

static bool make_room(struct turn *turn, const struct balance_rules *rules)
{
    struct balance_choice choice;
    if (turn->view.moves >= MOVES_MAX) {
        return false;
    }
    balance_choice_room(&turn->view, rules, &choice);
    if (!choice.found) {
        return false;
    }
    (void)snprintf(choice.spec.reason, sizeof(choice.spec.reason),
                   "node %" PRIu64 " holds %.0f MB in %u replicas, node %" PRIu64
                   " only %.0f MB in %u",
                   choice.spec.from, choice.before / 1e6, turn->view.nodes[choice.node].replicas,
                   choice.spec.to, (double)turn->view.nodes[choice.to].bytes / 1e6,
                   turn->view.nodes[choice.to].replicas);
    decide(turn, &choice, false);
    return true;
}

static bool even_leads(struct turn *turn, const struct balance_rules *rules)
{
    struct balance_choice choice;
    size_t busiest = balance_view_busiest(&turn->view);
    double mean = turn->view.load / (double)turn->view.takers;
    /* Where nobody has much to do, load moves nobody: then all of them count alike. */
    bool idle = balance_view_use(&turn->view.nodes[busiest]) < turn->balancer->options.use_min;
    double load_max = idle ? turn->view.load : mean * IDLE_PERMILLE / PERMILLE;
    balance_choice_leads(&turn->view, rules, load_max, &choice);
    if (!choice.found) {
        return false;
    }
    (void)snprintf(choice.spec.reason, sizeof(choice.spec.reason),
                   "node %" PRIu64 " leads %u shards, node %" PRIu64 " only %u",
                   turn->view.nodes[choice.node].desc->id, turn->view.nodes[choice.node].leads,
                   choice.spec.to, turn->view.nodes[choice.to].leads);
    decide(turn, &choice, false);
    return true;
}

static bool cut_large(struct turn *turn, const struct balance_rules *rules)
{
    struct balance_choice choice;
    balance_choice_size(&turn->view, rules, turn->balancer->options.shard_bytes_max, &choice);
    if (!choice.found || turn->balancer->splits == 0) {
        return false;
    }
    (void)snprintf(choice.spec.reason, sizeof(choice.spec.reason),
                   "it holds %.1f GB; shards are split at %.1f GB", choice.before / 1e9,
                   (double)turn->balancer->options.shard_bytes_max / 1e9);
    decide(turn, &choice, false);
    return true;
}

/* What two shards together may have had to do at their worst moments of the last half hour: a
 * quarter of what made a shard hot then, or what a shard of the first cut has on average if that is
 * at most half of it. */
static double merge_load(const struct turn *turn)
{
    double peak = 0;
    double capacity = 0;
    for (size_t i = 0; i < turn->view.node_count; i++) {
        const struct balance_node *node = &turn->view.nodes[i];
        peak += node->takes ? node->peak : 0;
        capacity += node->takes ? node->capacity : 0;
    }
    double least = capacity * turn->balancer->options.use_min;
    peak = peak < least ? least : peak;
    double hot = peak / (double)turn->view.takers * HOT_PERMILLE / PERMILLE;
    unsigned wanted = turn->view.map->shards_wanted == 0 ? 1 : turn->view.map->shards_wanted;
    double fair = peak / wanted * FAIR_PERMILLE / PERMILLE;
    fair = fair < hot / 2 ? fair : hot / 2;
    return fair > hot / MERGE_RATIO ? fair : hot / MERGE_RATIO;
}

static bool merge(struct turn *turn, const struct balance_rules *rules)
{
    struct balancer *balancer = turn->balancer;
    struct balance_choice choice;
    bool soon = turn->now_ms - balancer->merged_ms < scaled(balancer, MERGE_EVERY_MS);
    if (soon || turn->view.shard_count <= turn->view.map->shards_wanted ||
        turn->view.shard_count < 2) {
        return false;
    }
    balance_choice_merge(&turn->view, rules, merge_load(turn),
                         balancer->options.shard_bytes_max / MERGE_RATIO, &choice);
    if (!choice.found) {
        return false;
    }
    (void)snprintf(choice.spec.reason, sizeof(choice.spec.reason),
                   "both have had next to nothing to do for half an hour, and there are %zu shards "
                   "where %u would do",
                   turn->view.shard_count, turn->view.map->shards_wanted);
    decide(turn, &choice, false);
    return true;
}

static bool is_held_back(struct turn *turn)
{
    struct balancer *balancer = turn->balancer;
    uint64_t led_ms = balancer->began_ms + scaled(balancer, LEAD_MS);
    balancer->waits[0] = '\0';
    if (turn->mode == BALANCER_OFF) {
        waits(balancer, "it is off");
    } else if (turn->view.takers == 0 || turn->view.shard_count == 0) {
        waits(balancer, "nothing is known of the nodes yet");
    } else if (turn->now_ms < led_ms) {
        waits(balancer, "it has just begun, and looks on for %" PRIu64 " s",
              (led_ms - turn->now_ms) / 1000 + 1);
    } else if (!turn->view.whole) {
        waits(balancer, "a shard has no leader that was heard of");
    } else if (turn->now_ms < balancer->quiet_ms) {
        waits(balancer, "a node or a leader was lost: it looks on for %" PRIu64 " s",
              (balancer->quiet_ms - turn->now_ms) / 1000 + 1);
    } else if (turn->view.active >= ACTIVE_MAX) {
        waits(balancer, "%u jobs are under way", turn->view.active);
    }
    return balancer->waits[0] != '\0';
}

static void refill(struct turn *turn)
{
    struct balancer *balancer = turn->balancer;
    if (turn->now_ms - balancer->split_ms >= scaled(balancer, SPLIT_EVERY_MS)) {
        balancer->split_ms = turn->now_ms;
        balancer->splits += balancer->splits < SPLITS_MAX;
    }
}

void balancer_tick(struct balancer *balancer,
                   const struct balance_input *input,
                   enum balancer_mode mode,
                   struct balancer_output *output)
{
    struct turn turn = {
        .balancer = balancer, .input = input, .mode = mode, .out = output, .now_ms = input->now_ms};
    struct balance_rules rules = {.ctx = &turn, .may = may};
    output->decided = false;
    output->note_count = 0;
    balance_view_init(&turn.view, input, balancer->hopes, balancer->hope_count);
    watch(&turn);
    measure(&turn);
    refill(&turn);
    verify(&turn);
    if (!is_held_back(&turn)) {
        (void)(help(&turn, &rules) || make_room(&turn, &rules) || cut_large(&turn, &rules) ||
               (!somebody_has_too_much(&turn) &&
                (even_leads(&turn, &rules) || merge(&turn, &rules))));
    }
    balance_view_deinit(&turn.view);
}
