#ifndef CLIENT_ADMIN_CHANGE_H
#define CLIENT_ADMIN_CHANGE_H

#include "client/admin/ask.h"

/* Verbs that change the cluster: shown first, asked about, begun, watched. Thread: one. */

enum { CHANGE_WORDS_MAX = 8 };

struct change {
    const struct verb_call *call;
    const char *words[CHANGE_WORDS_MAX]; /* The command, "SHERD" first. */
    size_t count;
    /* It moves or ends something: without --yes the user is asked, and where nobody can be asked it
     * is not begun. NULL: not asked. */
    const char *question;
};

/* Sends the command; --dry-run prints the plan instead. Of an answer that names a job, waits for
 * its end unless --detach is given. */
enum verb_exit change_run(const struct change *change);
/* Sends it and prints "done", or the reply as JSON. */
enum verb_exit change_send(const struct change *change);
/* {hash, steps, moves, bytes} for people. */
void change_print_plan(const struct sherd_reply *plan);
/* VERB_DONE: go on. */
enum verb_exit change_confirm(const struct verb_call *call, const char *question);

/* Shows the progress of a job until it ends, Ctrl-C comes or --wait-max is over. */
enum verb_exit change_watch(const struct verb_call *call, int64_t job);

/* The operand as a whole number. VERB_USAGE: told. */
enum verb_exit change_number(const struct verb_call *call, size_t operand, const char *what);

/* "12.3 MB". Returns text. */
const char *change_bytes(int64_t bytes, char *text, size_t size);
/* "3 min 20 s". Returns text. */
const char *change_span(int64_t ms, char *text, size_t size);

#endif
