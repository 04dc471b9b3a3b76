#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/shard/range_change.h"
#include "server/worker_private.h"

/* Merges as the worker sees them: docs/elastic.md. Replicas of a frozen shard tell its leader once
 * they have that on disk; when all do, the leader asks the target's leader to absorb it; if that
 * takes too long, to say that it never will. What came of it each replica sees by itself, at the
 * target's replica beside it. Notes between nodes may be lost, and are repeated. */

enum {
    NOTE_SIZE_MAX = 1024,
    NOTE_MS = 40,       /* Between two of a kind. */
    PATIENCE_MS = 1500, /* Of the leader, until it gives up. */
};

/* On their way in FRAME_BULK: u8 NOTE_BULK | u64 shard that it is for | u8 kind | body. */
enum note_kind {
    NOTE_FROZEN = 1, /* To the source's leader: u64 ver | u64 replica | u8 it never will be. */
    NOTE_CHANGE,     /* To the target's: an entry to be proposed. */
};

/* ---- what is known of the two on this node ---- */

struct pair {
    struct worker *worker;
    const struct shard_state *source;
    struct shard_state target;
    bool source_here;
    bool target_here;
};

static void look_at(struct pair *pair, const struct shard_state *state)
{
    if (state->desc.id == pair->source->target) {
        pair->target = *state;
        pair->target_here = true;
    } else if (state->desc.id == pair->source->desc.id) {
        pair->source_here = state->replica == pair->source->replica;
    }
}

static void look_at_row(void *arg, struct slice value)
{
    struct pair *pair = arg;
    struct shard_state state;
    if (shard_state_decode(value, &state) == STATUS_OK) {
        look_at(pair, &state);
    }
}

/* Rows of other loops are as of their last commit; one commit has both the target as it is with the
 * source and the source's end, so who sees one sees the other. */
static void look(struct worker *worker, const struct shard_state *source, struct pair *pair)
{
    *pair = (struct pair){.worker = worker, .source = source};
    enum status status = replica_each_row(worker, look_at_row, pair);
    if (status != STATUS_OK) {
        log_error("store.failed", "reason=\"%s\" action=\"this node stops; check its disk\"",
                  status_text(status));
        abort();
    }
    const struct slot *slot = worker_slot(worker, source->target);
    if (slot != NULL) {
        look_at(pair, shard_state(slot->shard));
    }
}

static bool same_nodes(const struct group_conf *a, const struct group_conf *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        bool found = false;
        for (unsigned k = 0; k < b->count; k++) {
            found = found || (a->members[i].node == b->members[k].node &&
                              b->members[k].role == MEMBER_VOTER);
        }
        if (!found) {
            return false;
        }
    }
    return a->count == b->count;
}

static bool all_connected(struct worker *worker, const struct group_conf *conf)
{
    for (unsigned i = 0; i < conf->count; i++) {
        uint64_t node = conf->members[i].node;
        if (node != worker->options.node && worker->env.node_loops(worker->env.ctx, node) == 0) {
            return false;
        }
    }
    return true;
}

const char *merge_unfit(void *ctx, struct shard *shard, uint64_t target, uint64_t target_ver)
{
    struct worker *worker = ctx;
    struct shard_state source = *shard_state(shard);
    struct pair pair;
    source.target = target;
    look(worker, &source, &pair);
    const struct shard_desc *other = &pair.target.desc;
    const struct shard_desc *own = &source.desc;
    if (!all_connected(worker, &source.group.conf)) {
        return "RETRY a member of the shard is not connected"; /* It would be frozen in vain. */
    }
    if (!pair.target_here || !same_nodes(&source.group.conf, &pair.target.group.conf)) {
        return "RETRY the members of the two shards are on different nodes";
    }
    if (other->ver != target_ver || pair.target.target != 0) {
        return "STALE the other shard has another version";
    }
    bool near = (own->start > 0 && other->last == own->start - 1) ||
                (own->last < UINT64_MAX && other->start == own->last + 1);
    if (!near) {
        return "REFUSED the shards are not neighbours";
    }
    return pair.target.machine.recount_ms != 0 ? "RETRY the keys of the other are being counted"
                                               : NULL;
}

