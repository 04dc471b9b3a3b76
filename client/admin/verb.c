#include "client/admin/verb.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/assert.h"

struct option_row {
    const char *verb;
    const char *name;
    const char *value;
    const char *fallback;
    const char *text;
};

static const struct verb verbs[] = {
#define NOUN_VERB(noun_, name_, operands_, summary_, text_, examples_) \
    {.name = #noun_ " " #name_,                                        \
     .operands = operands_,                                            \
     .summary = summary_,                                              \
     .text = text_,                                                    \
     .examples = examples_,                                            \
     .run = verb_run_##noun_##_##name_},
#define VERB(name_, operands_, summary_, text_, examples_) \
    {.name = #name_,                                       \
     .operands = operands_,                                \
     .summary = summary_,                                  \
     .text = text_,                                        \
     .examples = examples_,                                \
     .run = verb_run_##name_},
#define OPTION(...)
#include "client/admin/verb.def"
#undef VERB
#undef NOUN_VERB
#undef OPTION
};

static const struct option_row options[] = {
#define VERB(...)
#define NOUN_VERB(...)
#define OPTION(verb_, name_, value_, fallback_, text_) \
    {.verb = verb_, .name = name_, .value = value_, .fallback = fallback_, .text = text_},
#include "client/admin/verb.def"
#undef VERB
#undef NOUN_VERB
#undef OPTION
};

enum {
    VERB_COUNT = sizeof verbs / sizeof verbs[0],
    OPTION_COUNT = sizeof options / sizeof options[0],
    NEAR_DISTANCE_MAX = 2,
    NAME_LEN_MAX = 32,
};
_Static_assert((size_t)OPTION_COUNT <= (size_t)VERB_OPTIONS_MAX,
               "the table has outgrown struct verb_call");

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (same(verbs[i].name, name)) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* Behind the noun of a name, or the name. */
static const char *last_word(const char *name)
{
    const char *space = strchr(name, ' ');
    return space == NULL ? name : space + 1;
}

static bool has_noun(const struct verb *verb, const char *noun)
{
    size_t len = strlen(noun);
    return strncmp(verb->name, noun, len) == 0 && verb->name[len] == ' ';
}

bool verb_is_noun(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (has_noun(&verbs[i], name)) {
            return true;
        }
    }
    return false;
}

const struct verb *verb_at(size_t index)
{
    return index < VERB_COUNT ? &verbs[index] : NULL;
}

const struct verb *verb_find_of(const char *noun, const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (has_noun(&verbs[i], noun) && same(last_word(verbs[i].name), name)) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* Edit distance; names longer than NAME_LEN_MAX are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len > NAME_LEN_MAX || b_len > NAME_LEN_MAX) {
        return NAME_LEN_MAX;
    }
    size_t row[NAME_LEN_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[b_len];
}

/* Among the verbs of the noun, or, if that is NULL, the names with their first words alone. */
static const char *nearest_verb(const char *noun, const char *name)
{
    const char *best = NULL;
    size_t best_distance = NEAR_DISTANCE_MAX + 1;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char first[NAME_LEN_MAX];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(verbs[i].name, " "), verbs[i].name);
        bool fits = noun == NULL || has_noun(&verbs[i], noun);
        size_t d = !fits          ? NAME_LEN_MAX
                   : noun == NULL ? distance(name, first)
                                  : distance(name, last_word(verbs[i].name));
        if (d < best_distance) {
            best = noun == NULL ? verbs[i].name : last_word(verbs[i].name);
            best_distance = d;
        }
    }
    return best;
}

/* The table names the verbs of an option with commas between them; "": all. */
static bool names(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; *at != '\0';) {
        size_t item = strcspn(at, ",");
        if (item == len && memcmp(at, name, len) == 0) {
            return true;
        }
        at += item + (at[item] == ',');
    }
    return false;
}

static bool belongs(const struct option_row *option, const struct verb *verb)
{
    return option->verb[0] == '\0' || (verb != NULL && names(option->verb, verb->name));
}

/* The row of the option whose name has len characters; OPTION_COUNT if there is none. */
static size_t find_option(const struct verb *verb, const char *name, size_t len)
{
    size_t i = 0;
    while (i < OPTION_COUNT && !(belongs(&options[i], verb) && strlen(options[i].name) == len &&
                                 memcmp(options[i].name, name, len) == 0)) {
        i++;
    }
    return i;
}

