#include "server/machine/collection.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "server/machine/garbage.h"

enum {
    ELEMENT_PLAIN = 0, /* First byte of an element row's value. */
    BODY_TIGHT = 1,
    RENEW_COUNT_MAX = 8192,   /* More elements would hold the loop up for too long. */
    RENEW_SIZE_MAX = 1 << 20, /* Bytes. */
    RENEW_DEAD_SHARE = 16,    /* Dead elements for each that is left. */
    RENEW_DEAD_MIN = 1024,
    LISTPACK_COUNT_MAX = 512, /* hash-max-listpack-entries */
    PAGE_SIZE_MAX = 1 << 20,  /* Bytes of a page of a scan, about. */
};

static enum packed_form form_of(const struct row *row)
{
    if (row->type == KEYSPACE_HASH) {
        return PACKED_PAIRS;
    }
    return (row->flags & KEYSPACE_INTEGERS) != 0 ? PACKED_INTEGERS : PACKED_MEMBERS;
}

static bool is_packed(const struct collection *c)
{
    return (c->row.flags & KEYSPACE_PACKED) != 0;
}

static bool is_integer(struct slice text)
{
    int64_t ignored = 0;
    return number_parse_i64(text, &ignored);
}

const char *collection_refuse_size(struct slice field, struct slice value)
{
    if (field.len > COLLECTION_FIELD_SIZE_MAX) {
        return "ERR field or member is longer than 65536 bytes";
    }
    return value.len > COLLECTION_VALUE_SIZE_MAX ? "ERR value of a field is longer than 32 MB"
                                                 : NULL;
}

enum status collection_open(struct call *call,
                            enum keyspace_slot slot,
                            struct slice key,
                            enum keyspace_type type,
                            struct collection *c)
{
    assert(type == KEYSPACE_HASH || type == KEYSPACE_SET);
    *c = (struct collection){.call = call, .slot = slot, .type = type};
    enum status status = keyspace_load_type(call, slot, key, type, &c->row);
    if (status != STATUS_OK || !c->row.found) {
        return status;
    }
    c->there = true;
    if (is_packed(c)) {
        c->tight = type == KEYSPACE_HASH;
        c->body = c->row.value;
        return c->row.size > 0 && c->row.size <= PACKED_INTEGERS_MAX ? STATUS_OK : STATUS_CORRUPT;
    }
    struct reader in = reader_of(c->row.value);
    uint8_t tight = reader_u8(&in);
    c->tight = tight == BODY_TIGHT;
    c->dead = reader_u64(&in);
    return reader_done(&in) && tight <= BODY_TIGHT && c->row.size > 0 ? STATUS_OK : STATUS_CORRUPT;
}

void collection_close(struct collection *c)
{
    if (!c->changed) {
        return;
    }
    struct slice body = c->body;
    if (!is_packed(c)) {
        struct buf *out = txn_scratch(c->call->txn, SCRATCH_FIELD);
        buf_append_u8(out, c->tight ? BODY_TIGHT : 0);
        buf_append_u64(out, c->dead);
        body = buf_slice(out);
    }
    keyspace_put(c->call, &c->row, c->row.size, body);
    c->there = c->row.found;
    c->changed = false;
}

void collection_clear(struct collection *c)
{
    assert(!c->changed);
    if (c->row.found) {
        keyspace_delete(c->call, &c->row);
    }
    c->there = false;
    c->own = NULL;
    c->body = slice_of(NULL, 0);
}

enum status collection_overwrite(struct call *call,
                                 struct slice key,
                                 enum keyspace_type type,
                                 struct collection *c,
                                 bool *existed)
{
    *c = (struct collection){.call = call, .slot = SLOT_A, .type = type};
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &c->row);
    if (status == STATUS_OK) {
        *existed = c->row.found;
        collection_clear(c);
    }
    return status;
}

/* The body, to be changed. */
static struct buf *own_body(struct collection *c)
{
    if (c->own == NULL) {
        c->own = txn_scratch(c->call->txn, c->slot == SLOT_A ? SCRATCH_BODY : SCRATCH_BODY_B);
        buf_append_slice(c->own, c->body);
    }
    return c->own;
}

static void begin(struct collection *c, struct slice field)
{
    assert(!c->there);
    keyspace_begin(c->call, &c->row, c->type);
    if (c->type == KEYSPACE_SET && is_integer(field)) {
        c->row.flags |= KEYSPACE_INTEGERS;
    }
    c->there = true;
    c->tight = c->type == KEYSPACE_HASH;
    c->dead = 0;
}

static struct slice element_key(const struct collection *c, struct slice field)
{
    struct buf *key = txn_scratch(c->call->txn, SCRATCH_ELEMENT);
    keyspace_element_key(&c->row, key);
    buf_append_u64_be(key, hash_bytes(field));
    buf_append_slice(key, field);
    return buf_slice(key);
}