/* ---- frozen ---- */

void merge_frozen(void *ctx, struct shard *shard)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    slot->sealed = false;
    slot->durable = false;
    slot->merge = (struct slot_merge){0};
    list_remove(&slot->merging);
    worker->ranged = true;
    if (shard_frozen(shard)) {
        list_push_back(&worker->merging, &slot->merging);
        worker->freezing = true;
        worker->commit_due = true;
        worker->env.again(worker->env.ctx);
    }
}

void merge_opened(struct worker *worker, struct slot *slot)
{
    if (shard_frozen(slot->shard)) {
        list_push_back(&worker->merging, &slot->merging);
        slot->sealed = true; /* What was read at the start is on disk. */
        slot->durable = true;
    }
}

void merge_after_commit(struct worker *worker)
{
    if (!worker->freezing) {
        return;
    }
    worker->freezing = false;
    for (struct list *at = worker->merging.next; at != &worker->merging; at = at->next) {
        struct slot *slot = list_entry(at, struct slot, merging);
        /* From here on its rows may be the target's, whose loop may be another. */
        slot->sealed = true;
    }
    worker->flush_wanted = true;
}

void merge_note_durable(struct worker *worker, struct list *marks)
{
    for (struct list *at = worker->merging.next; at != &worker->merging; at = at->next) {
        struct slot *slot = list_entry(at, struct slot, merging);
        if (slot->sealed && !slot->durable) {
            struct merge_mark *mark = calloc(1, sizeof(*mark));
            assert(mark != NULL);
            mark->shard = shard_id(slot->shard);
            mark->ver = shard_state(slot->shard)->desc.ver;
            list_push_back(marks, &mark->link);
        }
    }
}

void merge_durable(struct worker *worker, const struct merge_mark *mark)
{
    struct slot *slot = worker_slot(worker, mark->shard);
    if (slot != NULL && slot->sealed && shard_state(slot->shard)->desc.ver == mark->ver) {
        slot->durable = true;
    }
}

/* ---- notes ---- */

static void take_note(struct worker *worker, struct slice body);

static void run_note(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    take_note(to, slice_of(bytes->bytes, bytes->len));
    free(bytes);
}

static void send_note(struct worker *worker, uint64_t node, uint64_t shard, struct slice note)
{
    if (node == worker->options.node) {
        unsigned loop = worker_loop_of(worker, shard);
        worker_post_bytes(worker, loop, node, note, run_note);
        return;
    }
    struct buf *out = node == 0 ? NULL : worker->env.out_node(worker->env.ctx, node);
    if (out != NULL) {
        size_t offset = frame_begin(out, FRAME_BULK, 0);
        buf_append_slice(out, note);
        frame_end(out, offset);
    }
}

static void begin_note(struct buf *note, uint64_t shard, enum note_kind kind)
{
    buf_append_u8(note, NOTE_BULK);
    buf_append_u64(note, shard);
    buf_append_u8(note, (uint8_t)kind);
}

static void ask_target(struct worker *worker, const struct range_change *change, uint64_t target)
{
    struct leader_hint hint;
    struct buf note;
    buf_init(&note, NOTE_SIZE_MAX);
    begin_note(&note, target, NOTE_CHANGE);
    range_change_encode(change, &note);
    if (worker_leader(worker, target, &hint)) {
        send_note(worker, hint.node, target, buf_slice(&note));
    }
    buf_deinit(&note);
}

static void count_report(struct slot *slot, uint64_t replica, bool void_here)
{
    struct slot_merge *merge = &slot->merge;
    merge->voided = merge->voided || void_here;
    for (unsigned i = 0; i < merge->count; i++) {
        if (merge->replicas[i] == replica) {
            return;
        }
    }
    if (merge->count < GROUP_MEMBERS_MAX) {
        merge->replicas[merge->count++] = replica;
    }
}

static void take_frozen(struct slot *slot, struct reader *in)
{
    uint64_t ver = reader_u64(in);
    uint64_t replica = reader_u64(in);
    bool void_there = reader_u8(in) != 0;
    const struct shard_state *state = shard_state(slot->shard);
    if (reader_done(in) && state->target != 0 && state->desc.ver == ver) {
        count_report(slot, replica, void_there);
    }
}

