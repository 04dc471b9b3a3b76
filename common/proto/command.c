#include "common/proto/command.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"

#define ROW(id_, kind, code_, arity_, flags_, first, last, step, merge_, group_, since_, text) \
    [CMD_##id_] = {.id = CMD_##id_,                                                            \
                   .code = (code_),                                                            \
                   .name = #id_,                                                               \
                   .arity = (arity_),                                                          \
                   .flags = (unsigned)(flags_) | (unsigned)(kind),                             \
                   .key_first = (first),                                                       \
                   .key_last = (last),                                                         \
                   .key_step = (step),                                                         \
                   .merge = (merge_),                                                          \
                   .group = (group_),                                                          \
                   .since = (since_),                                                          \
                   .summary = (text)},

static const struct command rows[CMD_COUNT] = {
#define READ_COMMAND(id, ...) ROW(id, CMD_READ, __VA_ARGS__)
#define WRITE_COMMAND(id, ...) ROW(id, CMD_WRITE, __VA_ARGS__)
#define FRONT_COMMAND(id, ...) ROW(id, CMD_FRONT, __VA_ARGS__)
#define NODE_COMMAND(id, ...) ROW(id, CMD_NODE, __VA_ARGS__)
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND
};

enum { CODE_MAX = 1023, DATABASES = 16 };

static const uint16_t ids_by_code[CODE_MAX + 1] = {
/* One more than the id, so that 0 means none. */
#define READ_COMMAND(id, code, ...) [code] = CMD_##id + 1,
#define WRITE_COMMAND(id, code, ...) [code] = CMD_##id + 1,
#define FRONT_COMMAND(id, code, ...) [code] = CMD_##id + 1,
#define NODE_COMMAND(id, code, ...) [code] = CMD_##id + 1,
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND
};

/* Names by hash. Filled from the constant rows before main() and never written again. */
enum { NAME_SIZE_MAX = 32, SLOT_BITS = 11, SLOT_COUNT = 1 << SLOT_BITS };
_Static_assert(CMD_COUNT * 4 <= SLOT_COUNT, "the table stays sparse");

static uint16_t slots[SLOT_COUNT];

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static size_t slot_of(struct slice name)
{
    uint64_t hash = name.len;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ lower(name.data[i])) * UINT64_C(0x100000001b3);
    }
    return (size_t)((hash * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - SLOT_BITS));
}

