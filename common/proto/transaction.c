#include "common/proto/transaction.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"

enum {
    FORMAT = 1,
    GROWS = 1 << 0,
    HEAD = 2,       /* Arguments before the keys. */
    DATABASES = 16, /* Of every shard. */
    WATCH_SIZE_MIN = 13,
    ITEM_SIZE = 5,
};

bool transaction_is_local(const struct command *command)
{
    return command->id == CMD_script_load || command->id == CMD_script_flush ||
           command->id == CMD_script_exists;
}

/* Reading. */

static bool take_watch(struct reader *in, struct transaction_watch *watch)
{
    watch->db = reader_u8(in);
    watch->version = reader_u64(in);
    watch->key = reader_bytes(in, UINT32_MAX);
    return !in->failed && watch->db < DATABASES;
}

static bool take_item(struct transaction *transaction, struct transaction_item *item)
{
    item->db = reader_u8(&transaction->items);
    size_t argc = reader_u32(&transaction->items);
    if (transaction->items.failed || item->db >= DATABASES || argc == 0 ||
        argc > transaction->argc) {
        return false;
    }
    item->args = (struct args){.argv = transaction->argv, .argc = argc};
    item->command = command_find(item->args.argv[0]);
    transaction->argv += argc;
    transaction->argc -= argc;
    return item->command != NULL && (item->command->flags & (CMD_READ | CMD_WRITE)) != 0 &&
           ((item->command->flags & CMD_INTERNAL) == 0 || transaction_is_local(item->command)) &&
           command_check(item->command, argc) == STATUS_OK;
}

/* Where the frame stands; 0: nowhere. */
static size_t frame_at(struct args args)
{
    int64_t keys = 0;
    if (args.argc <= HEAD || !number_parse_i64(args.argv[1], &keys) || keys < 0 ||
        (uint64_t)keys >= args.argc - HEAD) {
        return 0;
    }
    return HEAD + (size_t)keys;
}

/* All of it, so that nobody who takes it apart has to look for faults. */
static bool is_whole(struct transaction transaction, bool *trial)
{
    struct transaction_item item;
    *trial = false;
    for (size_t i = 0; i < transaction.item_count; i++) {
        if (!take_item(&transaction, &item)) {
            return false;
        }
        *trial = *trial || (item.command->flags & CMD_TRIAL) != 0;
    }
    return reader_done(&transaction.items) && transaction.argc == 0;
}

enum status transaction_open(struct args args, struct transaction *transaction)
{
    size_t at = frame_at(args);
    if (at == 0) {
        return STATUS_BAD_ARGUMENT;
    }
    struct reader in = reader_of(args.argv[at]);
    uint8_t format = reader_u8(&in);
    uint8_t flags = reader_u8(&in);
    *transaction = (struct transaction){.grows = (flags & GROWS) != 0,
                                        .key_count = at - HEAD,
                                        .keys = args.argv + HEAD,
                                        .argv = args.argv + at + 1,
                                        .argc = args.argc - at - 1};
    transaction->watch_count = reader_u32(&in);
    if (in.failed || format != FORMAT || transaction->watch_count > in.rest.len / WATCH_SIZE_MIN) {
        return STATUS_BAD_ARGUMENT;
    }
    transaction->watches = in;
    struct transaction_watch watch;
    for (size_t i = 0; i < transaction->watch_count; i++) {
        if (!take_watch(&in, &watch)) {
            return STATUS_BAD_ARGUMENT;
        }
    }
    transaction->item_count = reader_u32(&in);
    transaction->items = in;
    bool fits = !in.failed && transaction->item_count == in.rest.len / ITEM_SIZE;
    return fits && is_whole(*transaction, &transaction->trial) ? STATUS_OK : STATUS_BAD_ARGUMENT;
}

bool transaction_next_watch(struct transaction *transaction, struct transaction_watch *watch)
{
    if (transaction->watch_count == 0) {
        return false;
    }
    transaction->watch_count--;
    bool good = take_watch(&transaction->watches, watch);
    assert(good);
    return true;
}

bool transaction_next_item(struct transaction *transaction, struct transaction_item *item)
{
    if (transaction->item_count == 0) {
        return false;
    }
    transaction->item_count--;
    bool good = take_item(transaction, item);
    assert(good);
    return true;
}