static void take_note(struct worker *worker, struct slice body)
{
    struct reader in = reader_of(body);
    struct range_change change;
    (void)reader_u8(&in);
    struct slot *slot = worker_slot(worker, reader_u64(&in));
    uint8_t kind = reader_u8(&in);
    if (in.failed || slot == NULL || slot->removing) {
        return;
    }
    if (kind == NOTE_FROZEN) {
        take_frozen(slot, &in);
    } else if (kind == NOTE_CHANGE && range_change_decode(in.rest, &change) == STATUS_OK &&
               (change.kind == RANGE_ABSORB || change.kind == RANGE_VOID)) {
        shard_merge_propose(slot->shard, &change);
        worker->env.again(worker->env.ctx);
    }
}

void merge_receive(struct worker *worker, struct slice body)
{
    take_note(worker, body);
}

/* ---- the leader of the source ---- */

static bool all_frozen(const struct slot *slot)
{
    const struct group_conf *conf = &shard_state(slot->shard)->group.conf;
    for (unsigned i = 0; i < conf->count; i++) {
        bool found = false;
        for (unsigned k = 0; k < slot->merge.count; k++) {
            found = found || slot->merge.replicas[k] == conf->members[i].replica;
        }
        if (!found) {
            return false;
        }
    }
    return conf->count > 0 && conf->count <= SHARD_REPLICAS_MAX;
}

static void absorb_request(const struct shard_state *state, struct range_change *change)
{
    *change = (struct range_change){.kind = RANGE_ABSORB,
                                    .ver = state->target_ver,
                                    .other = state->desc.id,
                                    .other_ver = state->desc.ver,
                                    .start = state->desc.start,
                                    .last = state->desc.last,
                                    .count = state->group.conf.count};
    for (unsigned i = 0; i < change->count; i++) {
        change->members[i] = (struct replica_desc){.node = state->group.conf.members[i].node,
                                                   .id = state->group.conf.members[i].replica};
    }
}

static void drive(struct worker *worker, struct slot *slot, uint64_t now_ms)
{
    const struct shard_state *state = shard_state(slot->shard);
    struct slot_merge *merge = &slot->merge;
    struct range_change change = {.kind = RANGE_UNFREEZE, .ver = state->desc.ver};
    merge->deadline_ms = merge->deadline_ms == 0 ? now_ms + PATIENCE_MS : merge->deadline_ms;
    if (merge->voided) {
        shard_merge_propose(slot->shard, &change);
        worker->env.again(worker->env.ctx);
        return;
    }
    if (now_ms >= merge->deadline_ms) {
        change.kind = RANGE_VOID;
        change.ver = state->target_ver;
        ask_target(worker, &change, state->target);
    } else if (all_frozen(slot)) {
        absorb_request(state, &change);
        ask_target(worker, &change, state->target);
    }
}

/* A replica that has it on disk that it is frozen tells the leader, and whether the target's
 * replica beside it has gone on without it. */
static void report(struct worker *worker, struct slot *slot, uint64_t now_ms)
{
    const struct shard_state *state = shard_state(slot->shard);
    struct pair pair;
    look(worker, state, &pair);
    bool absorbed = slot->absorbed || !pair.source_here;
    bool void_here = !absorbed && pair.target_here && pair.target.desc.ver > state->target_ver;
    if (absorbed) {
        return; /* Its end is under way. */
    }
    if (shard_leads(slot->shard)) {
        count_report(slot, state->replica, void_here);
        drive(worker, slot, now_ms);
        return;
    }
    struct buf note;
    buf_init(&note, NOTE_SIZE_MAX);
    begin_note(&note, state->desc.id, NOTE_FROZEN);
    buf_append_u64(&note, state->desc.ver);
    buf_append_u64(&note, state->replica);
    buf_append_u8(&note, void_here);
    send_note(worker, shard_leader(slot->shard).node, state->desc.id, buf_slice(&note));
    buf_deinit(&note);
}

