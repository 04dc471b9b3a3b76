#include "router/fanout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"

enum { FRESH_SIZE = 24 };

bool fanout_is_error(struct slice reply)
{
    return reply.len > 0 && (reply.data[0] == '-' || reply.data[0] == '!');
}

bool fanout_is_null(struct slice reply)
{
    struct resp_value value;
    return resp_value_read(reply, &value) == STATUS_OK && value.null;
}

static void misfit(struct buf *out)
{
    resp_write_error(out,
                     "ERR a shard answered in a form that this router does not know; are all "
                     "processes of the same version?");
}

static struct slice rest_of(struct slice bytes, size_t used)
{
    return slice_of(bytes.data + used, bytes.len - used);
}

/* The elements of an array or set, without its header. */
static bool open_array(struct slice reply, struct resp_value *value, struct slice *elements)
{
    if (resp_value_read(reply, value) != STATUS_OK || value->null || value->number < 0 ||
        (value->type != '*' && value->type != '~')) {
        return false;
    }
    *elements = rest_of(reply, value->size_used);
    return true;
}

static void merge_sum(const struct fanout_part *parts, size_t count, struct buf *out)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        struct resp_value value;
        if (resp_value_read(parts[i].reply, &value) != STATUS_OK || value.type != ':' ||
            __builtin_add_overflow(sum, value.number, &sum)) {
            misfit(out);
            return;
        }
    }
    resp_write_int(out, sum);
}

static void merge_ok(const struct fanout_part *parts, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        struct resp_value value;
        if (resp_value_read(parts[i].reply, &value) != STATUS_OK || value.type != '+') {
            misfit(out);
            return;
        }
    }
    resp_write_ok(out);
}

static void merge_concat(const struct fanout_part *parts, size_t count, struct buf *out)
{
    size_t before = out->len;
    size_t total = 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        struct resp_value value;
        struct slice elements;
        if (!open_array(parts[i].reply, &value, &elements)) {
            misfit(out);
            return;
        }
        total += (size_t)value.number;
        size += elements.len;
    }
    if (size > out->size_max - before - FRESH_SIZE) {
        resp_write_error(out, "ERR the reply is too large; use SCAN");
        return;
    }
    resp_write_array(out, total);
    for (size_t i = 0; i < count; i++) {
        struct resp_value value;
        struct slice elements;
        (void)open_array(parts[i].reply, &value, &elements);
        buf_append_slice(out, elements);
    }
}

/* Puts each element where its key stood. False if the reply does not have one element per key. */
static bool place(const struct command *command,
                  const struct fanout_part *part,
                  struct slice *elements,
                  size_t total)
{
    struct resp_value value;
    struct slice rest;
    if (!open_array(part->reply, &value, &rest) || (size_t)value.number != part->key_count) {
        return false;
    }
    for (size_t i = 0; i < part->key_count; i++) {
        size_t size = 0;
        if (resp_value_size(rest, rest.len, &size) != STATUS_OK) {
            return false;
        }
        size_t nth = (part->keys[i] - (size_t)command->key_first) / (size_t)command->key_step;
        assert(nth < total);
        elements[nth] = slice_of(rest.data, size);
        rest = rest_of(rest, size);
    }
    return rest.len == 0;
}

static void merge_order(const struct command *command,
                        const struct fanout_part *parts,
                        size_t count,
                        struct buf *out)
{
    size_t total = 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        total += parts[i].key_count;
        size += parts[i].reply.len;
    }
    struct slice *elements = calloc(total + 1, sizeof(*elements));
    assert(elements != NULL);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        fits = place(command, &parts[i], elements, total);
    }
    if (!fits) {
        misfit(out);
    } else if (size > out->size_max - out->len - FRESH_SIZE) {
        resp_write_error(out, "ERR the reply is too large; ask for fewer keys at a time");
    } else {
        resp_write_array(out, total);
        for (size_t i = 0; i < total; i++) {
            buf_append_slice(out, elements[i]);
        }
    }
    free(elements);
}

