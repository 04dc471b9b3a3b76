#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/cluster/token.h"
#include "server/control/agent.h"
#include "server/worker_private.h"

/* Splits as the worker sees them: the child's replica is opened, on the loop that is its own, once
 * its first state is durable; a replica that is to be made or filled waits until no other here has
 * tokens of its range; and who asks for tokens that went is told where. docs/elastic.md. */

enum { RANGES_MAX = 64 };

/* A replica that is not made yet: see worker_create(). */
struct held {
    struct list link;
    struct shard_desc desc;
    uint64_t replica;
};

/* ---- who has which tokens ---- */

struct search {
    struct worker *worker;
    const struct shard_desc *range;
    uint64_t replica; /* Of the shard itself, whatever it holds; 0: none is here. */
    bool overlaps;    /* One of another shard that holds tokens of the range. */
    bool late;        /* One of another shard has not applied yet what the map says of it. */
};

static void compare(struct search *search, const struct shard_state *state)
{
    const struct shard_desc *desc = &state->desc;
    const struct shard_desc *range = search->range;
    if (desc->id == range->id) {
        search->replica = state->replica;
        return;
    }
    if (desc->id == SHARD_META || state->group.index == 0) {
        return;
    }
    const struct shard_desc *mapped = shard_map_shard(&search->worker->map, desc->id);
    bool apart = desc->start > range->last || range->start > desc->last;
    search->overlaps = search->overlaps || !(apart || merge_covers(range, state));
    search->late = search->late || (mapped != NULL && mapped->ver > desc->ver);
}

static void compare_row(void *arg, struct slice value)
{
    struct search *search = arg;
    struct shard_state state;
    /* Those of this loop are looked at themselves: their rows may be a commit behind. */
    if (shard_state_decode(value, &state) == STATUS_OK &&
        worker_slot(search->worker, state.desc.id) == NULL) {
        compare(search, &state);
    }
}

/* Replicas of other loops as of their last commit. A split becomes visible in one step with its
 * child, so nothing is missed in between. */
static void look_around(struct worker *worker, struct search *search)
{
    size_t at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &at)) != NULL;) {
        compare(search, shard_state(slot->shard));
    }
    enum status status = replica_each_row(worker, compare_row, search);
    if (status != STATUS_OK) {
        log_error("store.failed", "reason=\"%s\" action=\"this node stops; check its disk\"",
                  status_text(status));
        abort();
    }
}

bool change_may_fill(struct worker *worker, const struct shard_desc *desc)
{
    struct search search = {.worker = worker, .range = desc};
    if (desc->id != SHARD_META) {
        look_around(worker, &search);
    }
    return !search.overlaps;
}

/* Every token of the range has a newer owner in the map. */
static bool is_passed_on(const struct shard_map *map, const struct shard_desc *desc)
{
    for (size_t i = 0; i < map->shard_count; i++) {
        const struct shard_desc *owner = &map->shards[i];
        bool apart = owner->start > desc->last || desc->start > owner->last;
        if (!apart && owner->ver <= desc->ver) {
            return false;
        }
    }
    return map->shard_count > 0;
}

/* The map loses a shard only when another has absorbed it. Whoever is to absorb it here is late
 * then: a merge is of two shards on the same nodes. */
bool change_left_behind(struct worker *worker, const struct slot *slot)
{
    const struct shard_state *state = shard_state(slot->shard);
    if (slot->desc != NULL || state->desc.id == SHARD_META || state->target != 0 ||
        !is_passed_on(&worker->map, &state->desc)) {
        return false;
    }
    struct search search = {.worker = worker, .range = &state->desc};
    look_around(worker, &search);
    return !search.late;
}

/* ---- replicas to be made ---- */

bool change_hold(struct worker *worker, const struct shard_desc *desc, uint64_t replica)
{
    struct search search = {.worker = worker, .range = desc};
    if (desc->id == SHARD_META) {
        return false;
    }
    look_around(worker, &search);
    if (search.replica == replica || replica_tombstone(worker, desc->id) >= replica) {
        return true; /* It came with a split while the agent asked for it, and may be gone again. */
    }
    if (search.replica == 0 && !search.overlaps) {
        return false;
    }
    struct held *held = calloc(1, sizeof(*held));
    assert(held != NULL);
    held->desc = *desc;
    held->replica = replica;
    list_push_back(&worker->held, &held->link);
    return true;
}

bool change_drop_held(struct worker *worker, uint64_t shard, uint64_t replica)
{
    for (struct list *at = worker->held.next; at != &worker->held; at = at->next) {
        struct held *held = list_entry(at, struct held, link);
        if (held->desc.id == shard && held->replica == replica) {
            list_remove(&held->link);
            free(held);
            return true;
        }
    }
    return false;
}

