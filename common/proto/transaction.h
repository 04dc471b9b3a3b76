#ifndef COMMON_PROTO_TRANSACTION_H
#define COMMON_PROTO_TRANSACTION_H

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/proto/command.h"

/* A transaction (MULTI ... EXEC) as the arguments of the internal command `batch`, as fronts,
 * routers and nodes pass it on:
 *
 *   batch | count of keys | keys | frame | the arguments of all commands, one after the other
 *
 *   frame   u8 format (1) | u8 flags | u32 watches | watches * (u8 db, u64 version, u32 length,
 * key) | u32 commands | commands * (u8 db, u32 arguments with the name)
 *
 * The keys are those of all commands and the watched ones, if all of them lie in the database that
 * the batch is sent for. If not, or if a command touches what it does not name, there are none, and
 * whoever looks at keys takes the batch for one that touches everything; the commands themselves
 * say where it belongs. Pure. Any thread. */

struct transaction_watch {
    uint8_t db;
    uint64_t version; /* 0: the key was not there. */
    struct slice key;
};

struct transaction_item {
    /* READ or WRITE; not internal but for what SCRIPT becomes. The number of arguments fits. */
    const struct command *command;
    uint8_t db;
    struct args args;
};

/* Being read. Borrows from the arguments. */
struct transaction {
    bool grows; /* A command needs room on the disk. */
    bool trial; /* A command runs on trial before the log: a script. */
    size_t watch_count;
    size_t item_count;
    size_t key_count; /* Of argv[2]... */
    const struct slice *keys;
    struct reader watches;
    struct reader items;
    const struct slice *argv; /* Of the items that were not taken yet. */
    size_t argc;
};

/* BAD_ARGUMENT unless it is a well-formed transaction. */
MUST_USE enum status transaction_open(struct args args, struct transaction *transaction);
/* False: there are no more. All watches can be taken before or after the items. */
bool transaction_next_watch(struct transaction *transaction, struct transaction_watch *watch);
bool transaction_next_item(struct transaction *transaction, struct transaction_item *item);

/* SCRIPT LOAD, FLUSH and EXISTS, under their internal names: about the shard that they run on,
 * whichever it is. */
bool transaction_is_local(const struct command *command);

/* Its arguments, made of the parts. Borrows what the parts borrow. */
struct transaction_form {
    struct args args;
    uint8_t db; /* That it is to be sent for. */
    struct slice *argv;
    struct buf frame;
    char count[12];
};

void transaction_form_init(struct transaction_form *form,
                           const struct transaction_item *items,
                           size_t item_count,
                           const struct transaction_watch *watches,
                           size_t watch_count);
void transaction_form_deinit(struct transaction_form *form);

#endif
