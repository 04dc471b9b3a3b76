#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/cluster/shard_map_take.h"
#include "server/worker_private.h"

/* What a loop tells those who subscribed here: the map, and which shards this node leads. Every
 * loop keeps the leaders of the whole node, so that a subscriber needs one connection. And what
 * other nodes, to which this one subscribed, say of themselves. */

struct hint_mail {
    struct worker_mail mail;
    struct leader_hint hint; /* node 0: this node leads it no longer. */
};

static size_t begin_leaders(struct buf *out)
{
    return frame_begin(out, FRAME_LEADERS, 0);
}

static void send_map(struct worker *worker, struct buf *out)
{
    size_t offset = frame_begin(out, FRAME_MAP, 0);
    buf_append_slice(out, buf_slice(&worker->map_bytes));
    frame_end(out, offset);
}

/* This node is about to stop. */
static void append_leaving(const struct worker *worker, struct buf *out)
{
    struct leader_hint hint = {.node = worker->options.node};
    leader_hint_encode(&hint, out);
}

static void send_leaders(struct worker *worker, struct buf *out)
{
    size_t offset = begin_leaders(out);
    size_t at = 0;
    for (struct leader_hint *hint; (hint = map_next(&worker->leaders, &at)) != NULL;) {
        leader_hint_encode(hint, out);
    }
    if (worker->leaving) {
        append_leaving(worker, out);
    }
    frame_end(out, offset);
}

static void send_descs(struct buf *out, const struct shard_news *news)
{
    size_t offset = frame_begin(out, FRAME_DESCS, 0);
    shard_news_encode(news, out);
    frame_end(out, offset);
}

void board_subscribe(struct worker *worker, uint64_t link, uint64_t version)
{
    struct buf *out = worker->env.out_link(worker->env.ctx, link);
    if (out == NULL) {
        return;
    }
    board_forget(worker, link);
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
    assert(subscriber != NULL);
    subscriber->number = link;
    list_push_back(&worker->subscribers, &subscriber->link);
    if (worker->map.version > version) {
        send_map(worker, out);
    }
    if (worker->news.count > 0) {
        send_descs(out, &worker->news);
    }
    send_leaders(worker, out);
}

void board_forget(struct worker *worker, uint64_t link)
{
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        if (subscriber->number == link) {
            list_remove(&subscriber->link);
            free(subscriber);
            return;
        }
    }
}

static void want(struct worker *worker, const struct shard_desc *desc)
{
    struct slot *slot = desc->id == 0 ? NULL : worker_slot(worker, desc->id);
    if (slot != NULL) {
        slot->desc = desc;
        shard_want(slot->shard, desc);
    }
}

void worker_set_map(struct worker *worker, const struct shard_map *map, struct slice encoded)
{
    worker->look_all = true;
    shard_map_copy(&worker->map, map);
    struct shard_map known = worker->routes;
    shard_map_init(&worker->routes);
    shard_map_copy(&worker->routes, map);
    (void)shard_map_take(&worker->routes, known.shards, known.shard_count);
    shard_map_deinit(&known);
    buf_clear(&worker->map_bytes);
    buf_append_slice(&worker->map_bytes, encoded);
    size_t slot_at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &slot_at)) != NULL;) {
        slot->desc = NULL;
    }
    want(worker, &worker->map.meta);
    for (size_t i = 0; i < worker->map.shard_count; i++) {
        want(worker, &worker->map.shards[i]);
    }
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        struct buf *out = worker->env.out_link(worker->env.ctx, subscriber->number);
        if (out != NULL) {
            send_map(worker, out);
        }
    }
}

/* To all subscribers of this loop. */
static void send_hint(struct worker *worker, const struct leader_hint *hint)
{
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        struct buf *out = worker->env.out_link(worker->env.ctx, subscriber->number);
        if (out != NULL) {
            size_t offset = begin_leaders(out);
            leader_hint_encode(hint, out);
            frame_end(out, offset);
        }
    }
}

static void tell(struct worker *worker, const struct leader_hint *hint)
{
    struct leader_hint *known = map_get(&worker->leaders, hint->shard);
    if (hint->node == 0) {
        free(map_remove(&worker->leaders, hint->shard));
        return; /* The new leader's node says who it is. */
    }
    if (known == NULL) {
        known = malloc(sizeof(*known));
        assert(known != NULL);
        (void)map_put(&worker->leaders, hint->shard, known);
    }
    *known = *hint;
    send_hint(worker, hint);
}

static void run_hint(struct worker *to, struct worker_mail *mail)
{
    struct hint_mail *hint = list_entry(mail, struct hint_mail, mail);
    tell(to, &hint->hint);
    free(hint);
}

/* On all loops of this node. */
static void tell_all(struct worker *worker, const struct leader_hint *hint)
{
    tell(worker, hint);
    for (unsigned loop = 0; loop < worker->options.loops; loop++) {
        if (loop == worker->options.loop) {
            continue;
        }
        struct hint_mail *mail = calloc(1, sizeof(*mail));
        assert(mail != NULL);
        mail->mail.run = run_hint;
        mail->hint = *hint;
        worker->env.post(worker->env.ctx, loop, &mail->mail);
    }
}

/* Keeps the last that were told, of a shard the newest. */
static void keep_desc(struct shard_news *kept,
                      const struct shard_desc *desc,
                      const struct leader_hint *hint)
{
    size_t at = 0;
    while (at < kept->count && kept->descs[at].id != desc->id) {
        at++;
    }
    if (at < kept->count && kept->descs[at].ver > desc->ver) {
        return;
    }
    if (at < kept->count || kept->count == SHARD_NEWS_MAX) {
        at = at < kept->count ? at : 0;
        size_t behind = kept->count - at - 1;
        memmove(&kept->descs[at], &kept->descs[at + 1], behind * sizeof(*kept->descs));
        memmove(&kept->hints[at], &kept->hints[at + 1], behind * sizeof(*kept->hints));
        kept->count--;
    }
    shard_news_add(kept, desc, hint);
}

