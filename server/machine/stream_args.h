#ifndef SERVER_MACHINE_STREAM_ARGS_H
#define SERVER_MACHINE_STREAM_ARGS_H

#include "server/machine/planned.h"
#include "server/machine/stream_id.h"
#include "server/machine/stream_trim.h"

/* Arguments of stream commands: what clients write, what the log holds, and errors that name them.
 * Semantics and texts: Redis 7.0 t_stream.c. Pure. */

/* XADD and XTRIM. */
struct stream_args_add {
    struct stream_trim trim;
    bool trims;
    bool no_stream; /* NOMKSTREAM */
    bool id_given;  /* Not "*". */
    bool seq_given; /* Not "ms-*". */
    struct stream_id id;
    size_t fields; /* Index of the first field; more than argc if there is no id. */
};
/* NULL or an error. */
const char *stream_args_parse_add(struct args args, bool is_add, struct stream_args_add *add);

/* XREAD and XREADGROUP. */
struct stream_args_read {
    uint64_t count;   /* 0: no bound. */
    int64_t block_ms; /* -1: do not wait; 0: without end. */
    bool no_ack;
    bool group_given;
    struct slice group;
    struct slice consumer;
    size_t first; /* Index of the first key; as many ids follow. */
    size_t keys;
};
/* NULL or an error. */
const char *stream_args_parse_read(struct args args, bool is_group, struct stream_args_read *read);
/* An XREAD or XREADGROUP that names BLOCK where no error stands before it. */
bool stream_args_may_block(const struct command *command, struct args args);

/* An id as an argument of a planned command. */
void stream_args_put_id(struct plan *plan, struct stream_id id);
/* False: it is none. */
bool stream_args_take_id(struct slice arg, struct stream_id *id);

/* An error made of pieces; those that clients sent are shown up to their first NUL. */
void stream_args_refuse(struct buf *reply, const struct slice *pieces, size_t count);
/* NOGROUP for a key or a group that is not there; behind both stands the end of the text. */
void stream_args_refuse_group(struct buf *reply,
                              struct slice key,
                              struct slice group,
                              const char *end);
/* The sub-commands of a container, such as XGROUP. */
struct stream_args_sub {
    const char *name;
    int arity; /* As in the table of commands. */
};
/* The index of the one that is meant; count, with the error in *reply, if it is none or has the
 * wrong number of arguments. */
size_t stream_args_find_sub(struct args args,
                            const struct stream_args_sub *subs,
                            size_t count,
                            struct buf *reply);
/* What is left to say when its arguments are wrong. */
void stream_args_refuse_sub(struct buf *reply, const char *container, struct slice sub);
/* The reply to HELP; the last line is NULL. */
void stream_args_reply_help(struct buf *reply, const char *container, const char *const *lines);

#endif