static const char *nearest_option(const struct verb *verb, const char *name)
{
    const char *best = NULL;
    size_t best_distance = NEAR_DISTANCE_MAX + 1;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        size_t d = belongs(&options[i], verb) ? distance(name, options[i].name) : NAME_LEN_MAX;
        if (d < best_distance) {
            best = options[i].name;
            best_distance = d;
        }
    }
    return best;
}

static enum status unknown_option(const struct verb *verb, const char *name, char *error)
{
    const char *near = nearest_option(verb, name);
    if (near != NULL) {
        snprintf(error, VERB_LINE_SIZE, "unknown option --%s; did you mean --%s?", name, near);
    } else {
        snprintf(error, VERB_LINE_SIZE, "unknown option --%s; see sherd-admin help%s%s", name,
                 verb == NULL ? "" : " ", verb == NULL ? "" : verb->name);
    }
    return STATUS_BAD_ARGUMENT;
}

/* One "--name", "--name value" or "--name=value"; *at is left on its last word. */
static enum status parse_option(
    const char *const *argv, size_t argc, size_t *at, struct verb_call *call, char *error)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    size_t row = find_option(call->verb, name, len);
    if (row == OPTION_COUNT) {
        return unknown_option(call->verb, name, error);
    }
    bool takes_value = options[row].value != NULL;
    if (!takes_value && equals != NULL) {
        snprintf(error, VERB_LINE_SIZE, "--%s takes no value", options[row].name);
        return STATUS_BAD_ARGUMENT;
    }
    if (takes_value && equals == NULL && *at + 1 == argc) {
        snprintf(error, VERB_LINE_SIZE, "--%s needs a value: --%s %s", options[row].name,
                 options[row].name, options[row].value);
        return STATUS_BAD_ARGUMENT;
    }
    if (!takes_value) {
        call->values[row] = "";
    } else if (equals != NULL) {
        call->values[row] = equals + 1;
    } else {
        (*at)++;
        call->values[row] = argv[*at];
    }
    return STATUS_OK;
}

static enum status unknown_verb(const char *noun, const char *name, char *error)
{
    const char *near = nearest_verb(noun, name);
    const char *of = noun == NULL ? "" : noun;
    const char *space = noun == NULL ? "" : " ";
    if (near != NULL) {
        int len = noun == NULL ? (int)strcspn(near, " ") : (int)strlen(near);
        snprintf(error, VERB_LINE_SIZE, "unknown verb '%s%s%.64s'; did you mean '%s%s%.*s'?", of,
                 space, name, of, space, len, near);
    } else {
        snprintf(error, VERB_LINE_SIZE, "unknown verb '%s%s%.64s'; see sherd-admin help%s%s", of,
                 space, name, space, of);
    }
    return STATUS_BAD_ARGUMENT;
}

/* The verb, or the noun whose verb follows. */
static enum status parse_verb(const char *name,
                              const char **noun,
                              struct verb_call *call,
                              char *error)
{
    if (*noun != NULL) {
        call->verb = verb_find_of(*noun, name);
    } else {
        call->verb = strchr(name, ' ') == NULL ? verb_find(name) : NULL;
        if (call->verb == NULL && verb_is_noun(name)) {
            *noun = name;
            return STATUS_OK;
        }
    }
    return call->verb != NULL ? STATUS_OK : unknown_verb(*noun, name, error);
}

/* How many operands a verb takes, from how they are written. */
static void operand_bounds(const struct verb *verb, size_t *min, size_t *max)
{
    *min = 0;
    *max = 0;
    for (const char *at = verb->operands; *at != '\0';) {
        size_t len = strcspn(at, " ");
        *min += *at != '[';
        *max += 1;
        at += len + (at[len] == ' ');
    }
    if (strstr(verb->operands, "...") != NULL) {
        *max = SIZE_MAX;
        *min = verb->operands[0] != '[';
    }
}

static enum status check_operands(const struct verb_call *call, char *error)
{
    size_t min = 0;
    size_t max = 0;
    operand_bounds(call->verb, &min, &max);
    if (call->operand_count >= min && call->operand_count <= max) {
        return STATUS_OK;
    }
    if (max == 0) {
        snprintf(error, VERB_LINE_SIZE, "%s takes no arguments", call->verb->name);
    } else {
        snprintf(error, VERB_LINE_SIZE, "usage: sherd-admin %s %s", call->verb->name,
                 call->verb->operands);
    }
    return STATUS_BAD_ARGUMENT;
}