static void tell_descs(struct worker *worker, const struct shard_news *news)
{
    for (size_t i = 0; i < news->count; i++) {
        keep_desc(&worker->news, &news->descs[i], &news->hints[i]);
    }
    (void)shard_map_take(&worker->routes, news->descs, news->count);
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        struct buf *out = worker->env.out_link(worker->env.ctx, subscriber->number);
        if (out != NULL) {
            send_descs(out, news);
        }
    }
}

static void run_descs(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    struct shard_news news;
    bool good = shard_news_decode(slice_of(bytes->bytes, bytes->len), &news);
    assert(good);
    tell_descs(to, &news);
    free(bytes);
}

void board_descs(struct worker *worker, const struct shard_news *news)
{
    struct buf bytes;
    buf_init(&bytes, FRAME_BODY_SIZE_MAX);
    shard_news_encode(news, &bytes);
    tell_descs(worker, news);
    for (unsigned loop = 0; loop < worker->options.loops; loop++) {
        if (loop != worker->options.loop) {
            worker_post_bytes(worker, loop, 0, buf_slice(&bytes), run_descs);
        }
    }
    buf_deinit(&bytes);
}

void board_role(void *ctx, struct shard *shard)
{
    struct worker *worker = ctx;
    struct slot *slot = worker_slot_of(worker, shard);
    struct leader_hint hint = shard_leader(shard);
    bool leads = shard_leads(shard);
    bool led = slot->told.node != 0;
    if (!leads) {
        hint.node = 0;
    }
    if (!leads && !led) {
        return;
    }
    log_info(leads ? "shard.leader" : "shard.follower", "shard=%llu term=%llu leader=%llu",
             (unsigned long long)hint.shard, (unsigned long long)hint.term,
             (unsigned long long)shard_leader(shard).node);
    slot->told = hint;
    slot->short_of = leads; /* Until it was looked at. */
    if (leads) {
        replica_look_soon(slot);
    }
    tell_all(worker, &hint);
}

void board_voters(struct worker *worker, struct slot *slot, uint64_t voters)
{
    if (slot->told.node != 0 && slot->told.voters != voters) {
        slot->told.voters = voters;
        tell_all(worker, &slot->told);
    }
}

void board_leave(struct worker *worker)
{
    assert(worker->leaving);
    struct leader_hint hint = {.node = worker->options.node};
    send_hint(worker, &hint);
}

bool board_is_leaving(const struct worker *worker, uint64_t node)
{
    return map_get(&worker->leavers, node) != NULL;
}

static void hear_one(struct worker *worker, const struct leader_hint *hint)
{
    struct leader_hint *known = map_get(&worker->heard, hint->shard);
    if (hint->shard == 0) {
        (void)map_put(&worker->leavers, hint->node, worker);
        worker->look_all = true;
        return;
    }
    if (known == NULL && worker->heard.count <= MAP_SHARDS_MAX) {
        known = calloc(1, sizeof(*known));
        assert(known != NULL);
        (void)map_put(&worker->heard, hint->shard, known);
    }
    if (known != NULL && hint->term >= known->term && hint->node != worker->options.node) {
        *known = *hint;
    }
}

static void hear(struct worker *worker, struct slice body)
{
    struct reader in = reader_of(body);
    struct leader_hint hint;
    while (in.rest.len > 0 && leader_hint_decode(&in, &hint)) {
        hear_one(worker, &hint);
    }
}

static void run_hear(struct worker *to, struct worker_mail *mail)
{
    struct bytes_mail *bytes = list_entry(mail, struct bytes_mail, mail);
    hear(to, slice_of(bytes->bytes, bytes->len));
    free(bytes);
}

enum status worker_hear(struct worker *worker, struct slice body)
{
    if (body.len % LEADER_HINT_SIZE != 0) {
        return STATUS_PROTOCOL;
    }
    hear(worker, body);
    for (unsigned loop = 0; body.len > 0 && loop < worker->options.loops; loop++) {
        if (loop != worker->options.loop) {
            worker_post_bytes(worker, loop, 0, body, run_hear);
        }
    }
    return STATUS_OK;
}

bool worker_leader(const struct worker *worker, uint64_t shard, struct leader_hint *hint)
{
    const struct leader_hint *own = map_get(&worker->leaders, shard);
    const struct leader_hint *heard = map_get(&worker->heard, shard);
    const struct slot *slot = map_get(&worker->slots, shard);
    *hint = (struct leader_hint){.shard = shard};
    if (own != NULL) {
        *hint = *own;
        return true;
    }
    if (slot != NULL) {
        *hint = shard_leader(slot->shard);
    }
    if (heard != NULL && heard->term >= hint->term) {
        *hint = *heard;
    }
    return hint->node != 0;
}

bool worker_leads(const struct worker *worker, uint64_t shard, struct leader_hint *hint)
{
    const struct leader_hint *own = map_get(&worker->leaders, shard);
    if (own != NULL) {
        *hint = *own;
    }
    return own != NULL;
}

static void free_hints(struct map *hints)
{
    size_t at = 0;
    for (struct leader_hint *hint; (hint = map_next(hints, &at)) != NULL;) {
        free(hint);
    }
    map_deinit(hints);
}

void board_free(struct worker *worker)
{
    free_hints(&worker->leaders);
    free_hints(&worker->heard);
    map_deinit(&worker->leavers);
}
