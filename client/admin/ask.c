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
    return VERB_FAILED;
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
        print_json(*reply, stdout);
        putchar('\n');
    }
    return code;
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
