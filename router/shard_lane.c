#include "router/shard_lane.h"

#include "common/base/assert.h"

void lane_init(struct lane *lane, uint64_t shard)
{
    *lane = (struct lane){.shard = shard};
    list_init(&lane->active);
    list_init(&lane->parts);
    list_init(&lane->writes);
    list_init(&lane->parked);
}

static struct lane_part *part_of(const struct lane *lane, struct list *node)
{
    return node == &lane->parts ? NULL : list_entry(node, struct lane_part, queue);
}

struct lane_part *lane_head(const struct lane *lane)
{
    return part_of(lane, lane->parts.next);
}

struct lane_part *lane_after(const struct lane *lane, const struct lane_part *part)
{
    return part_of(lane, part->queue.next);
}

void lane_insert(struct lane *lane, struct lane_part *part)
{
    assert(part->lane == NULL && part->order > 0);
    struct list *at = lane->parts.prev;
    while (at != &lane->parts && list_entry(at, struct lane_part, queue)->order > part->order) {
        at = at->prev;
    }
    list_push_back(at->next, &part->queue); /* Before what follows it. */
    if (part->session == 0) {
        list_init(&part->writes);
    }
    if (part->seq != 0 && !part->alone && part->session == 0) {
        at = lane->writes.prev;
        while (at != &lane->writes && list_entry(at, struct lane_part, writes)->seq > part->seq) {
            at = at->prev;
        }
        list_push_back(at->next, &part->writes);
    }
    part->lane = lane;
    part->moved = part->shard == lane->shard ? part->moved : part->tries;
    part->shard = lane->shard;
    part->run = 0;
    lane->count++;
    lane->size += part->size;
    bool first = lane->next == NULL || lane->next->order > part->order;
    if (lane->state == LANE_OPEN && first) {
        lane->next = part;
    }
}

void lane_remove(struct lane *lane, struct lane_part *part)
{
    assert(part->lane == lane && lane->count > 0 && lane->size >= part->size);
    if (lane->next == part) {
        lane->next = lane_after(lane, part);
    }
    if (lane->probe == part) {
        lane->probe = NULL;
        lane_pause(lane, 0); /* Another part has to be the probe. */
    }
    list_remove(&part->queue);
    if (part->session == 0) {
        list_remove(&part->writes);
    }
    part->lane = NULL;
    lane->count--;
    lane->size -= part->size;
}

uint64_t lane_first_unacked(const struct lane *lane, const struct lane_part *part)
{
    assert(part->lane == lane && part->seq != 0);
    if (part->session != 0) {
        return 1; /* Nothing is ever forgotten for its sake. */
    }
    if (part->alone) {
        return part->seq;
    }
    assert(!list_empty(&lane->writes));
    return list_entry(lane->writes.next, struct lane_part, writes)->seq;
}

bool lane_learn(struct lane *lane, uint64_t node, uint64_t term)
{
    bool news = term > lane->term || (term == lane->term && lane->leader == 0);
    if (node == 0 || !news) {
        return false;
    }
    lane->leader = node;
    lane->term = term;
    return true;
}

void lane_forget(struct lane *lane, uint64_t node)
{
    if (lane->leader == node) {
        lane->leader = 0;
    }
}

void lane_shut(struct lane *lane, uint64_t wake_ms)
{
    lane->state = LANE_SHUT;
    lane->target = NULL;
    lane->probe = NULL;
    lane->next = NULL;
    lane->wake_ms = wake_ms;
}

void lane_pause(struct lane *lane, uint64_t wake_ms)
{
    assert(lane->target != NULL);
    lane->state = LANE_SHUT;
    lane->probe = NULL;
    lane->next = NULL;
    lane->wake_ms = wake_ms;
}

struct lane_part *lane_unsent(const struct lane *lane)
{
    struct lane_part *part = lane->next != NULL ? lane->next : lane_head(lane);
    while (part != NULL && part->run == lane->run) {
        part = lane_after(lane, part);
    }
    return part;
}

struct lane_part *lane_probe(struct lane *lane, struct backend *target)
{
    assert(target != NULL || (lane->state == LANE_SHUT && lane->target != NULL));
    lane->next = NULL;
    lane->wake_ms = 0;
    if (target != NULL) {
        lane->target = target;
        lane->run++;
        if (lane->run == 0) {
            lane->run = 1; /* 0 means "not sent". */
        }
    }
    lane->probe = lane_unsent(lane);
    lane->state = lane->probe != NULL ? LANE_PROBE : target != NULL ? LANE_SHUT : LANE_OPEN;
    return lane->probe;
}

void lane_confirm(struct lane *lane, const struct lane_part *part)
{
    assert(part->lane == lane && part->run == lane->run);
    if (lane->state == LANE_SHUT || (lane->state == LANE_PROBE && lane->probe != part)) {
        return; /* An answer from before the pause: no word yet on the refused. */
    }
    lane->failures = 0;
    lane->redirects = 0;
    lane->silences = 0;
    if (lane->state == LANE_PROBE) {
        lane->state = LANE_OPEN;
        lane->probe = NULL;
        lane->next = lane_head(lane);
        lane->wake_ms = 0;
    }
}
