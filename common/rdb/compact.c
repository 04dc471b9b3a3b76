#include "common/rdb/compact.h"

#include "common/base/assert.h"
#include "common/rdb/listpack.h"

enum {
    END_MARK = 0xff,
    LISTPACK_HEADER_SIZE = 4 + 2,
    ZIPLIST_HEADER_SIZE = 4 + 4 + 2,
    COUNT_UNKNOWN = UINT16_MAX,
    PREVIOUS_LARGE = 254, /* Ziplist: four bytes with the size of the element before follow. */
    ZIPMAP_LARGE = 254,
};

static void fail(struct compact *compact)
{
    compact->corrupt = true;
    compact->rest = slice_of(NULL, 0);
}

static struct slice take(struct compact *compact, uint64_t len)
{
    if (compact->rest.len < len) {
        fail(compact);
        return slice_of(NULL, 0);
    }
    struct slice taken = slice_of(compact->rest.data, len);
    compact->rest = slice_of(compact->rest.data + len, compact->rest.len - len);
    return taken;
}

static uint64_t take_little(struct compact *compact, size_t size)
{
    struct slice bytes = take(compact, size);
    uint64_t value = 0;
    for (size_t i = bytes.len; i > 0; i--) {
        value = value << 8 | bytes.data[i - 1];
    }
    return value;
}

static uint64_t take_big(struct compact *compact, size_t size)
{
    struct slice bytes = take(compact, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | bytes.data[i];
    }
    return value;
}

/* The lower bits as a number with a sign. */
static int64_t extend(uint64_t value, unsigned bits)
{
    assert(bits > 0 && bits < 64);
    uint64_t sign = UINT64_C(1) << (bits - 1);
    return (int64_t)((value ^ sign) - sign);
}

static struct slice number(struct compact *compact, int64_t value)
{
    compact->number = value;
    compact->is_number = true;
    return slice_of(compact->text, number_format_i64(value, compact->text));
}

static struct slice signed_number(struct compact *compact, size_t size)
{
    uint64_t value = take_little(compact, size);
    return number(compact, size == 8 ? (int64_t)value : extend(value, 8 * (unsigned)size));
}

static void open_listpack(struct compact *compact)
{
    size_t size = compact->rest.len;
    bool whole = take_little(compact, 4) == size;
    uint64_t count = take_little(compact, 2);
    compact->left = count == COUNT_UNKNOWN ? UINT64_MAX : count;
    if (!whole || compact->rest.len == 0) {
        fail(compact);
    }
}

static void open_ziplist(struct compact *compact)
{
    size_t size = compact->rest.len;
    bool whole = take_little(compact, 4) == size;
    uint64_t tail = take_little(compact, 4);
    uint64_t count = take_little(compact, 2);
    compact->left = count == COUNT_UNKNOWN ? UINT64_MAX : count;
    if (!whole || compact->rest.len == 0 || tail >= size) {
        fail(compact);
    }
}

static void open_intset(struct compact *compact)
{
    compact->width = (uint32_t)take_little(compact, 4);
    compact->left = take_little(compact, 4);
    bool known = compact->width == 2 || compact->width == 4 || compact->width == 8;
    if (!known || compact->rest.len != compact->width * compact->left) {
        fail(compact);
    }
}

static void open_zipmap(struct compact *compact)
{
    uint64_t pairs = take_little(compact, 1);
    compact->left = pairs >= ZIPMAP_LARGE ? UINT64_MAX : 2 * pairs;
}

struct compact compact_of(enum compact_form form, struct slice bytes)
{
    struct compact compact = {.form = form, .rest = bytes};
    switch (form) {
    case COMPACT_LISTPACK: open_listpack(&compact); break;
    case COMPACT_ZIPLIST: open_ziplist(&compact); break;
    case COMPACT_INTSET: open_intset(&compact); break;
    case COMPACT_ZIPMAP: open_zipmap(&compact); break;
    }
    return compact;
}

/* The size of a listpack element is repeated behind it, seven bits a byte, to be read backwards. */
static void take_backwards(struct compact *compact, uint64_t size)
{
    unsigned count = listpack_back_size(size);
    struct slice bytes = take(compact, count);
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned shift = 7 * (count - 1 - (unsigned)i);
        uint8_t expected = (uint8_t)((size >> shift & 0x7f) | (i == 0 ? 0 : 0x80));
        if (bytes.data[i] != expected) {
            fail(compact);
            return;
        }
    }
}

