#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/support/lincheck_key.h"

/* A cluster is a write and the reads of its value. `first_return` and `last_invoke` are taken over
 * all of its operations: cluster A has to come before B if first_return(A) < last_invoke(B). With
 * unique values a history is linearizable exactly if no read returns before its write is invoked
 * and no two clusters have to come before each other. Cluster 0 is the state before all writes. */
struct cluster {
    uint64_t first_return;
    uint64_t last_invoke;
    uint64_t write_invoked;
    size_t write; /* In ops. */
    size_t first; /* The operation that returned first. */
    size_t last;  /* The operation that was invoked last. */
    bool written;
    bool seen; /* Read, or written with known outcome: it did happen. */
};

bool lincheck_zones_fit(const struct lincheck_key *key)
{
    uint8_t *written = calloc(key->texts.count, 1);
    assert(written != NULL);
    bool fit = true;
    for (size_t i = 0; i < key->count && fit; i++) {
        const struct lincheck_op *op = &key->ops[i];
        if (op->kind == HISTORY_SET) {
            fit = !written[op->arg] && op->arg != TEXT_POOL_NONE;
            written[op->arg] = 1;
        } else {
            fit = op->kind == HISTORY_GET;
        }
    }
    free(written);
    return fit;
}

static void add_op(struct cluster *cluster, const struct lincheck_op *op, size_t at)
{
    if (op->returned < cluster->first_return) {
        cluster->first_return = op->returned;
        cluster->first = at;
    }
    if (op->invoked > cluster->last_invoke) {
        cluster->last_invoke = op->invoked;
        cluster->last = at;
    }
    cluster->seen = cluster->seen || op->known;
}

static void collect(const struct lincheck_key *key, struct cluster *clusters)
{
    for (uint32_t i = 0; i < key->texts.count; i++) {
        clusters[i] = (struct cluster){.first_return = HISTORY_NEVER};
    }
    clusters[0] = (struct cluster){.written = true, .seen = true};
    for (size_t i = 0; i < key->count; i++) {
        const struct lincheck_op *op = &key->ops[i];
        struct cluster *cluster = &clusters[op->kind == HISTORY_SET ? op->arg : op->result];
        add_op(cluster, op, i);
        if (op->kind == HISTORY_SET) {
            cluster->written = true;
            cluster->write = i;
            cluster->write_invoked = op->invoked;
        }
    }
}

static struct lincheck_finding violation(size_t blocked_by, size_t other)
{
    return (struct lincheck_finding){
        .verdict = LINCHECK_VIOLATION, .blocked_by = blocked_by, .other = other};
}

/* Reads of what nobody wrote, or wrote only later. */
static bool reads_possible(const struct lincheck_key *key,
                           const struct cluster *clusters,
                           struct lincheck_finding *finding)
{
    for (size_t i = 0; i < key->count; i++) {
        const struct lincheck_op *op = &key->ops[i];
        if (op->kind != HISTORY_GET) {
            continue;
        }
        const struct cluster *cluster = &clusters[op->result];
        if (!cluster->written || op->returned < cluster->write_invoked) {
            *finding = violation(i, cluster->written ? cluster->write : i);
            return false;
        }
    }
    return true;
}

static int by_first_return(const void *left, const void *right)
{
    const struct cluster *a = left;
    const struct cluster *b = right;
    return (a->first_return > b->first_return) - (a->first_return < b->first_return);
}

/* The forward zones (first_return < last_invoke), sorted, moved to the front; returns their number.
 * They may not overlap: *bad is then the second of the first pair that does. */
static size_t sort_forward(struct cluster *clusters, size_t count, size_t *bad)
{
    qsort(clusters, count, sizeof *clusters, by_first_return);
    size_t forward = 0;
    *bad = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (clusters[i].first_return >= clusters[i].last_invoke) {
            continue;
        }
        struct cluster swap = clusters[forward];
        clusters[forward] = clusters[i];
        clusters[i] = swap;
        if (*bad == SIZE_MAX && forward > 0 &&
            clusters[forward].first_return < clusters[forward - 1].last_invoke &&
            clusters[forward - 1].first_return < clusters[forward].last_invoke) {
            *bad = forward;
        }
        forward++;
    }
    return forward;
}

/* The last of the sorted forward zones whose first_return is below the time, or NULL. */
static const struct cluster *last_before(const struct cluster *forward, size_t count, uint64_t time)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (forward[middle].first_return < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &forward[low - 1];
}

static struct lincheck_finding compare(struct cluster *clusters, size_t count)
{
    size_t bad;
    size_t forward = sort_forward(clusters, count, &bad);
    if (bad != SIZE_MAX) {
        return violation(clusters[bad - 1].last, clusters[bad].first);
    }
    for (size_t i = forward; i < count; i++) {
        const struct cluster *zone = last_before(clusters, forward, clusters[i].last_invoke);
        if (zone != NULL && clusters[i].first_return < zone->last_invoke) {
            return violation(zone->last, clusters[i].first);
        }
    }
    return (struct lincheck_finding){.verdict = LINCHECK_LINEARIZABLE};
}

struct lincheck_finding lincheck_zones_decide(const struct lincheck_key *key)
{
    struct cluster *clusters = calloc(key->texts.count, sizeof *clusters);
    assert(clusters != NULL);
    collect(key, clusters);
    struct lincheck_finding finding;
    if (reads_possible(key, clusters, &finding)) {
        size_t count = 0;
        for (uint32_t i = 0; i < key->texts.count; i++) {
            if (clusters[i].written && clusters[i].seen) {
                clusters[count++] = clusters[i];
            }
        }
        finding = compare(clusters, count);
    }
    finding.steps = key->count;
    free(clusters);
    return finding;
}
