#include "server/machine/stream_id.h"

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/proto/resp.h"

enum { TEXT_SIZE_MAX = 127 }; /* Of an id as a client writes it. */

bool stream_id_next(struct stream_id *id)
{
    id->seq++;
    id->ms += id->seq == 0 ? 1 : 0;
    return !stream_id_zero(*id);
}

bool stream_id_previous(struct stream_id *id)
{
    bool zero = stream_id_zero(*id);
    id->ms -= id->seq == 0 ? 1 : 0;
    id->seq--;
    return !zero;
}

void stream_id_append(struct buf *out, struct stream_id id)
{
    buf_append_u64_be(out, id.ms);
    buf_append_u64_be(out, id.seq);
}

struct stream_id stream_id_read(struct reader *in)
{
    struct stream_id id;
    id.ms = reader_u64_be(in);
    id.seq = reader_u64_be(in);
    return id;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What Redis' string2ull() takes: an integer in the one canonical form that is not negative, or
 * whatever strtoull() takes in full, "-01" too. */
static bool parse_number(struct slice text, uint64_t *value)
{
    int64_t canonical = 0;
    if (number_parse_i64(text, &canonical)) {
        *value = (uint64_t)canonical;
        return canonical >= 0;
    }
    size_t at = 0;
    while (at < text.len && is_space(text.data[at])) {
        at++;
    }
    bool negative = at < text.len && text.data[at] == '-';
    at += at < text.len && (text.data[at] == '-' || text.data[at] == '+') ? 1 : 0;
    if (at == text.len) {
        return false;
    }
    uint64_t sum = 0;
    for (; at < text.len; at++) {
        uint8_t digit = (uint8_t)(text.data[at] - '0');
        if (digit > 9 || __builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
            __builtin_add_overflow(sum, (uint64_t)digit, &sum)) {
            return false;
        }
    }
    *value = negative ? 0 - sum : sum;
    return true;
}

/* Up to the first NUL, as Redis looks at it; false if it is too long. */
static bool clip(struct slice *text)
{
    if (text->len > TEXT_SIZE_MAX) {
        return false;
    }
    const uint8_t *nul = text->len == 0 ? NULL : memchr(text->data, 0, text->len);
    text->len = nul == NULL ? text->len : (size_t)(nul - text->data);
    return true;
}

static bool is_byte(struct slice text, char byte)
{
    return text.len == 1 && text.data[0] == (uint8_t)byte;
}

/* seq_given: NULL if "ms-*" is not allowed. */
static bool parse(struct slice text, uint64_t missing_seq, struct stream_id *id, bool *seq_given)
{
    const uint8_t *dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    struct slice ms = text;
    struct stream_id parsed = {.seq = missing_seq};
    if (seq_given != NULL) {
        *seq_given = true;
    }
    if (dash != NULL) {
        ms.len = (size_t)(dash - text.data);
        struct slice seq = slice_of(dash + 1, text.len - ms.len - 1);
        if (seq_given != NULL && is_byte(seq, '*')) {
            *seq_given = false;
            parsed.seq = 0;
        } else if (!parse_number(seq, &parsed.seq)) {
            return false;
        }
    }
    if (!parse_number(ms, &parsed.ms)) {
        return false;
    }
    *id = parsed;
    return true;
}

bool stream_id_parse(struct slice text, uint64_t missing_seq, struct stream_id *id)
{
    if (!clip(&text)) {
        return false;
    }
    if (is_byte(text, '-') || is_byte(text, '+')) {
        *id = text.data[0] == '-' ? (struct stream_id){0} : STREAM_ID_MAX;
        return true;
    }
    return parse(text, missing_seq, id, NULL);
}

bool stream_id_parse_strict(struct slice text, struct stream_id *id)
{
    return clip(&text) && parse(text, 0, id, NULL);
}

bool stream_id_parse_new(struct slice text, struct stream_id *id, bool *seq_given)
{
    return clip(&text) && parse(text, 0, id, seq_given);
}

static bool parse_bound(struct slice text, uint64_t missing_seq, struct stream_id *id, bool *open)
{
    *open = text.len > 1 && text.data[0] == '(';
    if (!*open) {
        return stream_id_parse(text, missing_seq, id);
    }
    text = slice_of(text.data + 1, text.len - 1);
    return clip(&text) && parse(text, missing_seq, id, NULL);
}

const char *stream_id_parse_start(struct slice text, struct stream_id *id)
{
    bool open = false;
    if (!parse_bound(text, 0, id, &open)) {
        return ERR_STREAM_ID;
    }
    return open && !stream_id_next(id) ? "ERR invalid start ID for the interval" : NULL;
}

const char *stream_id_parse_end(struct slice text, struct stream_id *id)
{
    bool open = false;
    if (!parse_bound(text, UINT64_MAX, id, &open)) {
        return ERR_STREAM_ID;
    }
    return open && !stream_id_previous(id) ? "ERR invalid end ID for the interval" : NULL;
}

void stream_id_reply(struct buf *reply, struct stream_id id)
{
    char text[2 * NUMBER_I64_SIZE_MAX + 1];
    size_t len = number_format_u64(id.ms, text);
    text[len++] = '-';
    len += number_format_u64(id.seq, text + len);
    assert(len <= STREAM_ID_TEXT_SIZE_MAX);
    resp_write_bulk(reply, slice_of(text, len));
}
