#include "client/admin/ask.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/admin/print.h"
#include "common/base/assert.h"

static enum verb_exit exit_of_fault(enum sherd_fault fault)
{
    switch (fault) {
    case SHERD_BAD_ADDRESS: return VERB_USAGE;
    case SHERD_CANNOT_CONNECT:
    case SHERD_DISCONNECTED: return VERB_CANNOT_CONNECT;
    case SHERD_TIMEOUT: return VERB_TIMED_OUT;
    case SHERD_FINE:
    case SHERD_PROTOCOL: break;
    }
    return VERB_FAILED;
}

enum verb_exit ask_exit_of(const struct sherd_reply *error)
{
    assert(error->type == SHERD_ERROR);
    static const char *const refusals[] = {"NOAUTH", "WRONGPASS", "NOPERM"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strncmp(error->text, refusals[i], strlen(refusals[i])) == 0) {
            return VERB_NOT_ALLOWED;
        }
    }
    if (strncmp(error->text, "UNSAFE", 6) == 0) {
        return VERB_UNSAFE;
    }
    return strncmp(error->text, "UNKNOWN", 7) == 0 ? VERB_TIMED_OUT : VERB_FAILED;
}

static const char *address_of(const struct verb_call *call)
{
    const char *environment = getenv("SHERD_CONNECT");
    if (!verb_given(call, "connect") && environment != NULL && environment[0] != '\0') {
        return environment;
    }
    return verb_option(call, "connect");
}

static enum verb_exit tell_fault(const struct sherd *sherd)
{
    fprintf(stderr, "sherd-admin: %s%s\n", sherd_error(sherd),
            sherd_fault(sherd) == SHERD_CANNOT_CONNECT
                ? "; is it running? Choose another with --connect HOST:PORT"
                : "");
    return exit_of_fault(sherd_fault(sherd));
}

enum verb_exit ask_command(const struct verb_call *call,
                           const char *const *argv,
                           size_t argc,
                           bool errors_too,
                           struct sherd_reply **reply)
{
    long timeout_ms = 0;
    if (verb_number(call, "timeout", 1, 3600 * 1000, &timeout_ms) != STATUS_OK) {
        return VERB_USAGE;
    }
    struct sherd *sherd = sherd_open(address_of(call), (int)timeout_ms);
    /* An old server refuses HELLO with an error and answers in RESP2, which is read as well. */
    sherd_reply_free(sherd_commandv(sherd, "HELLO", "3", NULL));
    struct sherd_reply *answer = sherd_command(sherd, argv, NULL, argc);
    enum verb_exit code = VERB_DONE;
    if (answer == NULL) {
        code = tell_fault(sherd);
    } else if (answer->type == SHERD_ERROR && !errors_too) {
        fprintf(stderr, "sherd-admin: %s answers: %s\n", address_of(call), answer->text);
        code = ask_exit_of(answer);
        sherd_reply_free(answer);
        answer = NULL;
    }
    sherd_close(sherd);
    *reply = answer;
    return code;
}

enum verb_exit ask_sherd(const struct verb_call *call,
                         const char *what,
                         const char *operand,
                         struct sherd_reply **reply)
{
    const char *argv[] = {"SHERD", what, operand};
    *reply = NULL;
    enum verb_exit code = ask_command(call, argv, operand == NULL ? 2 : 3, false, reply);
    if (code == VERB_DONE && verb_given(call, "json")) {
        ask_print(*reply);
    }
    return code;
}

void ask_print(const struct sherd_reply *reply)
{
    print_json(reply, stdout);
    putchar('\n');
}

enum verb_exit ask_shown(const struct verb_call *call,
                         const char *const *argv,
                         size_t argc,
                         struct sherd_reply **reply)
{
    *reply = NULL;
    enum verb_exit code = ask_command(call, argv, argc, false, reply);
    if (code == VERB_DONE && verb_given(call, "json")) {
        ask_print(*reply);
        sherd_reply_free(*reply);
        *reply = NULL;
    }
    return code;
}

/* The calendar from the days since 1970: Hinnant, chrono-compatible low-level date algorithms. */
const char *ask_time(int64_t wall_ms, char *text, size_t size)
{
    enum { DAY_S = 86400, ERA_DAYS = 146097, ERA_YEARS = 400, EPOCH_DAYS = 719468 };
    int64_t seconds = wall_ms / 1000;
    int64_t days = seconds / DAY_S + EPOCH_DAYS;
    int64_t era = days / ERA_DAYS;
    int64_t of_era = days % ERA_DAYS;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * of_year + 2) / 153; /* March is 0. */
    int64_t day = of_year - (153 * shifted + 2) / 5 + 1;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    int64_t year = year_of_era + era * ERA_YEARS + (month <= 2);
    snprintf(text, size, "%04d-%02d-%02d %02d:%02d:%02d", (int)year, (int)month, (int)day,
             (int)(seconds % DAY_S / 3600), (int)(seconds % 3600 / 60), (int)(seconds % 60));
    return text;
}

const char *ask_text(const struct sherd_reply *value, char *text, size_t size)
{
    assert(size > 1);
    if (value == NULL || value->type == SHERD_NULL) {
        snprintf(text, size, "-");
    } else if (value->type == SHERD_INTEGER) {
        snprintf(text, size, "%" PRId64, value->integer);
    } else if (value->type == SHERD_BOOLEAN) {
        snprintf(text, size, "%s", value->integer != 0 ? "yes" : "no");
    } else if (value->text != NULL) {
        snprintf(text, size, "%s", value->text[0] == '\0' ? "-" : value->text);
    } else {
        size_t at = 0;
        text[0] = '\0';
        for (size_t i = 0; i < value->count && at + 2 < size; i++) {
            const char *word = value->elements[i].text;
            int n = snprintf(text + at, size - at, "%s%s", i == 0 ? "" : " ",
                             word == NULL ? "?" : word);
            at += n < 0 ? 0 : (size_t)n;
        }
    }
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = '?';
        }
    }
    return text;
}

const char *ask_field(const struct sherd_reply *map, const char *name, char *text, size_t size)
{
    return ask_text(sherd_reply_field(map, name), text, size);
}

int64_t ask_number(const struct sherd_reply *map, const char *name)
{
    const struct sherd_reply *value = sherd_reply_field(map, name);
    if (value == NULL) {
        return 0;
    }
    if (value->type == SHERD_INTEGER || value->type == SHERD_BOOLEAN) {
        return value->integer;
    }
    return value->text == NULL ? 0 : strtoll(value->text, NULL, 10);
}
