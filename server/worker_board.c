#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/worker_private.h"

/* What a loop tells those who subscribed here: the map, and which shards this node leads. Every
 * loop keeps the leaders of the whole node, so that a subscriber needs one connection. */

struct hint_mail {
    struct worker_mail mail;
    struct leader_hint hint; /* node 0: this node leads it no longer. */
};

static size_t begin_leaders(struct buf *out)
{
    return frame_begin(out, FRAME_LEADERS, 0);
}

static void append_hint(struct buf *out, const struct leader_hint *hint)
{
    buf_append_u64(out, hint->shard);
    buf_append_u64(out, hint->term);
    buf_append_u64(out, hint->node);
}

static void send_map(struct worker *worker, struct buf *out)
{
    size_t offset = frame_begin(out, FRAME_MAP, 0);
    buf_append_slice(out, buf_slice(&worker->map_bytes));
    frame_end(out, offset);
}

static void send_leaders(struct worker *worker, struct buf *out)
{
    size_t offset = begin_leaders(out);
    size_t at = 0;
    for (struct leader_hint *hint; (hint = map_next(&worker->leaders, &at)) != NULL;) {
        append_hint(out, hint);
    }
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

void worker_set_map(struct worker *worker, const struct shard_map *map, struct slice encoded)
{
    shard_map_copy(&worker->map, map);
    buf_clear(&worker->map_bytes);
    buf_append_slice(&worker->map_bytes, encoded);
    size_t slot_at = 0;
    for (struct slot *slot; (slot = map_next(&worker->slots, &slot_at)) != NULL;) {
        const struct shard_desc *desc = shard_map_shard(map, shard_id(slot->shard));
        if (desc != NULL) {
            shard_want(slot->shard, desc);
        }
    }
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        struct buf *out = worker->env.out_link(worker->env.ctx, subscriber->number);
        if (out != NULL) {
            send_map(worker, out);
        }
    }
}

static void tell(struct worker *worker, const struct leader_hint *hint)
{
    free(map_remove(&worker->leaders, hint->shard));
    if (hint->node == 0) {
        return; /* The new leader's node says who it is. */
    }
    struct leader_hint *copy = malloc(sizeof(*copy));
    assert(copy != NULL);
    *copy = *hint;
    struct leader_hint *old = map_put(&worker->leaders, hint->shard, copy);
    assert(old == NULL);
    for (struct list *at = worker->subscribers.next; at != &worker->subscribers; at = at->next) {
        struct subscriber *subscriber = list_entry(at, struct subscriber, link);
        struct buf *out = worker->env.out_link(worker->env.ctx, subscriber->number);
        if (out != NULL) {
            size_t offset = begin_leaders(out);
            append_hint(out, hint);
            frame_end(out, offset);
        }
    }
}

static void run_hint(struct worker *to, struct worker_mail *mail)
{
    struct hint_mail *hint = list_entry(mail, struct hint_mail, mail);
    tell(to, &hint->hint);
    free(hint);
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
    tell(worker, &hint);
    for (unsigned loop = 0; loop < worker->options.loops; loop++) {
        if (loop == worker->options.loop) {
            continue;
        }
        struct hint_mail *mail = calloc(1, sizeof(*mail));
        assert(mail != NULL);
        mail->mail.run = run_hint;
        mail->hint = hint;
        worker->env.post(worker->env.ctx, loop, &mail->mail);
    }
}

bool worker_leader(const struct worker *worker, uint64_t shard, struct leader_hint *hint)
{
    const struct leader_hint *own = map_get(&worker->leaders, shard);
    const struct slot *slot = map_get(&worker->slots, shard);
    if (own != NULL) {
        *hint = *own;
    } else if (slot != NULL) {
        *hint = shard_leader(slot->shard);
    } else {
        return false;
    }
    return hint->node != 0;
}