static enum status parse_value(const struct collection *c, struct slice bytes, struct slice *value)
{
    *value = slice_of(NULL, 0);
    if (c->type == KEYSPACE_SET) {
        return bytes.len == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    if (bytes.len == 0 || bytes.data[0] != ELEMENT_PLAIN) {
        return STATUS_CORRUPT;
    }
    *value = slice_of(bytes.data + 1, bytes.len - 1);
    return STATUS_OK;
}

static enum status get_row(const struct collection *c,
                           struct slice field,
                           struct slice *value,
                           bool *found)
{
    struct buf *bytes = txn_scratch(c->call->txn, SCRATCH_FIELD);
    enum status status = txn_get(c->call->txn, STORE_DATA, element_key(c, field), bytes);
    *found = status == STATUS_OK;
    if (status == STATUS_OK) {
        return parse_value(c, buf_slice(bytes), value);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void put_row(struct collection *c, struct slice field, struct slice value)
{
    struct slice bytes = slice_of(NULL, 0);
    if (c->type == KEYSPACE_HASH) {
        struct buf *out = txn_scratch(c->call->txn, SCRATCH_CHUNK);
        buf_append_u8(out, ELEMENT_PLAIN);
        buf_append_slice(out, value);
        bytes = buf_slice(out);
    }
    txn_put(c->call->txn, STORE_DATA, element_key(c, field), bytes);
    c->tight = c->tight && c->row.size <= LISTPACK_COUNT_MAX && field.len <= PACKED_SIZE_MAX &&
               value.len <= PACKED_SIZE_MAX;
}

/* From packed to rows. */
static enum status spread(struct collection *c)
{
    struct packed_walk walk = {.form = form_of(&c->row), .body = c->body};
    while (packed_next(&walk)) {
        put_row(c, walk.entry.field, walk.entry.value);
    }
    c->row.flags &= (uint8_t) ~(KEYSPACE_PACKED | KEYSPACE_INTEGERS);
    c->own = NULL;
    c->body = slice_of(NULL, 0);
    return walk.corrupt ? STATUS_CORRUPT : STATUS_OK;
}

/* From integers to members. */
static enum status write_out(struct collection *c)
{
    struct buf *members = txn_scratch(c->call->txn, SCRATCH_CHUNK);
    struct packed_walk walk = {.form = PACKED_INTEGERS, .body = c->body};
    while (packed_next(&walk)) {
        const struct packed_entry end = {.at = members->len};
        packed_put(PACKED_MEMBERS, members, &end, walk.entry.field, walk.entry.value);
    }
    if (walk.corrupt) {
        return STATUS_CORRUPT;
    }
    struct buf *own = own_body(c);
    buf_clear(own);
    buf_append_slice(own, buf_slice(members));
    c->body = buf_slice(own);
    c->row.flags &= (uint8_t)~KEYSPACE_INTEGERS;
    return STATUS_OK;
}

enum status collection_get(struct collection *c,
                           struct slice field,
                           struct slice *value,
                           bool *found)
{
    *found = false;
    if (!c->there) {
        return STATUS_OK;
    }
    if (!is_packed(c)) {
        return get_row(c, field, value, found);
    }
    struct packed_entry entry;
    enum status status = packed_find(form_of(&c->row), c->body, field, &entry, found);
    if (status == STATUS_OK && *found) {
        *value = entry.value;
    }
    return status;
}

/* Where to put a field of a packed collection, which is made ready for it: it may not be packed any
 * more afterwards. */
static enum status prepare(struct collection *c,
                           struct slice field,
                           struct slice value,
                           struct packed_entry *place,
                           bool *found)
{
    enum packed_form form = form_of(&c->row);
    enum status status = packed_find(form, c->body, field, place, found);
    uint64_t count = c->row.size + (*found ? 0 : 1);
    if (status != STATUS_OK || packed_takes(form, count, field, value)) {
        return status;
    }
    if (form != PACKED_INTEGERS || !packed_takes(PACKED_MEMBERS, count, field, value)) {
        return spread(c);
    }
    status = write_out(c);
    place->at = c->body.len;
    return status;
}

enum status collection_put(struct collection *c,
                           struct slice field,
                           struct slice value,
                           bool *added)
{
    if (!c->there) {
        begin(c, field);
    }
    bool found = false;
    struct packed_entry place;
    enum status status = STATUS_OK;
    if (is_packed(c)) {
        status = prepare(c, field, value, &place, &found);
    } else {
        struct slice ignored;
        status = get_row(c, field, &ignored, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    *added = !found;
    if (found && c->type == KEYSPACE_SET) {
        return STATUS_OK;
    }
    c->row.size += found ? 0 : 1;
    c->changed = true;
    if (is_packed(c)) {
        packed_put(form_of(&c->row), own_body(c), &place, field, value);
        c->body = buf_slice(c->own);
    } else {
        put_row(c, field, value);
    }
    return STATUS_OK;
}

enum status collection_add(struct collection *c, struct slice field, struct slice value)
{
    bool added = false;
    if (!c->there || is_packed(c)) {
        enum status status = collection_put(c, field, value, &added);
        assert(IMPLIES(status == STATUS_OK, added));
        return status;
    }
    c->row.size++;
    c->changed = true;
    put_row(c, field, value);
    return STATUS_OK;
}

static void drop_row(struct collection *c, struct slice field)
{
    c->row.size--;
    c->dead++;
    c->changed = true;
    txn_delete(c->call->txn, STORE_DATA, element_key(c, field));
}

enum status collection_remove(struct collection *c, struct slice field, bool *removed)
{
    *removed = false;
    if (!c->there) {
        return STATUS_OK;
    }
    struct packed_entry entry;
    struct slice ignored;
    enum status status = is_packed(c)
                             ? packed_find(form_of(&c->row), c->body, field, &entry, removed)
                             : get_row(c, field, &ignored, removed);
    if (status != STATUS_OK || !*removed) {
        return status;
    }
    if (c->row.size == 0) {
        return STATUS_CORRUPT;
    }
    if (!is_packed(c)) {
        drop_row(c, field);
        return STATUS_OK;
    }
    c->row.size--;
    c->changed = true;
    packed_remove(own_body(c), &entry);
    c->body = buf_slice(c->own);
    return STATUS_OK;
}

enum status collection_drop(struct collection *c, struct slice field)
{
    if (is_packed(c)) {
        bool removed = false;
        enum status status = collection_remove(c, field, &removed);
        assert(IMPLIES(status == STATUS_OK, removed));
        return status;
    }
    assert(c->row.size > 0);
    drop_row(c, field);
    return STATUS_OK;
}

/* Appends what all element keys have behind the prefix, and the values. */
static enum status collect(struct collection *c, struct buf *out)
{
    struct collection_walk walk;
    bool more = collection_walk_open(&walk, c, 0);
    for (; more && out->len <= RENEW_SIZE_MAX; more = collection_walk_next(&walk)) {
        buf_append_bytes(out, walk.entry.field);
        buf_append_bytes(out, walk.entry.value);
    }
    return collection_walk_close(&walk);
}

enum status collection_renew(struct collection *c)
{
    if (!c->there || is_packed(c) || c->row.size == 0 || c->row.size > RENEW_COUNT_MAX ||
        c->dead < c->row.size * RENEW_DEAD_SHARE + RENEW_DEAD_MIN) {
        return STATUS_OK;
    }
    struct buf *elements = txn_scratch(c->call->txn, SCRATCH_RESULT);
    enum status status = collect(c, elements);
    c->dead = 0; /* Also if it is too much: then it is looked at again much later. */
    c->changed = true;
    if (status != STATUS_OK || elements->len > RENEW_SIZE_MAX) {
        return status;
    }
    garbage_add(c->call, &c->row);
    c->row.born = c->call->state->version;
    struct reader in = reader_of(buf_slice(elements));
    while (in.rest.len > 0) {
        struct slice field = reader_bytes(&in, UINT32_MAX);
        struct slice value = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        put_row(c, field, value);
    }
    return STATUS_OK;
}

/* Takes over what the walk's iterator stands at. */
static bool settle(struct collection_walk *walk)
{
    if (walk->iter == NULL) {
        bool more = packed_next(&walk->packed);
        walk->entry.field = walk->packed.entry.field;
        walk->entry.value = walk->packed.entry.value;
        walk->status = walk->packed.corrupt ? STATUS_CORRUPT : STATUS_OK;
        return more;
    }
    if (!iter_valid(walk->iter)) {
        walk->status = iter_status(walk->iter);
        return false;
    }
    struct reader in = reader_of(iter_key(walk->iter));
    (void)reader_raw(&in, walk->prefix);
    walk->hash = reader_u64_be(&in);
    walk->entry.field = in.rest;
    walk->status = in.failed
                       ? STATUS_CORRUPT
                       : parse_value(walk->collection, iter_value(walk->iter), &walk->entry.value);
    return walk->status == STATUS_OK;
}

bool collection_walk_open(struct collection_walk *walk, struct collection *c, uint64_t hash)
{
    *walk = (struct collection_walk){.collection = c, .status = STATUS_OK};
    if (!c->there) {
        return false;
    }
    if (is_packed(c)) {
        walk->packed = (struct packed_walk){.form = form_of(&c->row), .body = c->body};
        return settle(walk);
    }
    collection_walk_begin(walk, c);
    return hash == 0 ? settle(walk) : collection_walk_seek(walk, hash);
}

void collection_walk_begin(struct collection_walk *walk, struct collection *c)
{
    assert(c->there && !is_packed(c));
    *walk = (struct collection_walk){.collection = c, .status = STATUS_OK};
    struct buf *from = txn_scratch(c->call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(c->call->txn, SCRATCH_TO);
    keyspace_element_key(&c->row, from);
    keyspace_element_end(&c->row, to);
    walk->prefix = from->len;
    walk->iter = iter_open(c->call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

bool collection_walk_next(struct collection_walk *walk)
{
    assert(walk->status == STATUS_OK);
    if (walk->iter != NULL) {
        iter_next(walk->iter);
    }
    return settle(walk);
}

bool collection_walk_seek(struct collection_walk *walk, uint64_t hash)
{
    assert(walk->iter != NULL);
    struct buf *key = txn_scratch(walk->collection->call->txn, SCRATCH_ELEMENT);
    keyspace_element_key(&walk->collection->row, key);
    buf_append_u64_be(key, hash);
    iter_seek(walk->iter, buf_slice(key));
    return settle(walk);
}

enum status collection_walk_close(struct collection_walk *walk)
{
    if (walk->iter != NULL) {
        /* Also of a walk that was not at its end: rows that were not in memory are missing. */
        enum status status = iter_status(walk->iter);
        walk->status = walk->status == STATUS_OK ? status : walk->status;
        iter_close(walk->iter);
    }
    return walk->status;
}

enum status collection_may_walk(const struct collection *c, uint64_t count)
{
    uint64_t there = collection_count(c);
    uint64_t steps = count < there ? count : there;
    bool slow = !is_packed(c) && steps > COLLECTION_FAST_COUNT;
    return slow && txn_cache_only(c->call->txn) ? STATUS_AGAIN : STATUS_OK;
}

enum status collection_may_reply(const struct call *call, uint64_t size)
{
    if (call->state != NULL) {
        return STATUS_OK; /* A write, which cannot stop here: all replicas have it in their log. */
    }
    if (size > COLLECTION_REPLY_SIZE_MAX) {
        return STATUS_TOO_BIG;
    }
    bool slow = size > KEYSPACE_FAST_READ_SIZE_MAX && txn_cache_only(call->txn);
    return slow ? STATUS_AGAIN : STATUS_OK;
}

enum status collection_each(struct collection *c, collection_visit visit, void *ctx)
{
    enum status status = collection_may_walk(c, UINT64_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    struct collection_walk walk;
    uint64_t count = 0;
    bool more = collection_walk_open(&walk, c, 0);
    for (; more && status == STATUS_OK; more = status == STATUS_OK && collection_walk_next(&walk)) {
        status = visit(ctx, &walk.entry);
        count++;
    }
    enum status walked = collection_walk_close(&walk);
    status = status == STATUS_OK ? walked : status;
    return status == STATUS_OK && count != collection_count(c) ? STATUS_CORRUPT : status;
}

enum status collection_scan(struct collection *c,
                            struct collection_page *page,
                            collection_visit visit,
                            void *ctx)
{
    const unsigned shift = 64 - COLLECTION_CURSOR_BITS;
    page->next = 0;
    if (!c->there || is_packed(c)) {
        return collection_each(c, visit, ctx);
    }
    if (page->cursor >> COLLECTION_CURSOR_BITS != 0) {
        return STATUS_OK; /* Not a cursor of ours: as if it were behind all. */
    }
    uint64_t limit = page->count < COLLECTION_PAGE_MAX ? page->count : COLLECTION_PAGE_MAX;
    enum status status = collection_may_walk(c, limit);
    if (status != STATUS_OK) {
        return status;
    }
    struct collection_walk walk;
    uint64_t seen = 0;
    uint64_t size = 0;
    uint64_t last = 0;
    bool more = collection_walk_open(&walk, c, page->cursor << shift);
    for (; more && status == STATUS_OK; more = status == STATUS_OK && collection_walk_next(&walk)) {
        uint64_t place = walk.hash >> shift;
        if ((seen >= limit || size > PAGE_SIZE_MAX) && place != last) {
            page->next = last + 1;
            break;
        }
        last = place;
        seen++;
        size += walk.entry.field.len + walk.entry.value.len;
        status = visit(ctx, &walk.entry);
    }
    enum status walked = collection_walk_close(&walk);
    return status == STATUS_OK ? walked : status;
}

const char *collection_encoding(const struct row *row)
{
    bool packed = (row->flags & KEYSPACE_PACKED) != 0;
    if (row->type == KEYSPACE_SET) {
        return packed && (row->flags & KEYSPACE_INTEGERS) != 0 ? "intset" : "hashtable";
    }
    assert(row->type == KEYSPACE_HASH);
    bool tight = !packed && row->value.len > 0 && row->value.data[0] == BODY_TIGHT;
    return packed || tight ? "listpack" : "hashtable";
}