__attribute__((constructor)) static void fill_slots(void)
{
    for (size_t id = 0; id < CMD_COUNT; id++) {
        size_t slot = slot_of(slice_str(rows[id].name));
        while (slots[slot] != 0) {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = (uint16_t)(id + 1);
    }
}

bool command_word(struct slice arg, const char *word)
{
    size_t i = 0;
    while (i < arg.len && word[i] != '\0' && lower(arg.data[i]) == lower((uint8_t)word[i])) {
        i++;
    }
    return i == arg.len && word[i] == '\0';
}

const struct command *command_find(struct slice name)
{
    if (name.len == 0 || name.len > NAME_SIZE_MAX) {
        return NULL;
    }
    for (size_t slot = slot_of(name); slots[slot] != 0; slot = (slot + 1) % SLOT_COUNT) {
        const struct command *command = &rows[slots[slot] - 1];
        if (command_word(name, command->name)) {
            return command;
        }
    }
    return NULL;
}

const struct command *command_by_code(uint16_t code)
{
    if (code > CODE_MAX || ids_by_code[code] == 0) {
        return NULL;
    }
    const struct command *command = &rows[ids_by_code[code] - 1];
    assert(command->code == code);
    return command;
}

const struct command *command_at(size_t n)
{
    assert(n < CMD_COUNT);
    return &rows[n];
}

enum status command_check(const struct command *command, size_t argc)
{
    assert(command != NULL);
    assert(argc >= 1);
    bool fits =
        command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
    return fits ? STATUS_OK : STATUS_BAD_ARITY;
}

bool command_has_keys(const struct command *command)
{
    return command->key_step != 0 || (command->flags >> CMD_NUMKEYS_SHIFT) != 0 ||
           (command->flags & CMD_STREAMS) != 0;
}

/* How many keys stand at fixed places. */
static size_t count_fixed(const struct command *command, size_t argc)
{
    if (command->key_step == 0) {
        return 0;
    }
    assert(command->key_first > 0);
    size_t first = (size_t)command->key_first;
    size_t back = command->key_last < 0 ? (size_t)-command->key_last : 0;
    if (first >= argc || back > argc) {
        return 0;
    }
    size_t last = command->key_last >= 0 ? (size_t)command->key_last : argc - back;
    last = last < argc ? last : argc - 1;
    return last < first ? 0 : (last - first) / (size_t)command->key_step + 1;
}

/* Keys behind the argument that counts them. */
static size_t counted_at(const struct command *command, struct args args, size_t nth)
{
    size_t at = command->flags >> CMD_NUMKEYS_SHIFT & CMD_NUMKEYS_MASK;
    int64_t count = 0;
    if (at == 0 || at >= args.argc || !number_parse_i64(args.argv[at], &count) || count < 1) {
        return 0;
    }
    size_t room = args.argc - at - 1;
    size_t keys = (uint64_t)count < room ? (size_t)count : room;
    return nth < keys ? at + 1 + nth : 0;
}

/* How many arguments an option of XREAD and XREADGROUP has: a group may be called "streams". */
static size_t stream_option_args(struct slice word)
{
    if (command_word(word, "group")) {
        return 2;
    }
    return command_word(word, "count") || command_word(word, "block") ? 1 : 0;
}

/* STREAMS key ... id ... */
static size_t stream_at(struct args args, size_t nth)
{
    size_t i = 1;
    while (i < args.argc && !command_word(args.argv[i], "streams")) {
        i += 1 + stream_option_args(args.argv[i]);
    }
    if (i >= args.argc) {
        return 0;
    }
    size_t keys = (args.argc - i - 1) / 2;
    return nth < keys ? i + 1 + nth : 0;
}

/* The last STORE counts, as in Redis 7.0 db.c georadiusGetKeys(), sortGetKeys(). What cannot be
 * left out is no option: a place may be called so. */
static size_t stored_at(const struct command *command, struct args args, size_t nth)
{
    size_t found = 0;
    for (size_t i = (size_t)abs(command->arity); i + 1 < args.argc && nth == 0; i++) {
        bool store = command_word(args.argv[i], "store") || command_word(args.argv[i], "storedist");
        bool by = command_word(args.argv[i], "by") || command_word(args.argv[i], "get");
        found = store ? i + 1 : found;
        i += store || by ? 1 : 0; /* A pattern may be called like an option. */
    }
    return found;
}

size_t command_key_at(const struct command *command, struct args args, size_t nth)
{
    assert(command != NULL);
    size_t fixed = count_fixed(command, args.argc);
    if (nth < fixed) {
        return (size_t)command->key_first + nth * (size_t)command->key_step;
    }
    nth -= fixed;
    if ((command->flags & CMD_STREAMS) != 0) {
        return stream_at(args, nth);
    }
    return (command->flags & CMD_STORE) != 0 ? stored_at(command, args, nth)
                                             : counted_at(command, args, nth);
}

static uint8_t database_of(struct slice text, uint8_t fallback)
{
    int64_t db = 0;
    return number_parse_i64(text, &db) && db >= 0 && db < DATABASES ? (uint8_t)db : fallback;
}

uint8_t command_target_db(const struct command *command, struct args args, uint8_t db)
{
    if (command->id == CMD_move && args.argc == 3) {
        return database_of(args.argv[2], db);
    }
    uint8_t target = db;
    for (size_t i = 3; command->id == CMD_copy && i + 1 < args.argc; i++) {
        if (command_word(args.argv[i], "db")) {
            target = database_of(args.argv[i + 1], db);
            i++;
        }
    }
    return target;
}
