#include <stdio.h>

#include "server/script/script_private.h"

/* The first line of a source, if it begins with "#!": Redis 7.0 eval.c,
 * evalExtractShebangFlags(). */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Takes the next word off the front; empty at the end. */
static struct slice next_word(struct slice *line)
{
    size_t from = 0;
    while (from < line->len && is_blank(line->data[from])) {
        from++;
    }
    size_t to = from;
    while (to < line->len && !is_blank(line->data[to])) {
        to++;
    }
    struct slice word = slice_of(line->data + from, to - from);
    *line = slice_of(line->data + to, line->len - to);
    return word;
}

static const char *refuse(char *text, const char *what, struct slice word)
{
    (void)snprintf(text, SCRIPT_TEXT_SIZE_MAX, "%s%.*s", what,
                   (int)(word.len < 128 ? word.len : 128), (const char *)word.data);
    return text;
}

static unsigned flag_of(struct slice word)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {{SCRIPT_NO_WRITES, "no-writes"},
                 {SCRIPT_ALLOW_OOM, "allow-oom"},
                 {SCRIPT_ALLOW_STALE, "allow-stale"},
                 {SCRIPT_NO_CLUSTER, "no-cluster"},
                 {SCRIPT_CROSS_SLOT, "allow-cross-slot-keys"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equal(word, slice_str(names[i].name))) {
            return names[i].flag;
        }
    }
    return 0;
}

/* names: separated by commas. */
static const char *read_flags(struct slice names, unsigned *flags, char *text)
{
    bool more = names.len > 0;
    while (more) {
        const uint8_t *comma = memchr(names.data, ',', names.len);
        size_t len = comma == NULL ? names.len : (size_t)(comma - names.data);
        struct slice name = slice_of(names.data, len);
        unsigned flag = flag_of(name);
        if (flag == 0) {
            return refuse(text, "Unexpected flag in script shebang: ", name);
        }
        *flags |= flag;
        more = comma != NULL;
        size_t used = more ? len + 1 : len;
        names = slice_of(names.data + used, names.len - used);
    }
    return NULL;
}

const char *script_source_flags(struct slice source,
                                unsigned *flags,
                                size_t *skip,
                                char text[SCRIPT_TEXT_SIZE_MAX])
{
    static const struct slice option = {.data = (const uint8_t *)"flags=", .len = 6};
    *flags = SCRIPT_PLAIN;
    *skip = 0;
    if (source.len < 2 || source.data[0] != '#' || source.data[1] != '!') {
        return NULL;
    }
    const uint8_t *end = memchr(source.data, '\n', source.len);
    if (end == NULL) {
        return "Invalid script shebang";
    }
    *skip = (size_t)(end - source.data);
    *flags = 0;
    struct slice line = slice_of(source.data, *skip);
    struct slice word = next_word(&line);
    if (!slice_equal(word, slice_str("#!lua"))) {
        return refuse(text, "Unexpected engine in script shebang: ", word);
    }
    while ((word = next_word(&line)).len > 0) {
        bool known = word.len >= option.len && memcmp(word.data, option.data, option.len) == 0;
        if (!known) {
            return refuse(text, "Unknown lua shebang option: ", word);
        }
        word = slice_of(word.data + option.len, word.len - option.len);
        const char *error = read_flags(word, flags, text);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}
