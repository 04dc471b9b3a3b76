#ifndef CLIENT_ADMIN_ASK_H
#define CLIENT_ADMIN_ASK_H

#include "client/admin/verb.h"
#include "client/sherd.h"

/* Questions to the router or node at --connect, with the faults told to the user. Thread: one. */

/* Connects, says HELLO 3, sends one command. VERB_DONE: the caller frees *reply, which may be an
 * error reply only if errors_too. Anything else: a line was printed on standard error. */
enum verb_exit ask_command(const struct verb_call *call,
                           const char *const *argv,
                           size_t argc,
                           bool errors_too,
                           struct sherd_reply **reply);

/* Asks `SHERD what [operand]` and prints the reply as JSON if that was wanted. *reply is NULL if
 * there is nothing left to print. */
enum verb_exit ask_sherd(const struct verb_call *call,
                         const char *what,
                         const char *operand,
                         struct sherd_reply **reply);

/* Sends one command; with --json prints the reply and leaves none. */
enum verb_exit ask_shown(const struct verb_call *call,
                         const char *const *argv,
                         size_t argc,
                         struct sherd_reply **reply);
/* A line of JSON on standard output. */
void ask_print(const struct sherd_reply *reply);
/* "2026-11-20 17:31:49", of milliseconds since 1970, in UTC. Returns text. */
const char *ask_time(int64_t wall_ms, char *text, size_t size);

/* The exit code that an error reply stands for. */
enum verb_exit ask_exit_of(const struct sherd_reply *error);

/* A field of a map as text: "-" if it is absent or null. size bytes at text, cut if longer; returns
 * text. */
enum { ASK_TEXT_SIZE = 256 };
const char *ask_field(const struct sherd_reply *map, const char *name, char *text, size_t size);
const char *ask_text(const struct sherd_reply *value, char *text, size_t size);
/* 0 if it is absent or no number. */
int64_t ask_number(const struct sherd_reply *map, const char *name);

#endif
