#include "client/admin/print.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"

enum { PREFIX_SIZE_MAX = 1024 };

/* A walk over a reply without recursion: what is open, and how far each has come. */
struct walk {
    struct {
        const struct sherd_reply *reply;
        size_t next;
        size_t prefix_len; /* print_text: columns before its elements. */
    } open[RESP_DEPTH_MAX + 2];
    size_t depth;
};

static bool is_aggregate(const struct sherd_reply *reply)
{
    return reply->type == SHERD_ARRAY || reply->type == SHERD_SET || reply->type == SHERD_MAP ||
           reply->type == SHERD_PUSH;
}

/* Length of the UTF-8 sequence at text, 0 if the bytes are none. Overlong forms and surrogates are
 * none. */
static size_t utf8_len(const unsigned char *text, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = text[0] < 0x80   ? 1
               : text[0] < 0xc2 ? 0
               : text[0] < 0xe0 ? 2
               : text[0] < 0xf0 ? 3
                                : 4;
    if (n < 2 || n > len || text[0] > 0xf4) {
        return n == 1 ? 1 : 0;
    }
    uint32_t code = text[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (text[i] & 0x3fU);
    }
    bool fine = code >= least[n] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return fine ? n : 0;
}

static void json_string(const char *bytes, size_t len, FILE *out)
{
    const unsigned char *text = (const unsigned char *)bytes;
    putc('"', out);
    size_t i = 0;
    while (i < len) {
        size_t n = utf8_len(text + i, len - i);
        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (text[i] == '"' || text[i] == '\\') {
            fprintf(out, "\\%c", text[i]);
        } else if (text[i] < ' ' || text[i] == 0x7f) {
            fprintf(out, "\\u%04x", text[i]);
        } else {
            fwrite(text + i, 1, n, out);
        }
        i += n;
    }
    putc('"', out);
}

static void json_scalar(const struct sherd_reply *reply, bool is_key, FILE *out)
{
    switch (reply->type) {
    case SHERD_NULL: fputs(is_key ? "\"\"" : "null", out); break;
    case SHERD_INTEGER:
        fprintf(out, is_key ? "\"%" PRId64 "\"" : "%" PRId64, reply->integer);
        break;
    case SHERD_BOOLEAN:
        fprintf(out, is_key ? "\"%s\"" : "%s", reply->integer != 0 ? "true" : "false");
        break;
    case SHERD_DOUBLE:
        if (isfinite(reply->real) && !is_key) {
            fprintf(out, "%.17g", reply->real);
        } else {
            json_string(reply->text, reply->len, out);
        }
        break;
    case SHERD_ERROR:
        fputs(is_key ? "" : "{\"error\":", out);
        json_string(reply->text, reply->len, out);
        fputs(is_key ? "" : "}", out);
        break;
    case SHERD_STATUS:
    case SHERD_STRING:
    case SHERD_VERBATIM:
    case SHERD_BIG_NUMBER: json_string(reply->text, reply->len, out); break;
    case SHERD_ARRAY:
    case SHERD_SET:
    case SHERD_MAP:
    case SHERD_PUSH: fputs(is_key ? "\"\"" : "null", out); break;
    }
}

static void push(struct walk *walk, const struct sherd_reply *reply, size_t prefix_len)
{
    assert(walk->depth < RESP_DEPTH_MAX + 2);
    walk->open[walk->depth].reply = reply;
    walk->open[walk->depth].next = 0;
    walk->open[walk->depth].prefix_len = prefix_len;
    walk->depth++;
}

void print_json(const struct sherd_reply *reply, FILE *out)
{
    if (!is_aggregate(reply)) {
        json_scalar(reply, false, out);
        return;
    }
    struct walk walk = {.depth = 0};
    push(&walk, reply, 0);
    putc(reply->type == SHERD_MAP ? '{' : '[', out);
    while (walk.depth > 0) {
        const struct sherd_reply *open = walk.open[walk.depth - 1].reply;
        size_t next = walk.open[walk.depth - 1].next++;
        bool is_map = open->type == SHERD_MAP;
        if (next == open->count) {
            putc(is_map ? '}' : ']', out);
            walk.depth--;
            continue;
        }
        bool is_key = is_map && next % 2 == 0;
        fputs(next == 0 ? "" : is_map && !is_key ? ":" : ",", out);
        const struct sherd_reply *element = &open->elements[next];
        if (is_aggregate(element) && !is_key) {
            putc(element->type == SHERD_MAP ? '{' : '[', out);
            push(&walk, element, 0);
        } else {
            json_scalar(element, is_key, out);
        }
    }
}

