#ifndef CLIENT_ADMIN_VERB_H
#define CLIENT_ADMIN_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* The table of verb.def: finding, parsing, help. Thread: one. */

/* Exit codes; scripts rely on them. */
enum verb_exit {
    VERB_DONE = 0,
    VERB_FAILED = 1,
    VERB_USAGE = 2,
    VERB_CANNOT_CONNECT = 3,
    VERB_NOT_ALLOWED = 4, /* Authentication. */
    VERB_UNSAFE = 5,      /* Refused because data could be lost. */
    VERB_TIMED_OUT = 6,   /* It is still running, or may be. */
    VERB_PARTLY = 7,
};

enum {
    VERB_OPTIONS_MAX = 64,
    VERB_TEXT_SIZE_MAX = 256 * 1024,
};

/* A command line taken apart. Borrows from argv. */
struct verb_call {
    const struct verb *verb;
    const char *noun;                     /* Of `help`: whose verbs are wanted. */
    const char *values[VERB_OPTIONS_MAX]; /* By row of the table; NULL: not given. */
    const char *const *operands;
    size_t operand_count;
};

struct verb {
    const char *name;
    const char *operands;
    const char *summary;
    const char *text;
    const char *examples;
    enum verb_exit (*run)(const struct verb_call *call);
};

/* Fills in *call. BAD_ARGUMENT: one line for the user is in error (of VERB_LINE_SIZE bytes). */
enum { VERB_LINE_SIZE = 256 };
MUST_USE enum status verb_parse(const char *const *argv,
                                size_t argc,
                                struct verb_call *call,
                                char *error);

/* NULL if there is none of that name; "node drain" is a name. */
const struct verb *verb_find(const char *name);
const struct verb *verb_find_of(const char *noun, const char *name);
bool verb_is_noun(const char *name);
/* NULL behind the last. */
const struct verb *verb_at(size_t index);

/* The option as given, else its default, which may be NULL. For a switch: "" if given. */
const char *verb_option(const struct verb_call *call, const char *name);
/* True if it was given on the command line. */
bool verb_given(const struct verb_call *call, const char *name);
/* The option as a number. BAD_ARGUMENT prints why on standard error. The option has a value. */
MUST_USE enum status verb_number(
    const struct verb_call *call, const char *name, long min, long max, long *number);

void verb_write_help(struct buf *out);
void verb_write_help_noun(const char *noun, struct buf *out);
void verb_write_help_of(const struct verb *verb, struct buf *out);
void verb_write_markdown(struct buf *out);
/* For `man`. */
void verb_write_man(struct buf *out);

#define VERB(name, ...) enum verb_exit verb_run_##name(const struct verb_call *call);
#define NOUN_VERB(noun, name, ...) \
    enum verb_exit verb_run_##noun##_##name(const struct verb_call *call);
#define OPTION(...)
#include "client/admin/verb.def"
#undef VERB
#undef NOUN_VERB
#undef OPTION

#endif