void merge_tick(struct worker *worker, uint64_t now_ms)
{
    for (struct list *at = worker->merging.next; at != &worker->merging; at = at->next) {
        struct slot *slot = list_entry(at, struct slot, merging);
        struct slot_merge *merge = &slot->merge;
        if (!shard_leads(slot->shard)) {
            merge->deadline_ms = 0; /* Whoever leads next has time of its own. */
        }
        if (slot->durable && !slot->installing && now_ms >= merge->next_ms) {
            merge->next_ms = now_ms + NOTE_MS;
            report(worker, slot, now_ms);
        }
    }
}

bool merge_may_fill(struct worker *worker, const struct shard *shard)
{
    const struct shard_state *state = shard_state(shard);
    struct pair pair;
    if (state->target == 0) {
        return true;
    }
    look(worker, state, &pair);
    return pair.source_here && pair.target_here && pair.target.desc.ver > state->target_ver;
}

bool merge_orphaned(struct worker *worker, struct slot *slot)
{
    const struct shard_state *state = shard_state(slot->shard);
    struct pair pair;
    bool gone = slot->durable && worker->map.shard_count > 0 && slot->desc == NULL &&
                replica_tombstone(worker, state->target) != 0;
    if (!gone) {
        return false;
    }
    look(worker, state, &pair);
    return pair.source_here && !pair.target_here;
}

/* ---- absorbed ---- */

static void end_source(struct worker *worker, const struct shard_state *source)
{
    struct absorbed *absorbed = calloc(1, sizeof(*absorbed));
    assert(absorbed != NULL);
    absorbed->shard = source->desc.id;
    absorbed->replica = source->replica;
    replica_delete_local(worker, source);
    list_push_back(&worker->absorbed, &absorbed->link);
    struct slot *slot = worker_slot(worker, source->desc.id);
    if (slot != NULL) {
        slot->absorbed = true;
    }
    worker->commit_due = true;
    worker->env.again(worker->env.ctx);
}

void merge_absorbed(void *ctx, struct shard *shard, const struct shard_state *source)
{
    struct worker *worker = ctx;
    if (worker_loop_of(worker, source->desc.id) != worker->options.loop) {
        change_forget(worker, &source->desc); /* Another loop wrote these rows until now. */
    }
    end_source(worker, source);
    change_tell(worker, shard);
}

struct cover {
    const struct shard_desc *target;
    struct worker *worker;
    size_t count;
    struct shard_state sources[SHARD_KIN_MAX];
};

bool merge_covers(const struct shard_desc *target, const struct shard_state *source)
{
    const struct shard_desc *desc = &source->desc;
    return source->target == target->id && target->ver > desc->ver &&
           target->start <= desc->start && desc->last <= target->last;
}

static void find_covered(void *arg, struct slice value)
{
    struct cover *cover = arg;
    struct shard_state state;
    if (shard_state_decode(value, &state) == STATUS_OK && merge_covers(cover->target, &state) &&
        cover->count < SHARD_KIN_MAX) {
        cover->sources[cover->count++] = state;
    }
}

void merge_installed(struct worker *worker, const struct shard_desc *target)
{
    struct cover cover = {.target = target, .worker = worker};
    enum status status = replica_each_row(worker, find_covered, &cover);
    assert(status == STATUS_OK);
    for (size_t i = 0; i < cover.count; i++) {
        end_source(worker, &cover.sources[i]);
    }
}

struct end_mail {
    struct worker_mail mail;
    uint64_t shard;
    uint64_t replica;
};

static void run_end(struct worker *to, struct worker_mail *mail)
{
    struct end_mail *end = list_entry(mail, struct end_mail, mail);
    struct slot *slot = worker_slot(to, end->shard);
    if (slot != NULL && shard_state(slot->shard)->replica == end->replica) {
        slot->absorbed = true;
        worker_remove(to, end->shard, end->replica);
    }
    free(end);
}

void merge_end(struct worker *worker, struct absorbed *absorbed)
{
    struct end_mail *end = calloc(1, sizeof(*end));
    assert(end != NULL);
    end->mail.run = run_end;
    end->shard = absorbed->shard;
    end->replica = absorbed->replica;
    worker->env.post(worker->env.ctx, worker_loop_of(worker, absorbed->shard), &end->mail);
    free(absorbed);
}
