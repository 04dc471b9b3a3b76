/* `rebalance`: a plan, and its doing. */

#include "client/admin/change.h"

/* The plan is shown, and its hash kept. */
static enum verb_exit show(const struct verb_call *call, char *hash, size_t size)
{
    struct sherd_reply *plan = NULL;
    const char *words[] = {"SHERD", "REBALANCE", "PLAN"};
    enum verb_exit code = ask_command(call, words, 3, false, &plan);
    if (code != VERB_DONE) {
        return code;
    }
    ask_field(plan, "hash", hash, size);
    const struct sherd_reply *steps = sherd_reply_field(plan, "steps");
    if (steps == NULL || steps->count == 0) {
        hash[0] = '\0';
    }
    if (!verb_given(call, "json")) {
        change_print_plan(plan);
    } else if (verb_given(call, "dry-run")) {
        ask_print(plan);
    }
    sherd_reply_free(plan);
    return VERB_DONE;
}

enum verb_exit verb_run_rebalance(const struct verb_call *call)
{
    char hash[ASK_TEXT_SIZE] = "";
    struct change change = {.call = call, .count = 4};
    const char *apply = verb_option(call, "apply");
    if (apply == NULL || verb_given(call, "dry-run")) {
        enum verb_exit code = show(call, hash, sizeof hash);
        if (code != VERB_DONE || verb_given(call, "dry-run") || hash[0] == '\0') {
            return code;
        }
        change.question = "These steps are done.";
    }
    const char *words[] = {"SHERD", "REBALANCE", "APPLY", apply == NULL ? hash : apply};
    memcpy(change.words, words, sizeof words);
    return change_run(&change);
}
