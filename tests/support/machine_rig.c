#include "tests/support/machine_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"

enum { REPLY_SIZE_MAX = 1 << 30, COMMAND_SIZE_MAX = 60000 };

void machine_rig_open(struct machine_rig *rig, unsigned commit_every)
{
    *rig = (struct machine_rig){0};
    folder_make(rig->folder, "machine-rig");
    player_open(&rig->player, rig->folder, commit_every);
    resp_parser_init(&rig->parser, REPLY_SIZE_MAX);
    buf_init(&rig->reply, REPLY_SIZE_MAX);
    rig->call = (struct call){.txn = rig->player.txn,
                              .state = &rig->player.state,
                              .seen = &rig->player.state,
                              .scope = {.shard = 7, .last = UINT64_MAX},
                              .now_ms = 1,
                              .reply = &rig->reply};
}

void machine_rig_close(struct machine_rig *rig)
{
    player_close(&rig->player);
    resp_parser_deinit(&rig->parser);
    buf_deinit(&rig->reply);
    folder_remove(rig->folder);
}

struct slice machine_rig_do(struct machine_rig *rig, const char *format, ...)
{
    char *text = malloc(COMMAND_SIZE_MAX);
    assert(text != NULL);
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, COMMAND_SIZE_MAX - 1, format, list);
    va_end(list);
    assert(len > 0 && len < COMMAND_SIZE_MAX - 1);
    text[len++] = '\n';
    struct args args;
    size_t used = 0;
    enum status status = resp_parse(&rig->parser, slice_of(text, (size_t)len), &args, &used);
    assert(status == STATUS_OK && args.argc > 0);
    buf_clear(&rig->reply);
    player_run(&rig->player, args, &rig->reply);
    free(text);
    return buf_slice(&rig->reply);
}

int64_t machine_rig_count(struct machine_rig *rig, const char *command)
{
    struct resp_value value;
    enum status status = resp_value_read(machine_rig_do(rig, "%s", command), &value);
    assert(status == STATUS_OK && value.type == ':');
    return value.number;
}

size_t machine_rig_rows(struct machine_rig *rig, enum store_family family, struct slice prefix)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 1 << 20);
    buf_init(&to, 1 << 20);
    machine_range(rig->call.scope, family, &from, &to);
    if (prefix.len > 0) {
        buf_clear(&from);
        buf_append_slice(&from, prefix);
    }
    struct store_iter *iter = iter_open(rig->player.txn, family, buf_slice(&from), buf_slice(&to));
    size_t count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        struct slice key = iter_key(iter);
        if (prefix.len > 0 &&
            (key.len < prefix.len || memcmp(key.data, prefix.data, prefix.len) != 0)) {
            break;
        }
        count++;
    }
    enum status status = iter_status(iter);
    assert(status == STATUS_OK);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

size_t machine_rig_sweep(struct machine_rig *rig)
{
    size_t entries = 0;
    while (rig->player.state.garbage > 0) {
        enum status status = machine_advance(rig->player.txn, &rig->player.state, rig->call.scope,
                                             rig->player.now_ms, NULL);
        assert(status == STATUS_OK);
        entries++;
    }
    return entries;
}
