#include "server/machine/packed.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { INTEGER_SIZE = 8 };

static_assert(PACKED_SIZE_MAX <= UINT8_MAX, "sizes are bytes");

static int64_t integer_at(struct slice body, size_t index)
{
    uint64_t value = 0;
    memcpy(&value, body.data + index * INTEGER_SIZE, sizeof(value));
    return (int64_t)value;
}

static void show_integer(struct packed_entry *entry, int64_t value)
{
    size_t len = number_format_i64(value, entry->text);
    entry->field = slice_of(entry->text, len);
    entry->value = slice_of(NULL, 0);
    entry->size = INTEGER_SIZE;
}

/* A size byte and what it counts, at *at, which moves behind them; false if they are not there. */
static bool take(struct slice body, size_t *at, struct slice *bytes)
{
    if (*at >= body.len) {
        return false;
    }
    size_t len = body.data[*at];
    if (len > PACKED_SIZE_MAX || len > body.len - *at - 1) {
        return false;
    }
    *bytes = slice_of(body.data + *at + 1, len);
    *at += 1 + len;
    return true;
}

bool packed_next(struct packed_walk *walk)
{
    struct packed_entry *entry = &walk->entry;
    if (walk->at == walk->body.len || walk->corrupt) {
        return false;
    }
    entry->at = walk->at;
    if (walk->form == PACKED_INTEGERS) {
        size_t index = walk->at / INTEGER_SIZE;
        walk->corrupt =
            walk->body.len % INTEGER_SIZE != 0 ||
            (index > 0 && integer_at(walk->body, index - 1) >= integer_at(walk->body, index));
        if (!walk->corrupt) {
            show_integer(entry, integer_at(walk->body, index));
            walk->at += INTEGER_SIZE;
        }
        return !walk->corrupt;
    }
    entry->value = slice_of(NULL, 0);
    walk->corrupt = !take(walk->body, &walk->at, &entry->field) ||
                    (walk->form == PACKED_PAIRS && !take(walk->body, &walk->at, &entry->value));
    entry->size = walk->at - entry->at;
    return !walk->corrupt;
}

static enum status find_integer(struct slice body,
                                struct slice field,
                                struct packed_entry *entry,
                                bool *found)
{
    int64_t wanted = 0;
    size_t low = 0;
    size_t high = body.len / INTEGER_SIZE;
    if (body.len % INTEGER_SIZE != 0) {
        return STATUS_CORRUPT;
    }
    *found = false;
    *entry = (struct packed_entry){.at = body.len};
    if (!number_parse_i64(field, &wanted)) {
        return STATUS_OK;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (integer_at(body, middle) < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    entry->at = low * INTEGER_SIZE;
    *found = entry->at < body.len && integer_at(body, low) == wanted;
    if (*found) {
        show_integer(entry, wanted);
    }
    return STATUS_OK;
}

enum status packed_find(enum packed_form form,
                        struct slice body,
                        struct slice field,
                        struct packed_entry *entry,
                        bool *found)
{
    if (form == PACKED_INTEGERS) {
        return find_integer(body, field, entry, found);
    }
    /* Not by packed_next(): this is what every command on a small hash does first. */
    size_t at = 0;
    struct slice name;
    struct slice value = slice_of(NULL, 0);
    while (at < body.len) {
        size_t begin = at;
        if (!take(body, &at, &name) || (form == PACKED_PAIRS && !take(body, &at, &value))) {
            return STATUS_CORRUPT;
        }
        if (slice_equal(name, field)) {
            entry->field = name;
            entry->value = value;
            entry->at = begin;
            entry->size = at - begin;
            *found = true;
            return STATUS_OK;
        }
    }
    entry->at = body.len;
    entry->size = 0;
    *found = false;
    return STATUS_OK;
}

bool packed_takes(enum packed_form form, uint64_t count, struct slice field, struct slice value)
{
    int64_t ignored = 0;
    if (form == PACKED_INTEGERS) {
        return count <= PACKED_INTEGERS_MAX && number_parse_i64(field, &ignored);
    }
    return count <= PACKED_COUNT_MAX && field.len <= PACKED_SIZE_MAX &&
           value.len <= PACKED_SIZE_MAX;
}

/* In place of size bytes at offset, room for size_new. */
static uint8_t *make_room(struct buf *body, size_t offset, size_t size, size_t size_new)
{
    assert(offset <= body->len && size <= body->len - offset);
    (void)buf_reserve(body, size_new);
    uint8_t *at = body->data + offset;
    size_t behind = body->len - offset - size;
    if (behind > 0 && size != size_new) {
        memmove(at + size_new, at + size, behind);
    }
    body->len = body->len - size + size_new;
    return at;
}

static uint8_t *lay(uint8_t *at, struct slice bytes)
{
    *at++ = (uint8_t)bytes.len;
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    return at + bytes.len;
}

void packed_put(enum packed_form form,
                struct buf *body,
                const struct packed_entry *entry,
                struct slice field,
                struct slice value)
{
    if (form == PACKED_INTEGERS) {
        int64_t number = 0;
        bool integer = number_parse_i64(field, &number);
        assert(integer);
        memcpy(make_room(body, entry->at, entry->size, INTEGER_SIZE), &number, INTEGER_SIZE);
        return;
    }
    assert(field.len <= PACKED_SIZE_MAX && value.len <= PACKED_SIZE_MAX);
    size_t size = 1 + field.len + (form == PACKED_PAIRS ? 1 + value.len : 0);
    uint8_t *at = lay(make_room(body, entry->at, entry->size, size), field);
    if (form == PACKED_PAIRS) {
        (void)lay(at, value);
    }
}

void packed_remove(struct buf *body, const struct packed_entry *entry)
{
    assert(entry->size > 0);
    (void)make_room(body, entry->at, entry->size, 0);
}
