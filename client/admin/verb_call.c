/* `call COMMAND [ARG...]`: any command, printed as redis-cli does. */

#include "client/admin/ask.h"
#include "client/admin/print.h"

enum verb_exit verb_run_call(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_command(call, call->operands, call->operand_count, true, &reply);
    if (code != VERB_DONE) {
        return code;
    }
    if (verb_given(call, "json")) {
        print_json(reply, stdout);
        putchar('\n');
    } else {
        print_text(reply, stdout);
    }
    if (reply->type == SHERD_ERROR) {
        code = ask_exit_of(reply);
    }
    sherd_reply_free(reply);
    return code;
}