/* True for --help and -h: they mean `help`, or `help VERB` behind a verb. */
static bool asks_for_help(const char *word)
{
    return same(word, "--help") || same(word, "-h");
}

static enum status ask_help(struct verb_call *call, const char *noun)
{
    const struct verb *about = call->verb;
    *call = (struct verb_call){.verb = verb_find("help"), .noun = noun};
    if (about != NULL) {
        call->operands = &about->name;
    } else if (noun != NULL) {
        call->operands = &call->noun;
    }
    call->operand_count = about != NULL || noun != NULL;
    return STATUS_OK;
}

enum status verb_parse(const char *const *argv, size_t argc, struct verb_call *call, char *error)
{
    *call = (struct verb_call){0};
    bool only_operands = false;
    const char *noun = NULL;
    for (size_t i = 0; i < argc; i++) {
        enum status status = STATUS_OK;
        bool is_option = !only_operands && strncmp(argv[i], "--", 2) == 0;
        if (!only_operands && asks_for_help(argv[i])) {
            return ask_help(call, noun);
        }
        if (is_option && same(argv[i], "--")) {
            only_operands = true;
        } else if (is_option) {
            status = parse_option(argv, argc, &i, call, error);
        } else if (call->verb == NULL) {
            status = parse_verb(argv[i], &noun, call, error);
            only_operands = call->verb != NULL && strstr(call->verb->operands, "...") != NULL;
        } else if (call->operand_count == 0) {
            call->operands = &argv[i];
            call->operand_count = 1;
        } else if (call->operands + call->operand_count == &argv[i]) {
            call->operand_count++;
        } else {
            snprintf(error, VERB_LINE_SIZE, "write the arguments of %s side by side",
                     call->verb->name);
            status = STATUS_BAD_ARGUMENT;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (call->verb == NULL) {
        return ask_help(call, noun);
    }
    return check_operands(call, error);
}

static size_t row_of(const struct verb_call *call, const char *name)
{
    size_t row = find_option(call->verb, name, strlen(name));
    assert(row < OPTION_COUNT);
    return row;
}

bool verb_given(const struct verb_call *call, const char *name)
{
    return call->values[row_of(call, name)] != NULL;
}

const char *verb_option(const struct verb_call *call, const char *name)
{
    size_t row = row_of(call, name);
    return call->values[row] != NULL ? call->values[row] : options[row].fallback;
}

enum status verb_number(
    const struct verb_call *call, const char *name, long min, long max, long *number)
{
    const char *text = verb_option(call, name);
    assert(text != NULL && min <= max);
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "sherd-admin: --%s is '%.64s'; it must be a number from %ld to %ld\n", name,
                text, min, max);
        return STATUS_BAD_ARGUMENT;
    }
    *number = value;
    return STATUS_OK;
}

/* "  --dir DIR" padded, its text, its default. */
static void write_option(const struct option_row *option, struct buf *out)
{
    char head[64];
    snprintf(head, sizeof head, "--%s %s", option->name,
             option->value == NULL ? "" : option->value);
    buf_append_format(out, "  %-22s %s", head, option->text);
    if (option->fallback != NULL) {
        buf_append_format(out, " [%s]", option->fallback);
    }
    buf_append_text(out, "\n");
}

static bool write_options(const struct verb *verb, const char *title, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        bool own = options[i].verb[0] != '\0' && verb != NULL && names(options[i].verb, verb->name);
        if (verb == NULL ? options[i].verb[0] != '\0' : !own) {
            continue;
        }
        if (!any) {
            buf_append_text(out, title);
        }
        any = true;
        write_option(&options[i], out);
    }
    return any;
}

static void write_row(const struct verb *verb, struct buf *out)
{
    char head[64];
    snprintf(head, sizeof head, "%s %s", verb->name, verb->operands);
    bool wide = strlen(head) > 22;
    buf_append_format(out, wide ? "  %s\n" : "  %-22s ", head);
    if (wide) {
        buf_append_format(out, "  %-22s ", "");
    }
    buf_append_format(out, "%s\n", verb->summary);
}

void verb_write_help_noun(const char *noun, struct buf *out)
{
    buf_append_format(out, "Usage: sherd-admin [OPTION...] %s VERB [ARGUMENT...]\n\n", noun);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (has_noun(&verbs[i], noun)) {
            write_row(&verbs[i], out);
        }
    }
    buf_append_format(out, "\nAll about one: sherd-admin help %s VERB\n", noun);
}

