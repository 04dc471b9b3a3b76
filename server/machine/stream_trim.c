#include "server/machine/stream_trim.h"

#include "common/base/assert.h"
#include "server/machine/stream_range.h"
#include "server/machine/stream_segment.h"

enum { ALONE_COUNT_MAX = 8192 }; /* Entries; more of them go by a range delete. */

static bool passes_limit(const struct stream_trim *trim, const struct stream_segment_walk *walk)
{
    return trim->limit != 0 && walk->gone + walk->at.live > trim->limit;
}

/* True if all of the segment that the walk is at goes, as far as that can be told without a look
 * at its entries. */
static bool goes(const struct stream_trim *trim, const struct stream_segment_walk *walk)
{
    const struct stream *stream = walk->stream;
    if (walk->at.live == 0 || passes_limit(trim, walk)) {
        return false;
    }
    if (!trim->by_id) {
        uint64_t left = stream->length - walk->gone;
        return left > trim->length_max && left - walk->at.live >= trim->length_max;
    }
    struct stream_id end = walk->next.live > 0 ? walk->next.first : stream->last;
    int order = stream_id_compare(end, trim->id_min);
    return walk->next.live > 0 ? order <= 0 : order < 0;
}

/* The same by a look at the last of its entries: the least id may lie behind it. */
static enum status goes_too(const struct stream_trim *trim,
                            const struct stream_segment_walk *walk,
                            bool *all)
{
    *all = false;
    if (!trim->by_id || walk->at.live == 0 || passes_limit(trim, walk) ||
        stream_id_compare(walk->at.first, trim->id_min) >= 0) {
        return STATUS_OK;
    }
    struct stream_id end = walk->next.live > 0 ? walk->next.first : walk->stream->last;
    if (walk->next.live > 0) {
        (void)stream_id_previous(&end);
    }
    struct stream_range range;
    struct stream_id id = {0};
    struct slice value;
    stream_range_open_back(walk->call, walk->stream, walk->at.first, end, &range);
    bool found = stream_range_next(&range, &id, &value);
    *all = found && stream_id_compare(id, trim->id_min) < 0;
    return stream_range_close(&range);
}

/* Passes the segments that go as a whole; *count: entries in them; *rest: the id that is behind
 * all of those. */
static enum status pass_whole(struct call *call,
                              struct stream *stream,
                              const struct stream_trim *trim,
                              uint64_t *count,
                              struct stream_id *rest)
{
    struct stream_segment_walk walk;
    stream_segment_start(call, stream, &walk);
    while (goes(trim, &walk)) {
        stream_segment_pass(&walk);
    }
    bool all = false;
    enum status status = trim->whole ? goes_too(trim, &walk, &all) : STATUS_OK;
    if (all) {
        stream_segment_pass(&walk);
    }
    *count = walk.gone;
    *rest = walk.at.live > 0 ? walk.at.first : STREAM_ID_MAX;
    enum status finished = stream_segment_finish(&walk, stream);
    return status != STATUS_OK ? status : finished;
}

static bool is_over(const struct stream_trim *trim, uint64_t left, struct stream_id id)
{
    if (trim->whole) {
        return true;
    }
    return trim->by_id ? stream_id_compare(id, trim->id_min) >= 0 : left <= trim->length_max;
}

/* A trim at work behind the whole segments. */
struct rest {
    struct stream_id from; /* Where the walk over entries begins. */
    uint64_t must;         /* So many of them go in any case, */
    uint64_t left;         /* and so many would be left if none went. */
    struct stream_id next; /* The one that stays. */
    bool found;
};

/* Notes the ids of the entries that go. */
static enum status collect(struct call *call,
                           const struct stream *stream,
                           const struct stream_trim *trim,
                           struct rest *rest,
                           struct buf *ids)
{
    struct stream_range range;
    struct slice value;
    stream_range_open(call, stream, rest->from, STREAM_ID_MAX, &range);
    uint64_t count = 0;
    while ((rest->found = stream_range_next(&range, &rest->next, &value))) {
        if (count >= rest->must && is_over(trim, rest->left - count, rest->next)) {
            break;
        }
        stream_id_append(ids, rest->next);
        count++;
    }
    return stream_range_close(&range);
}

static void delete_range(struct call *call, const struct stream *stream, struct stream_id end)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    stream_entry_key(stream, stream->first, from);
    if (stream_id_compare(end, STREAM_ID_MAX) == 0) {
        stream_key(stream, (enum stream_kind)(STREAM_ENTRY + 1), to);
    } else {
        stream_entry_key(stream, end, to);
    }
    txn_delete_range(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

static void delete_each(struct call *call, const struct stream *stream, struct slice ids)
{
    struct reader in = reader_of(ids);
    while (in.rest.len > 0) {
        struct stream_id id = stream_id_read(&in);
        struct buf *key = txn_scratch(call->txn, SCRATCH_ELEMENT);
        stream_entry_key(stream, id, key);
        txn_delete(call->txn, STORE_DATA, buf_slice(key));
    }
}

static bool is_needed(const struct stream *stream, const struct stream_trim *trim)
{
    if (stream->length == 0) {
        return false;
    }
    return trim->by_id ? stream_id_compare(stream->first, trim->id_min) < 0
                       : stream->length > trim->length_max;
}

enum status stream_trim(struct call *call,
                        struct stream *stream,
                        const struct stream_trim *trim,
                        uint64_t *removed)
{
    assert(!stream->first_gone);
    assert(IMPLIES(trim->limit > 0, trim->whole));
    *removed = 0;
    if (!is_needed(stream, trim)) {
        return STATUS_OK;
    }
    uint64_t whole = 0;
    struct stream_id end = {0};
    enum status status = pass_whole(call, stream, trim, &whole, &end);
    if (status != STATUS_OK || (trim->whole && whole == 0)) {
        return status;
    }
    struct rest rest = {.from = stream->first, .must = whole, .left = stream->length};
    if (whole > ALONE_COUNT_MAX) {
        delete_range(call, stream, end);
        rest = (struct rest){.from = end, .left = stream->length - whole};
    }
    struct buf *ids = txn_scratch(call->txn, SCRATCH_WORK);
    status = collect(call, stream, trim, &rest, ids);
    if (status != STATUS_OK) {
        return status;
    }
    delete_each(call, stream, buf_slice(ids));
    uint64_t more = ids->len / STREAM_ID_SIZE - rest.must;
    *removed = whole + more;
    stream->length -= *removed;
    stream->rows -= *removed;
    stream->first = rest.found ? rest.next : (struct stream_id){0};
    if (rest.found != (stream->length > 0) || ids->len / STREAM_ID_SIZE < rest.must) {
        return STATUS_CORRUPT;
    }
    return more > 0 ? stream_segment_shrink(call, stream, more) : STATUS_OK;
}
