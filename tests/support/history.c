#include "tests/support/history.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"

enum { FIELD_COUNT = 8 };

static const char *const KIND_NAMES[HISTORY_KIND_COUNT] = {
    [HISTORY_GET] = "get",       [HISTORY_SET] = "set",       [HISTORY_SETNX] = "setnx",
    [HISTORY_GETSET] = "getset", [HISTORY_GETDEL] = "getdel", [HISTORY_DEL] = "del",
    [HISTORY_EXISTS] = "exists", [HISTORY_INCRBY] = "incrby", [HISTORY_APPEND] = "append",
};

static const char *const OUTCOME_NAMES[] = {
    [HISTORY_PENDING] = "unknown",
    [HISTORY_OK] = "ok",
    [HISTORY_FAIL] = "fail",
    [HISTORY_UNKNOWN] = "unknown",
};

void history_init(struct history *history)
{
    *history = (struct history){.size = 64};
    text_pool_init(&history->texts);
    history->ops = calloc(history->size, sizeof *history->ops);
    assert(history->ops != NULL);
}

void history_deinit(struct history *history)
{
    text_pool_deinit(&history->texts);
    free(history->ops);
    *history = (struct history){0};
}

size_t history_invoke(struct history *history,
                      uint64_t now,
                      uint32_t client,
                      enum history_kind kind,
                      struct slice key,
                      struct slice arg)
{
    assert(kind < HISTORY_KIND_COUNT);
    assert(key.data != NULL);
    if (history->count == history->size) {
        history->size *= 2;
        history->ops = realloc(history->ops, history->size * sizeof *history->ops);
        assert(history->ops != NULL);
    }
    struct history_op *op = &history->ops[history->count];
    *op = (struct history_op){
        .invoked = now, .returned = HISTORY_NEVER, .client = client, .kind = kind};
    op->key = text_pool_add(&history->texts, key);
    op->arg = text_pool_add(&history->texts, arg);
    return history->count++;
}

void history_return(struct history *history,
                    size_t op,
                    uint64_t now,
                    enum history_outcome outcome,
                    struct slice result)
{
    assert(op < history->count);
    struct history_op *at = &history->ops[op];
    assert(at->outcome == HISTORY_PENDING);
    assert(outcome != HISTORY_PENDING);
    assert(now >= at->invoked);
    at->outcome = outcome;
    at->returned = outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : now;
    at->result = text_pool_add(&history->texts, result);
}

const char *history_kind_name(enum history_kind kind)
{
    assert(kind < HISTORY_KIND_COUNT);
    return KIND_NAMES[kind];
}

static void print_text(struct slice text, FILE *to)
{
    if (text.data == NULL) {
        fputs(" _", to);
        return;
    }
    fputs(text.len == 0 ? " %" : " ", to);
    bool lone = text.len == 1;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        bool plain = byte > ' ' && byte < 0x7f && byte != '%' && !(lone && byte == '_');
        fprintf(to, plain ? "%c" : "%%%02X", byte);
    }
}

void history_print(const struct history *history, size_t op, FILE *to)
{
    assert(op < history->count);
    const struct history_op *at = &history->ops[op];
    fprintf(to, "%" PRIu64, at->invoked);
    if (at->returned == HISTORY_NEVER) {
        fputs(" -", to);
    } else {
        fprintf(to, " %" PRIu64, at->returned);
    }
    fprintf(to, " %s %" PRIu32, OUTCOME_NAMES[at->outcome], at->client);
    print_text(text_pool_get(&history->texts, at->key), to);
    fprintf(to, " %s", KIND_NAMES[at->kind]);
    print_text(text_pool_get(&history->texts, at->arg), to);
    print_text(text_pool_get(&history->texts, at->result), to);
    fputc('\n', to);
}

void history_write(const struct history *history, FILE *to)
{
    for (size_t i = 0; i < history->count; i++) {
        history_print(history, i, to);
    }
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end = NULL;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static int hex_value(char digit)
{
    const char *digits = "0123456789ABCDEF";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes %XX in place. */
static bool parse_text(char *text, struct slice *out)
{
    if (strcmp(text, "_") == 0) {
        *out = slice_of(NULL, 0);
        return true;
    }
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            text[len++] = *at;
            continue;
        }
        if (at == text && at[1] == '\0') {
            break;
        }
        int high = hex_value(at[1]);
        int low = high < 0 ? -1 : hex_value(at[2]);
        if (low < 0) {
            return false;
        }
        text[len++] = (char)(high * 16 + low);
        at += 2;
    }
    *out = slice_of(text, len);
    return true;
}

static bool parse_outcome(const char *text, enum history_outcome *outcome)
{
    for (int i = HISTORY_OK; i <= HISTORY_UNKNOWN; i++) {
        if (strcmp(text, OUTCOME_NAMES[i]) == 0) {
            *outcome = (enum history_outcome)i;
            return true;
        }
    }
    return false;
}

static bool parse_kind(const char *text, enum history_kind *kind)
{
    for (int i = 0; i < HISTORY_KIND_COUNT; i++) {
        if (strcmp(text, KIND_NAMES[i]) == 0) {
            *kind = (enum history_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_fields(struct history *history, char **fields)
{
    uint64_t invoked;
    uint64_t returned = HISTORY_NEVER;
    uint64_t client;
    enum history_outcome outcome;
    enum history_kind kind;
    struct slice key;
    struct slice arg;
    struct slice result;
    if (!parse_number(fields[0], &invoked) || !parse_outcome(fields[2], &outcome) ||
        !parse_number(fields[3], &client) || !parse_text(fields[4], &key) || key.data == NULL ||
        !parse_kind(fields[5], &kind) || !parse_text(fields[6], &arg) ||
        !parse_text(fields[7], &result)) {
        return false;
    }
    if (outcome != HISTORY_UNKNOWN && (!parse_number(fields[1], &returned) || returned < invoked)) {
        return false;
    }
    size_t op = history_invoke(history, invoked, (uint32_t)client, kind, key, arg);
    history_return(history, op, returned, outcome, result);
    return true;
}

static bool parse_line(struct history *history, char *line)
{
    char *fields[FIELD_COUNT + 1];
    size_t count = 0;
    char *rest = NULL;
    for (char *field = strtok_r(line, " \t\r\n", &rest); field != NULL && count <= FIELD_COUNT;
         field = strtok_r(NULL, " \t\r\n", &rest)) {
        fields[count++] = field;
    }
    if (count == 0 || fields[0][0] == '#') {
        return true;
    }
    return count == FIELD_COUNT && parse_fields(history, fields);
}

bool history_read(struct history *history, FILE *from, size_t *bad_line)
{
    char *line = NULL;
    size_t size = 0;
    size_t number = 0;
    bool good = true;
    while (good && getline(&line, &size, from) >= 0) {
        number++;
        good = parse_line(history, line);
    }
    free(line);
    if (!good) {
        *bad_line = number;
    }
    return good;
}