/* "node VERB" and its verbs, in one row. */
static void write_noun(const struct verb *first, struct buf *out)
{
    char noun[NAME_LEN_MAX];
    char head[NAME_LEN_MAX + 8];
    snprintf(noun, sizeof noun, "%.*s", (int)strcspn(first->name, " "), first->name);
    snprintf(head, sizeof head, "%s VERB", noun);
    buf_append_format(out, "  %-22s ", head);
    for (const struct verb *verb = first; verb < verbs + VERB_COUNT && has_noun(verb, noun);
         verb++) {
        buf_append_format(out, "%s%s", verb == first ? "" : "|", last_word(verb->name));
    }
    buf_append_text(out, "\n");
}

void verb_write_help(struct buf *out)
{
    buf_append_text(out, "Usage: sherd-admin [OPTION...] VERB [ARGUMENT...]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const char *name = verbs[i].name;
        size_t len = strcspn(name, " ");
        bool noun = name[len] != '\0';
        if (!noun) {
            write_row(&verbs[i], out);
        } else if (i == 0 || strncmp(verbs[i - 1].name, name, len + 1) != 0) {
            write_noun(&verbs[i], out);
        }
    }
    (void)write_options(NULL, "\nOptions:\n", out);
    buf_append_text(out,
                    "\nExit codes: 0 done, 1 failed, 2 usage, 3 cannot connect, 4 authentication,\n"
                    "5 refused as unsafe, 6 still running, 7 partly done.\n");
}

void verb_write_help_of(const struct verb *verb, struct buf *out)
{
    buf_append_format(out, "%s\n\nUsage: sherd-admin %s%s%s\n\nExamples:\n", verb->summary,
                      verb->name, verb->operands[0] == '\0' ? "" : " ", verb->operands);
    const char *line = verb->examples;
    while (*line != '\0') {
        const char *end = strchr(line, '\n');
        assert(end != NULL);
        buf_append_text(out, "  ");
        buf_append(out, line, (size_t)(end - line) + 1);
        line = end + 1;
    }
    if (verb->text[0] != '\0') {
        buf_append_format(out, "\n%s", verb->text);
    }
    (void)write_options(verb, "\nOptions:\n", out);
    (void)write_options(NULL, "\nGeneral options:\n", out);
}

void verb_write_markdown(struct buf *out)
{
    buf_append_text(out,
                    "# sherd-admin\n\nWritten by `sherd-admin help --markdown` from "
                    "`client/admin/verb.def`;\na test fails if they differ.\n\n```\n");
    verb_write_help(out);
    buf_append_text(out, "```\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        buf_append_format(out, "\n## %s\n\n```\n", verbs[i].name);
        verb_write_help_of(&verbs[i], out);
        buf_append_text(out, "```\n");
    }
}

/* A line of text for roff: its control characters are escaped. */
static void write_roff(const char *text, struct buf *out)
{
    bool begins = true;
    for (const char *at = text; *at != '\0'; at++) {
        if (begins && (*at == '.' || *at == '\'')) {
            buf_append_text(out, "\\&");
        }
        if (*at == '\\' || *at == '-') {
            buf_append_u8(out, '\\');
        }
        buf_append_u8(out, (uint8_t)*at);
        begins = *at == '\n';
    }
}

void verb_write_man(struct buf *out)
{
    struct buf text;
    buf_init(&text, VERB_TEXT_SIZE_MAX);
    buf_append_text(
        out,
        ".TH SHERD-ADMIN 1\n.SH NAME\nsherd\\-admin \\- looks after a cluster of Sherd\n"
        ".SH SYNOPSIS\n.nf\n");
    verb_write_help(&text);
    buf_append_u8(&text, '\0');
    write_roff((const char *)text.data, out);
    buf_append_text(out, ".fi\n.SH VERBS\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        buf_append_text(out, ".SS ");
        write_roff(verbs[i].name, out);
        buf_append_text(out, "\n.nf\n");
        buf_clear(&text);
        verb_write_help_of(&verbs[i], &text);
        buf_append_u8(&text, '\0');
        write_roff((const char *)text.data, out);
        buf_append_text(out, ".fi\n");
    }
    buf_deinit(&text);
}