static void try_held(struct worker *worker)
{
    struct list due;
    list_init(&due);
    for (struct list *at; (at = list_pop_front(&worker->held)) != NULL;) {
        list_push_back(&due, at);
    }
    for (struct list *at; (at = list_pop_front(&due)) != NULL;) {
        struct held *held = list_entry(at, struct held, link);
        bool gone =
            worker->map.shard_count > 0 && shard_map_shard(&worker->map, held->desc.id) == NULL;
        bool here = worker_slot(worker, held->desc.id) != NULL; /* It came with the split. */
        if (gone && !here) { /* Merged into another meanwhile: it never will be. */
            worker->env.merged(worker->env.ctx, held->desc.id, held->replica);
        } else if (!here) {
            worker_create(worker, &held->desc, held->replica, false);
        }
        free(held);
    }
}

/* What the map should know. */
static void tell_ranges(struct worker *worker)
{
    struct agent_range ranges[RANGES_MAX];
    size_t count = 0;
    size_t at = 0;
    for (struct slot *slot; count < RANGES_MAX && (slot = map_next(&worker->slots, &at)) != NULL;) {
        const struct shard_state *state = shard_state(slot->shard);
        bool known = slot->desc != NULL && slot->desc->ver >= state->desc.ver;
        /* A frozen one is told of when it is known what became of it. */
        if (state->desc.id != SHARD_META && state->group.index > 0 && state->target == 0 &&
            !known) {
            shard_describe(slot->shard, &ranges[count].desc);
            ranges[count++].led = shard_leads(slot->shard);
        }
    }
    if (count > 0) {
        worker->env.ranged(worker->env.ctx, ranges, count);
    }
}

void change_tick(struct worker *worker, bool second)
{
    if (second) {
        try_held(worker);
    }
    if (second || worker->ranged) {
        worker->ranged = false;
        tell_ranges(worker);
    }
}

void change_free(struct worker *worker)
{
    for (struct list *at; (at = list_pop_front(&worker->held)) != NULL;) {
        free(list_entry(at, struct held, link));
    }
}

/* ---- who asks for tokens that went ---- */

/* As new as this loop knows it, with who leads it. here: this node leads the shard that it came
 * from. */
static void add_owner(struct worker *worker,
                      const struct shard_desc *desc,
                      bool here,
                      struct shard_news *news)
{
    for (size_t i = 0; i < news->count; i++) {
        if (news->descs[i].id == desc->id) {
            return;
        }
    }
    struct shard_desc newest = *desc;
    const struct slot *slot = worker_slot(worker, desc->id);
    if (slot != NULL && shard_state(slot->shard)->desc.ver >= desc->ver) {
        shard_describe(slot->shard, &newest);
    }
    struct leader_hint hint;
    if (!worker_leader(worker, desc->id, &hint) && here) {
        hint.node = worker->options.node; /* It stands here first. */
    }
    shard_news_add(news, &newest, &hint);
}

/* The shard, and what became of tokens that it had. */
static void collect_owners(struct worker *worker,
                           const struct shard *shard,
                           struct shard_news *news)
{
    struct shard_desc desc;
    const struct shard_desc *kin = NULL;
    size_t count = shard_kin(shard, &kin);
    bool here = shard_leads(shard);
    shard_describe(shard, &desc);
    news->count = 0;
    add_owner(worker, &desc, here, news);
    for (size_t i = 0; i < count; i++) {
        add_owner(worker, &kin[i], here, news);
    }
}

static bool token_asked(const struct op *op, uint64_t *token)
{
    size_t at = op->command == NULL ? 0 : command_key_at(op->command, op->args, 0);
    if (at != 0) {
        *token = token_of(op->db, op->args.argv[at]);
    }
    return at != 0;
}

void change_write_owners(struct worker *worker, const struct op *op, struct buf *out)
{
    struct shard_news news;
    const struct shard_desc *own = &shard_state(op->shard)->desc;
    uint64_t token = 0;
    collect_owners(worker, op->shard, &news);
    /* It may have gone before this process began. */
    if (token_asked(op, &token) && (token < own->start || token > own->last)) {
        const struct shard_desc *other = shard_map_find(&worker->routes, token);
        if (other != NULL && other->id != own->id) {
            add_owner(worker, other, false, &news);
        }
    }
    shard_news_encode(&news, out);
}

/* ---- children ---- */

