/* sherd-admin: looks at a cluster, starts a local one, sends commands. What it can do is in
 * verb.def. */

#include <stdio.h>

#include "client/admin/verb.h"

int main(int argc, char **argv)
{
    struct verb_call call;
    char error[VERB_LINE_SIZE];
    const char *const *words = (const char *const *)argv + 1;
    if (verb_parse(words, argc < 1 ? 0 : (size_t)argc - 1, &call, error) != STATUS_OK) {
        fprintf(stderr, "sherd-admin: %s\n", error);
        return VERB_USAGE;
    }
    enum verb_exit code = call.verb->run(&call);
    if (fflush(stdout) != 0 && code == VERB_DONE) {
        code = VERB_FAILED;
    }
    return code;
}
