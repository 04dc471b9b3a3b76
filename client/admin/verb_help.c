/* `help`, `help VERB` and `version`. */

#include "client/admin/verb.h"
#include "common/base/version.h"

/* Of `help VERB`, `help NOUN` and `help NOUN VERB`. False: there is no such thing. */
static bool write_about(const struct verb_call *call, struct buf *out)
{
    const char *first = call->operands[0];
    const struct verb *about =
        call->operand_count == 2 ? verb_find_of(first, call->operands[1]) : verb_find(first);
    bool noun = call->operand_count == 1 && about == NULL && verb_is_noun(first);
    if (noun) {
        verb_write_help_noun(first, out);
    } else if (about != NULL) {
        verb_write_help_of(about, out);
    }
    return noun || about != NULL;
}

enum verb_exit verb_run_help(const struct verb_call *call)
{
    struct buf out;
    buf_init(&out, VERB_TEXT_SIZE_MAX);
    if (call->operand_count > 0 && !write_about(call, &out)) {
        fprintf(stderr, "sherd-admin: there is no verb '%.64s%s%.64s'; see sherd-admin help\n",
                call->operands[0], call->operand_count == 2 ? " " : "",
                call->operand_count == 2 ? call->operands[1] : "");
        buf_deinit(&out);
        return VERB_USAGE;
    }
    if (call->operand_count == 0 && verb_given(call, "markdown")) {
        verb_write_markdown(&out);
    } else if (call->operand_count == 0 && verb_given(call, "man")) {
        verb_write_man(&out);
    } else if (call->operand_count == 0) {
        verb_write_help(&out);
    }
    fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
    return VERB_DONE;
}

enum verb_exit verb_run_version(const struct verb_call *call)
{
    (void)call;
    printf("sherd %s\n", SHERD_VERSION);
    return VERB_DONE;
}
