/* `help`, `help VERB` and `version`. */

#include "client/admin/verb.h"
#include "common/base/version.h"

enum verb_exit verb_run_help(const struct verb_call *call)
{
    struct buf out;
    buf_init(&out, VERB_TEXT_SIZE_MAX);
    const struct verb *about = NULL;
    if (call->operand_count == 1) {
        about = verb_find(call->operands[0]);
        if (about == NULL) {
            fprintf(stderr, "sherd-admin: there is no verb '%.64s'; see sherd-admin help\n",
                    call->operands[0]);
            buf_deinit(&out);
            return VERB_USAGE;
        }
    }
    if (verb_given(call, "markdown")) {
        verb_write_markdown(&out);
    } else if (about != NULL) {
        verb_write_help_of(about, &out);
    } else {
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
