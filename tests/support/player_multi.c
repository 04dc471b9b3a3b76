#include "tests/support/player_multi.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "tests/support/player.h"

void player_multi_init(struct player_multi *multi)
{
    *multi = (struct player_multi){0};
    buf_init(&multi->items, SIZE_MAX / 2);
    buf_init(&multi->watches, SIZE_MAX / 2);
}

void player_multi_deinit(struct player_multi *multi)
{
    buf_deinit(&multi->items);
    buf_deinit(&multi->watches);
}

static void reset(struct player_multi *multi)
{
    player_multi_deinit(multi);
    player_multi_init(multi);
}

static void watch(struct player *player, struct args args, struct buf *reply)
{
    struct player_multi *multi = &player->multi;
    for (size_t i = 1; i < args.argc; i++) {
        struct slice argv[] = {slice_str("versions"), args.argv[i]};
        struct buf answer;
        buf_init(&answer, 1 << 10);
        player_execute(player, command_at(CMD_versions), (struct args){.argv = argv, .argc = 2},
                       &answer);
        assert(answer.len > 4 && memcmp(answer.data, "*1\r\n", 4) == 0);
        struct resp_value value;
        enum status status = resp_value_read(slice_of(answer.data + 4, answer.len - 4), &value);
        assert(status == STATUS_OK && value.type == ':');
        buf_append_u8(&multi->watches, player->db);
        buf_append_u64(&multi->watches, (uint64_t)value.number);
        buf_append_bytes(&multi->watches, args.argv[i]);
        multi->watch_count++;
        buf_deinit(&answer);
    }
    resp_write_ok(reply);
}

static void queue(struct player *player, struct args args, struct buf *reply)
{
    struct player_multi *multi = &player->multi;
    const struct command *command = command_find(args.argv[0]);
    if (command == NULL || (command->flags & (CMD_FRONT | CMD_INTERNAL)) != 0) {
        resp_write_error(reply, "ERR unknown command");
        multi->dirty = true;
    } else if (command_check(command, args.argc) != STATUS_OK) {
        resp_write_errorf(reply, "ERR wrong number of arguments for '%s' command", command->name);
        multi->dirty = true;
    } else {
        buf_append_u8(&multi->items, player->db);
        buf_append_u32(&multi->items, (uint32_t)args.argc);
        for (size_t i = 0; i < args.argc; i++) {
            buf_append_bytes(&multi->items, args.argv[i]);
        }
        multi->count++;
        resp_write_simple(reply, "QUEUED");
    }
}

static struct slice *read_item(struct reader *in, struct transaction_item *item)
{
    item->db = reader_u8(in);
    size_t argc = reader_u32(in);
    struct slice *argv = calloc(argc, sizeof(*argv));
    assert(argv != NULL);
    for (size_t i = 0; i < argc; i++) {
        argv[i] = reader_bytes(in, UINT32_MAX);
    }
    item->args = (struct args){.argv = argv, .argc = argc};
    item->command = command_find(argv[0]);
    return argv;
}

static void exec(struct player *player, struct buf *reply)
{
    struct player_multi *multi = &player->multi;
    struct transaction_item *items = calloc(multi->count + 1, sizeof(*items));
    struct slice **argvs = calloc(multi->count + 1, sizeof(*argvs));
    struct transaction_watch *watches = calloc(multi->watch_count + 1, sizeof(*watches));
    assert(items != NULL && argvs != NULL && watches != NULL);
    struct reader in = reader_of(buf_slice(&multi->items));
    for (size_t i = 0; i < multi->count; i++) {
        argvs[i] = read_item(&in, &items[i]);
    }
    in = reader_of(buf_slice(&multi->watches));
    for (size_t i = 0; i < multi->watch_count; i++) {
        watches[i].db = reader_u8(&in);
        watches[i].version = reader_u64(&in);
        watches[i].key = reader_bytes(&in, UINT32_MAX);
    }
    if (multi->dirty) {
        resp_write_error(reply, "EXECABORT Transaction discarded because of previous errors.");
    } else if (multi->count + multi->watch_count == 0) {
        resp_write_array(reply, 0);
    } else {
        struct transaction_form form;
        transaction_form_init(&form, items, multi->count, watches, multi->watch_count);
        uint8_t db = player->db;
        player->db = form.db;
        player_execute(player, command_at(CMD_batch), form.args, reply);
        player->db = db;
        transaction_form_deinit(&form);
    }
    for (size_t i = 0; i < multi->count; i++) {
        free(argvs[i]);
    }
    free(argvs);
    free(items);
    free(watches);
    reset(multi);
}

bool player_multi_take(struct player *player, struct args args, struct buf *reply)
{
    struct player_multi *multi = &player->multi;
    struct slice name = args.argv[0];
    if (args.argc == 1 && command_word(name, "exec")) {
        if (!multi->open) {
            resp_write_error(reply, "ERR EXEC without MULTI");
        } else {
            exec(player, reply);
        }
    } else if (args.argc == 1 && command_word(name, "multi")) {
        multi->open = true;
        resp_write_ok(reply);
    } else if (args.argc == 1 && command_word(name, "discard") && multi->open) {
        reset(multi);
        resp_write_ok(reply);
    } else if (args.argc == 1 && command_word(name, "unwatch") && !multi->open) {
        reset(multi);
        resp_write_ok(reply);
    } else if (args.argc > 1 && command_word(name, "watch") && !multi->open) {
        watch(player, args, reply);
    } else if (multi->open) {
        queue(player, args, reply);
    } else {
        return false;
    }
    return true;
}
