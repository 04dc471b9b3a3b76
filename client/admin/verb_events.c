/* `events`: the journal. */

#include <inttypes.h>

#include "client/admin/ask.h"

static void print_event(const struct sherd_reply *event)
{
    char when[32];
    char what[ASK_TEXT_SIZE];
    char why[ASK_TEXT_SIZE];
    char effect[ASK_TEXT_SIZE];
    ask_time(ask_number(event, "time_ms"), when, sizeof when);
    ask_field(event, "what", what, sizeof what);
    ask_field(event, "why", why, sizeof why);
    ask_field(event, "effect", effect, sizeof effect);
    printf("%s  %s", when, what);
    if (ask_number(event, "job") != 0) {
        printf(" (job %" PRId64 ")", ask_number(event, "job"));
    }
    printf("%s%s\n", strcmp(effect, "-") == 0 ? "" : ": ", strcmp(effect, "-") == 0 ? "" : effect);
    if (strcmp(why, "-") != 0) {
        printf("%21s%s\n", "", why);
    }
}

enum verb_exit verb_run_events(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    char number[24];
    long count = 0;
    if (verb_number(call, "count", 1, 1000, &count) != STATUS_OK) {
        return VERB_USAGE;
    }
    snprintf(number, sizeof number, "%ld", count);
    const char *words[] = {"SHERD", "EVENTS", number};
    enum verb_exit code = ask_shown(call, words, 3, &reply);
    for (size_t i = 0; reply != NULL && i < reply->count; i++) {
        print_event(&reply->elements[i]);
    }
    sherd_reply_free(reply);
    return code;
}
