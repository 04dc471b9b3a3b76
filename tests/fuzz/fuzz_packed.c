/* Any bytes as a packed hash or set: walked and looked into without reading outside of them; what
 * is whole can be changed, and has the change afterwards. */

#include "common/base/assert.h"
#include "server/machine/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* True if the body is whole. */
static bool walk_all(enum packed_form form, struct slice body, struct packed_entry *last)
{
    struct packed_walk walk = {.form = form, .body = body};
    size_t end = 0;
    while (packed_next(&walk)) {
        assert(walk.entry.at == end && walk.entry.size > 0);
        end = walk.entry.at + walk.entry.size;
        assert(end <= body.len);
        *last = walk.entry;
    }
    assert(walk.corrupt || end == body.len);
    return !walk.corrupt;
}

static void change(enum packed_form form, struct slice body, struct slice field)
{
    const struct slice value = slice_of("value", form == PACKED_PAIRS ? 5 : 0);
    struct packed_entry entry;
    struct buf copy;
    bool found = false;
    if (packed_find(form, body, field, &entry, &found) != STATUS_OK ||
        !packed_takes(form, 1, field, value)) {
        return;
    }
    assert(found || entry.size == 0);
    buf_init(&copy, SIZE_MAX / 2);
    buf_append_slice(&copy, body);
    packed_put(form, &copy, &entry, field, value);
    assert(packed_find(form, buf_slice(&copy), field, &entry, &found) == STATUS_OK);
    assert(found && slice_equal(entry.value, value));
    packed_remove(&copy, &entry);
    assert(copy.len <= body.len + entry.size);
    buf_deinit(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    const enum packed_form forms[] = {PACKED_PAIRS, PACKED_MEMBERS, PACKED_INTEGERS};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct packed_entry last = {0};
        struct packed_entry found_entry;
        bool found = false;
        bool whole = walk_all(forms[i], bytes, &last);
        if (whole) {
            change(forms[i], bytes, slice_of("field", 5));
            change(forms[i], bytes, slice_of("-12", 3));
        }
        if (whole && last.size > 0 && forms[i] != PACKED_INTEGERS) {
            enum status status = packed_find(forms[i], bytes, last.field, &found_entry, &found);
            assert(status == STATUS_OK && found);
        }
    }
    return 0;
}