/* Making. */

struct parts {
    const struct transaction_item *items;
    size_t item_count;
    const struct transaction_watch *watches;
    size_t watch_count;
};

static size_t count_keys(const struct transaction_item *item)
{
    size_t count = 0;
    while (command_key_at(item->command, item->args, count) != 0) {
        count++;
    }
    return count;
}

/* All that it touches are named keys of one database. Counts them, and the arguments. */
static bool is_plain(const struct parts *parts, uint8_t db, size_t *keys)
{
    bool plain = true;
    *keys = parts->watch_count;
    for (size_t i = 0; i < parts->watch_count; i++) {
        plain = plain && parts->watches[i].db == db;
    }
    for (size_t i = 0; plain && i < parts->item_count; i++) {
        const struct transaction_item *item = &parts->items[i];
        size_t count = count_keys(item);
        plain = count > 0 && item->db == db && (item->command->flags & CMD_ANY_KEY) == 0 &&
                command_target_db(item->command, item->args, db) == db;
        *keys += count;
    }
    return plain;
}

static void write_frame(const struct parts *parts, struct buf *out)
{
    uint8_t flags = 0;
    for (size_t i = 0; i < parts->item_count; i++) {
        flags |= (parts->items[i].command->flags & CMD_GROWS) != 0 ? GROWS : 0;
    }
    buf_append_u8(out, FORMAT);
    buf_append_u8(out, flags);
    buf_append_u32(out, (uint32_t)parts->watch_count);
    for (size_t i = 0; i < parts->watch_count; i++) {
        buf_append_u8(out, parts->watches[i].db);
        buf_append_u64(out, parts->watches[i].version);
        buf_append_bytes(out, parts->watches[i].key);
    }
    buf_append_u32(out, (uint32_t)parts->item_count);
    for (size_t i = 0; i < parts->item_count; i++) {
        buf_append_u8(out, parts->items[i].db);
        buf_append_u32(out, (uint32_t)parts->items[i].args.argc);
    }
}

static size_t append_keys(const struct parts *parts, struct slice *argv)
{
    size_t at = 0;
    for (size_t i = 0; i < parts->watch_count; i++) {
        argv[at++] = parts->watches[i].key;
    }
    for (size_t i = 0; i < parts->item_count; i++) {
        const struct transaction_item *item = &parts->items[i];
        for (size_t nth = 0, index = 0;
             (index = command_key_at(item->command, item->args, nth)) != 0; nth++) {
            argv[at++] = item->args.argv[index];
        }
    }
    return at;
}

void transaction_form_init(struct transaction_form *form,
                           const struct transaction_item *items,
                           size_t item_count,
                           const struct transaction_watch *watches,
                           size_t watch_count)
{
    assert(item_count + watch_count > 0);
    const struct parts parts = {items, item_count, watches, watch_count};
    *form = (struct transaction_form){.db = item_count > 0 ? items[0].db : watches[0].db};
    size_t keys = 0;
    size_t argc = 0;
    bool plain = is_plain(&parts, form->db, &keys);
    for (size_t i = 0; i < item_count; i++) {
        argc += items[i].args.argc;
    }
    form->argv = calloc(HEAD + keys + 1 + argc, sizeof(*form->argv));
    assert(form->argv != NULL);
    buf_init(&form->frame, UINT32_MAX);
    write_frame(&parts, &form->frame);
    size_t at = HEAD;
    at += plain ? append_keys(&parts, form->argv + HEAD) : 0;
    int len = snprintf(form->count, sizeof(form->count), "%zu", at - HEAD);
    form->argv[0] = slice_str(command_at(CMD_batch)->name);
    form->argv[1] = slice_of(form->count, (size_t)len);
    form->argv[at++] = buf_slice(&form->frame);
    for (size_t i = 0; i < item_count; i++) {
        memcpy(form->argv + at, items[i].args.argv, items[i].args.argc * sizeof(*form->argv));
        at += items[i].args.argc;
    }
    form->args = (struct args){.argv = form->argv, .argc = at};
}

void transaction_form_deinit(struct transaction_form *form)
{
    buf_deinit(&form->frame);
    free(form->argv);
    *form = (struct transaction_form){0};
}