static void merge_one(const struct fanout_part *parts, size_t count, struct buf *out)
{
    size_t at = 0;
    while (at < count - 1 && fanout_is_error(parts[at].reply)) {
        at++;
    }
    buf_append_slice(out, parts[at].reply);
}

/* The nth element of an array; false if it has none. */
static bool element(struct slice reply, size_t nth, struct slice *out, bool *found)
{
    struct resp_value value;
    struct slice rest;
    size_t size = 0;
    if (!open_array(reply, &value, &rest) || nth >= (size_t)value.number) {
        return false;
    }
    for (size_t i = 0; i <= nth; i++) {
        rest = rest_of(rest, size);
        if (resp_value_size(rest, rest.len, &size) != STATUS_OK) {
            return false;
        }
    }
    *out = slice_of(rest.data, size);
    struct resp_value item;
    *found = resp_value_read(*out, &item) == STATUS_OK && !item.null &&
             (item.type != ':' || item.number != 0);
    return true;
}

/* Who gave an error has found nothing. */
static void merge_found(const struct fanout_part *parts, size_t count, struct buf *out)
{
    struct resp_value head;
    struct slice elements;
    size_t first = 0;
    while (first < count - 1 && fanout_is_error(parts[first].reply)) {
        first++;
    }
    if (fanout_is_error(parts[first].reply)) {
        buf_append_slice(out, parts[0].reply);
        return;
    }
    if (!open_array(parts[first].reply, &head, &elements)) {
        misfit(out);
        return;
    }
    size_t before = out->len;
    resp_write_array(out, (size_t)head.number);
    for (size_t nth = 0; nth < (size_t)head.number; nth++) {
        struct slice chosen = {0};
        bool found = false;
        for (size_t i = first; !found && i < count; i++) {
            struct slice here;
            if (element(parts[i].reply, nth, &here, &found)) {
                chosen = chosen.len == 0 || found ? here : chosen;
            }
        }
        if (chosen.len == 0) {
            buf_truncate(out, before);
            misfit(out);
            return;
        }
        buf_append_slice(out, chosen);
    }
}

void fanout_merge(const struct command *command,
                  const struct fanout_part *parts,
                  size_t count,
                  struct buf *out)
{
    assert(count > 0);
    if (command->merge == MERGE_ALL_ONE) {
        merge_one(parts, count, out);
        return;
    }
    if (command->merge == MERGE_ALL_FOUND) {
        merge_found(parts, count, out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (fanout_is_error(parts[i].reply)) {
            buf_append_slice(out, parts[i].reply);
            return;
        }
    }
    switch (command->merge) {
    case MERGE_ORDER: merge_order(command, parts, count, out); break;
    case MERGE_SUM:
    case MERGE_ALL_SUM: merge_sum(parts, count, out); break;
    case MERGE_OK:
    case MERGE_ALL_OK: merge_ok(parts, count, out); break;
    case MERGE_ALL_CONCAT: merge_concat(parts, count, out); break;
    case MERGE_ALL_SAME: buf_append_slice(out, parts[0].reply); break;
    case MERGE_ALL_ONE:
    case MERGE_ALL_FOUND:
    case MERGE_NONE:
    case MERGE_SCAN:
    case MERGE_ANY: assert(false); /* These have one reply. */
    }
}

void fanout_scan(struct slice reply, uint64_t last, struct buf *out)
{
    struct resp_value value;
    struct slice elements;
    struct resp_value cursor;
    bool end = open_array(reply, &value, &elements) && value.number == 2 &&
               resp_value_read(elements, &cursor) == STATUS_OK && cursor.type == '$' &&
               !cursor.null && cursor.bytes.len == 1 && cursor.bytes.data[0] == '0';
    if (!end || last == UINT64_MAX) {
        buf_append_slice(out, reply);
        return;
    }
    char next[FRESH_SIZE];
    int len = snprintf(next, sizeof(next), "%" PRIu64, last + 1);
    assert(len > 0 && (size_t)len < sizeof(next));
    resp_write_array(out, 2);
    resp_write_bulk(out, slice_of(next, (size_t)len));
    buf_append_slice(out, rest_of(elements, cursor.size_used));
}