bool change_may_bear(void *ctx, uint64_t child, uint64_t replica)
{
    struct worker *worker = ctx;
    struct shard_desc desc = {.id = child};
    struct search search = {.worker = worker, .range = &desc};
    look_around(worker, &search);
    uint64_t dead = replica_tombstone(worker, child);
    if (search.replica != 0 || dead >= replica) {
        log_warn("shard.child_known", "shard=%llu replica=%llu exists=%d tombstone=%llu",
                 (unsigned long long)child, (unsigned long long)replica, (int)(search.replica != 0),
                 (unsigned long long)dead);
    }
    return search.replica == 0 && dead < replica;
}

/* Routers join the moved channels again, at the child. */
static void drop_channels(struct worker *worker, struct shard *shard)
{
    const struct shard_desc *desc = &shard_state(shard)->desc;
    hub_keep(&worker->hub, desc->id, desc->start, desc->last);
}

void change_tell(struct worker *worker, struct shard *shard)
{
    struct shard_news news;
    collect_owners(worker, shard, &news);
    board_descs(worker, &news);
    worker->ranged = true;
}

void change_divided(void *ctx, struct shard *shard, const struct shard_state *child)
{
    struct worker *worker = ctx;
    drop_channels(worker, shard);
    change_tell(worker, shard);
    if (child != NULL) {
        struct birth *fresh = calloc(1, sizeof(*fresh));
        assert(fresh != NULL);
        fresh->state = *child;
        fresh->campaign = shard_leads(shard);
        fresh->split = true;
        fresh->meter = load_divide(shard, &child->desc);
        list_push_back(&worker->births, &fresh->link);
    }
    /* Also without a child: a snapshot may wait for the range to be free. */
    worker->commit_due = true;
    worker->env.again(worker->env.ctx);
}

void change_forget(struct worker *worker, const struct shard_desc *desc)
{
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, STORE_DATA, &from, &to);
    txn_forget_range(worker->txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    buf_clear(&from);
    buf_clear(&to);
    buf_append_u64_be(&from, desc->id);
    buf_append_u64_be(&to, desc->id + 1);
    txn_forget_range(worker->txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
}

void change_after_commit(struct worker *worker)
{
    for (struct list *at = worker->births.next; at != &worker->births; at = at->next) {
        const struct birth *fresh = list_entry(at, struct birth, link);
        const struct shard_desc *desc = &fresh->state.desc;
        if (!fresh->split || worker_loop_of(worker, desc->id) == worker->options.loop) {
            continue;
        }
        change_forget(worker, desc); /* From now on another loop writes these rows. */
    }
}

struct open_mail {
    struct worker_mail mail;
    struct shard_state state;
    bool campaign;
    struct shard_meter *meter;
};

static void open_here(struct worker *worker,
                      const struct shard_state *state,
                      bool campaign,
                      struct shard_meter *meter)
{
    replica_open(worker, state, campaign);
    if (meter != NULL) {
        load_adopt(worker_shard(worker, state->desc.id), meter);
    }
    worker->ranged = true;
    worker->env.born(worker->env.ctx, state->desc.id, state->replica);
    worker->env.again(worker->env.ctx);
}

static void run_open(struct worker *to, struct worker_mail *mail)
{
    struct open_mail *open = list_entry(mail, struct open_mail, mail);
    if (!to->quit) {
        change_forget(to, &open->state.desc); /* It may have been this loop's before. */
        open_here(to, &open->state, open->campaign, open->meter);
    } else {
        load_drop(open->meter);
    }
    free(open);
}

void change_open(struct worker *worker,
                 const struct shard_state *state,
                 bool campaign,
                 struct shard_meter *meter)
{
    unsigned loop = worker_loop_of(worker, state->desc.id);
    if (loop == worker->options.loop) {
        open_here(worker, state, campaign, meter);
        return;
    }
    struct open_mail *open = calloc(1, sizeof(*open));
    assert(open != NULL);
    open->mail.run = run_open;
    open->state = *state;
    open->campaign = campaign;
    open->meter = meter;
    worker->env.post(worker->env.ctx, loop, &open->mail);
}

/* ---- snapshots ---- */

static void disown(struct worker *worker, uint64_t start, uint64_t last)
{
    struct machine_scope scope = {.start = start, .last = last};
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, STORE_DATA, &from, &to);
    txn_disown_range(worker->txn, STORE_DATA, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
}

void change_shrink(struct worker *worker,
                   const struct shard_state *before,
                   const struct shard_desc *now)
{
    const struct shard_desc *was = &before->desc;
    if (was->id == SHARD_META || before->group.index == 0) {
        return;
    }
    assert(was->start <= now->last && now->start <= was->last);
    if (was->start < now->start) {
        disown(worker, was->start, now->start - 1);
    }
    if (was->last > now->last) {
        disown(worker, now->last + 1, was->last);
    }
}