/* As redis-cli quotes: C escapes, everything outside printable ASCII as \xHH. */
static void quoted(const char *bytes, size_t len, FILE *out)
{
    static const char plain[] = "\n\r\t\a\b\"\\";
    static const char letter[] = "nrtab\"\\";
    putc('"', out);
    for (size_t i = 0; i < len; i++) {
        const char *special = bytes[i] == '\0' ? NULL : strchr(plain, bytes[i]);
        if (special != NULL) {
            fprintf(out, "\\%c", letter[special - plain]);
        } else if (bytes[i] >= ' ' && bytes[i] < 0x7f) {
            putc(bytes[i], out);
        } else {
            fprintf(out, "\\x%02x", (unsigned char)bytes[i]);
        }
    }
    putc('"', out);
}

static void text_scalar(const struct sherd_reply *reply, FILE *out)
{
    switch (reply->type) {
    case SHERD_NULL: fputs("(nil)", out); break;
    case SHERD_STATUS:
    case SHERD_VERBATIM: fwrite(reply->text, 1, reply->len, out); break;
    case SHERD_ERROR: fprintf(out, "(error) %s", reply->text); break;
    case SHERD_STRING: quoted(reply->text, reply->len, out); break;
    case SHERD_INTEGER: fprintf(out, "(integer) %" PRId64, reply->integer); break;
    case SHERD_BOOLEAN: fputs(reply->integer != 0 ? "(true)" : "(false)", out); break;
    case SHERD_DOUBLE: fprintf(out, "(double) %s", reply->text); break;
    case SHERD_BIG_NUMBER: fprintf(out, "(big number) %s", reply->text); break;
    case SHERD_ARRAY: fputs("(empty array)", out); break;
    case SHERD_SET: fputs("(empty set)", out); break;
    case SHERD_MAP: fputs("(empty hash)", out); break;
    case SHERD_PUSH: fputs("(empty push)", out); break;
    }
}

static size_t digits_of(size_t number)
{
    size_t digits = 1;
    while (number >= 10) {
        number /= 10;
        digits++;
    }
    return digits;
}

static char mark_of(const struct sherd_reply *reply)
{
    switch (reply->type) {
    case SHERD_MAP: return '#';
    case SHERD_SET: return '~';
    case SHERD_PUSH: return '>';
    case SHERD_NULL:
    case SHERD_STATUS:
    case SHERD_ERROR:
    case SHERD_STRING:
    case SHERD_VERBATIM:
    case SHERD_INTEGER:
    case SHERD_BOOLEAN:
    case SHERD_DOUBLE:
    case SHERD_BIG_NUMBER:
    case SHERD_ARRAY: break;
    }
    return ')';
}

void print_text(const struct sherd_reply *reply, FILE *out)
{
    if (!is_aggregate(reply) || reply->count == 0) {
        text_scalar(reply, out);
        putc('\n', out);
        return;
    }
    struct walk walk = {.depth = 0};
    push(&walk, reply, 0);
    bool at_line_start = false;
    while (walk.depth > 0) {
        size_t top = walk.depth - 1;
        const struct sherd_reply *open = walk.open[top].reply;
        size_t next = walk.open[top].next++;
        if (next == open->count) {
            walk.depth--;
            continue;
        }
        bool is_map = open->type == SHERD_MAP;
        bool is_value = is_map && next % 2 == 1;
        size_t width = digits_of(is_map ? open->count / 2 : open->count);
        size_t prefix_len = walk.open[top].prefix_len;
        if (is_value) {
            fputs(" => ", out);
        } else {
            fprintf(out, "%*s%*zu%c ", at_line_start ? (int)prefix_len : 0, "", (int)width,
                    (is_map ? next / 2 : next) + 1, mark_of(open));
        }
        const struct sherd_reply *element = &open->elements[next];
        at_line_start = false;
        if (is_aggregate(element) && element->count > 0) {
            size_t inner = prefix_len + width + 2;
            if (is_value) {
                putc('\n', out);
                at_line_start = true;
            }
            push(&walk, element, inner < PREFIX_SIZE_MAX ? inner : PREFIX_SIZE_MAX);
            continue;
        }
        text_scalar(element, out);
        if (!is_map || is_value) {
            putc('\n', out);
            at_line_start = true;
        }
    }
}
