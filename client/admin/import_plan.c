#include "client/admin/import_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/slice.h"

static const char scheme[] = "redis://";

static bool copy_word(struct slice word, char out[IMPORT_WORD_SIZE])
{
    if (word.len >= IMPORT_WORD_SIZE) {
        return false;
    }
    memcpy(out, word.data, word.len);
    out[word.len] = '\0';
    return true;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %40 and the like, in place. */
static void unescape(char *word)
{
    char *to = word;
    for (const char *at = word; *at != '\0'; at++) {
        if (at[0] == '%' && digit(at[1]) >= 0 && digit(at[2]) >= 0) {
            *to++ = (char)(digit(at[1]) * 16 + digit(at[2]));
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
}

/* A number below bound at the front of *text; -1: there is none. */
static int take_number(const char **text, int bound)
{
    char *end = NULL;
    if (digit(**text) < 0 || digit(**text) > 9) {
        return -1;
    }
    errno = 0;
    long number = strtol(*text, &end, 10);
    *text = end;
    return errno == 0 && number < bound ? (int)number : -1;
}

static bool parse_user(struct slice text, struct import_plan *plan)
{
    const uint8_t *colon = memchr(text.data, ':', text.len);
    size_t user = colon == NULL ? 0 : (size_t)(colon - text.data);
    size_t skip = colon == NULL ? 0 : user + 1;
    bool fits = copy_word(slice_of(text.data, user), plan->user) &&
                copy_word(slice_of(text.data + skip, text.len - skip), plan->password);
    if (fits) {
        unescape(plan->user);
        unescape(plan->password);
    }
    return fits;
}

static bool parse_server(const char *text, struct import_plan *plan)
{
    const char *at = strrchr(text, '@');
    if (at != NULL) {
        if (!parse_user(slice_of(text, (size_t)(at - text)), plan)) {
            return false;
        }
        text = at + 1;
    }
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    bool port = memchr(text, ':', len) != NULL && text[len - 1] != ']';
    if (len == 0 || len + sizeof(":6379") > IMPORT_WORD_SIZE) {
        return false;
    }
    snprintf(plan->address, sizeof(plan->address), "%.*s%s", (int)len, text, port ? "" : ":6379");
    if (slash != NULL && slash[1] != '\0') {
        const char *number = slash + 1;
        plan->only = take_number(&number, IMPORT_SOURCE_DATABASES);
        return plan->only >= 0 && *number == '\0';
    }
    return true;
}

static bool parse_map(const char *map, struct import_plan *plan)
{
    for (size_t i = 0; i < IMPORT_SOURCE_DATABASES; i++) {
        plan->map[i] = map == NULL && i < IMPORT_DATABASES ? (int16_t)i : -1;
    }
    plan->mapped = map != NULL;
    while (map != NULL) {
        int from = take_number(&map, IMPORT_SOURCE_DATABASES);
        if (from < 0 || *map++ != ':') {
            return false;
        }
        int to = take_number(&map, IMPORT_DATABASES);
        if (to < 0 || (*map != ',' && *map != '\0')) {
            return false;
        }
        plan->map[from] = (int16_t)to;
        map = *map == ',' ? map + 1 : NULL;
    }
    return true;
}

enum status import_plan_parse(const char *from,
                              const char *map,
                              struct import_plan *plan,
                              char *error)
{
    *plan = (struct import_plan){.path = from, .only = -1};
    plan->from_server = strncmp(from, scheme, strlen(scheme)) == 0;
    if (plan->from_server && !parse_server(from + strlen(scheme), plan)) {
        snprintf(error, IMPORT_WORD_SIZE,
                 "--from is no redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]");
        return STATUS_BAD_ARGUMENT;
    }
    if (!parse_map(map, plan)) {
        snprintf(error, IMPORT_WORD_SIZE,
                 "--db-map is '%.64s'; write FROM:TO,FROM:TO, with TO from 0 to %d", map,
                 IMPORT_DATABASES - 1);
        return STATUS_BAD_ARGUMENT;
    }
    return STATUS_OK;
}

int import_plan_target(const struct import_plan *plan, uint64_t db)
{
    bool wanted = db < IMPORT_SOURCE_DATABASES && (plan->only < 0 || (uint64_t)plan->only == db);
    return wanted ? plan->map[db] : -1;
}