static struct slice next_listpack(struct compact *compact)
{
    struct slice start = compact->rest;
    uint64_t first = take_little(compact, 1);
    struct slice text;
    if (first < 0x80) {
        text = number(compact, (int64_t)first);
    } else if (first < 0xc0) {
        text = take(compact, first & 0x3f);
    } else if (first < 0xe0) {
        text = number(compact, extend((first & 0x1f) << 8 | take_little(compact, 1), 13));
    } else if (first < 0xf0) {
        text = take(compact, (first & 0x0f) << 8 | take_little(compact, 1));
    } else if (first == 0xf0) {
        text = take(compact, take_little(compact, 4));
    } else if (first <= 0xf4) {
        static const size_t sizes[] = {2, 3, 4, 8};
        text = signed_number(compact, sizes[first - 0xf1]);
    } else {
        fail(compact);
        return slice_of(NULL, 0);
    }
    take_backwards(compact, start.len - compact->rest.len);
    return text;
}

static struct slice next_ziplist(struct compact *compact)
{
    struct slice start = compact->rest;
    uint64_t previous = take_little(compact, 1);
    if (previous == PREVIOUS_LARGE) {
        previous = take_little(compact, 4);
    }
    if (previous != compact->last) {
        fail(compact);
    }
    uint64_t first = take_little(compact, 1);
    struct slice text;
    if (first < 0x40) {
        text = take(compact, first);
    } else if (first < 0x80) {
        text = take(compact, (first & 0x3f) << 8 | take_little(compact, 1));
    } else if (first == 0x80) {
        text = take(compact, take_big(compact, 4));
    } else if (first == 0xc0 || first == 0xd0 || first == 0xe0) {
        text = signed_number(compact, (size_t)2 << (first >> 4 & 3));
    } else if (first == 0xf0 || first == 0xfe) {
        text = signed_number(compact, first == 0xf0 ? 3 : 1);
    } else if (first >= 0xf1 && first <= 0xfd) {
        text = number(compact, (int64_t)first - 0xf1);
    } else {
        fail(compact);
        return slice_of(NULL, 0);
    }
    compact->last = start.len - compact->rest.len;
    return text;
}

static struct slice next_intset(struct compact *compact)
{
    int64_t before = compact->number;
    struct slice text = signed_number(compact, compact->width);
    if (compact->any && compact->number <= before) {
        fail(compact);
    }
    return text;
}

static struct slice next_zipmap(struct compact *compact)
{
    uint64_t len = take_little(compact, 1);
    if (len == ZIPMAP_LARGE) {
        len = take_little(compact, 4);
    }
    uint64_t unused = compact->value ? take_little(compact, 1) : 0;
    struct slice text = take(compact, len);
    (void)take(compact, unused);
    compact->value = !compact->value;
    return text;
}

/* The end mark, and nothing behind it; as many elements as there should be. */
static bool at_end(struct compact *compact)
{
    bool bare = compact->form == COMPACT_INTSET;
    bool end =
        bare ? compact->rest.len == 0 : compact->rest.len > 0 && compact->rest.data[0] == END_MARK;
    if (!end) {
        return false;
    }
    bool counted = compact->left == 0 || compact->left == UINT64_MAX;
    if (!counted || compact->value || compact->rest.len != (bare ? 0 : 1)) {
        fail(compact);
    }
    return true;
}

bool compact_next(struct compact *compact, struct slice *text)
{
    if (compact->corrupt || at_end(compact)) {
        return false;
    }
    if (compact->left == 0) {
        fail(compact);
        return false;
    }
    compact->is_number = false;
    switch (compact->form) {
    case COMPACT_LISTPACK: *text = next_listpack(compact); break;
    case COMPACT_ZIPLIST: *text = next_ziplist(compact); break;
    case COMPACT_INTSET: *text = next_intset(compact); break;
    case COMPACT_ZIPMAP: *text = next_zipmap(compact); break;
    }
    compact->any = true;
    compact->left -= compact->left == UINT64_MAX ? 0 : 1;
    return !compact->corrupt;
}

int64_t compact_next_number(struct compact *compact)
{
    struct slice text;
    int64_t value = 0;
    if (!compact_next(compact, &text)) {
        fail(compact);
    } else if (compact->is_number) {
        value = compact->number;
    } else if (!number_parse_i64(text, &value)) {
        fail(compact);
    }
    return value;
}
