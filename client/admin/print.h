#ifndef CLIENT_ADMIN_PRINT_H
#define CLIENT_ADMIN_PRINT_H

#include <stdio.h>

#include "client/sherd.h"

/* Replies as text. Neither writes to out in a way that can fail half: out is a FILE whose owner
 * checks it in the end. Thread: one. */

/* One line of JSON without its end. Strings that are not UTF-8 have their bad bytes as U+FFFD; an
 * error is {"error": text}; keys of maps become strings. */
void print_json(const struct sherd_reply *reply, FILE *out);

/* As redis-cli does on a terminal, with its line end. */
void print_text(const struct sherd_reply *reply, FILE *out);

#endif
