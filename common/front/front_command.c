#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/glob.h"
#include "common/front/front_core.h"

/* COMMAND: the table as clients want to see it. */

struct word {
    unsigned flag;
    const char *name;
};

static const struct word flag_words[] = {
    {CMD_WRITE, "write"},        {CMD_READ, "readonly"}, {CMD_GROWS, "denyoom"},
    {CMD_ADMIN, "admin"},        {CMD_FAST, "fast"},     {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_SCRIPT, "noscript"},
};

static size_t flag_words_of(const struct command *command, const char **words)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof(flag_words) / sizeof(flag_words[0]); i++) {
        if ((command->flags & flag_words[i].flag) != 0) {
            words[count++] = flag_words[i].name;
        }
    }
    if ((command->flags & CMD_FRONT) != 0) {
        words[count++] = "loading";
        words[count++] = "stale";
    }
    return count;
}

enum { WORDS_MAX = 12 };

/* ACL categories. */
static size_t categories_of(const struct command *command, const char **words)
{
    static const struct {
        const char *group;
        const char *category;
    } groups[] = {
        {"string", "@string"}, {"generic", "@keyspace"},      {"bitmap", "@bitmap"},
        {"hash", "@hash"},     {"connection", "@connection"}, {"list", "@list"},
        {"set", "@set"},       {"sorted-set", "@sortedset"},  {"scripting", "@scripting"},
    };
    size_t count = 0;
    if ((command->flags & CMD_WRITE) != 0) {
        words[count++] = "@write";
    }
    if ((command->flags & CMD_READ) != 0) {
        words[count++] = "@read";
    }
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].group, command->group) == 0) {
            words[count++] = groups[i].category;
        }
    }
    if ((command->flags & CMD_ADMIN) != 0) {
        words[count++] = "@admin";
        words[count++] = "@dangerous";
    }
    words[count++] = (command->flags & CMD_FAST) != 0 ? "@fast" : "@slow";
    return count;
}

static void write_words(struct buf *reply, const char *const *words, size_t count)
{
    resp_write_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_write_simple(reply, words[i]);
    }
}

static void write_pair_text(struct buf *reply, const char *name, const char *value)
{
    resp_write_text(reply, name);
    resp_write_text(reply, value);
}

static void write_pair_int(struct buf *reply, const char *name, int64_t value)
{
    resp_write_text(reply, name);
    resp_write_int(reply, value);
}

static void write_key_specs(struct buf *reply, const struct command *command)
{
    if (command->key_first == 0) {
        resp_write_array(reply, 0);
        return;
    }
    static const char *const read_flags[] = {"RO", "access"};
    static const char *const write_flags[] = {"RW", "update"};
    resp_write_array(reply, 1);
    resp_write_map(reply, 3);
    resp_write_text(reply, "flags");
    write_words(reply, (command->flags & CMD_WRITE) != 0 ? write_flags : read_flags, 2);
    resp_write_text(reply, "begin_search");
    resp_write_map(reply, 2);
    write_pair_text(reply, "type", "index");
    resp_write_text(reply, "spec");
    resp_write_map(reply, 1);
    write_pair_int(reply, "index", command->key_first);
    resp_write_text(reply, "find_keys");
    resp_write_map(reply, 2);
    write_pair_text(reply, "type", "range");
    resp_write_text(reply, "spec");
    resp_write_map(reply, 3);
    int last = command->key_last < 0 ? command->key_last : command->key_last - command->key_first;
    write_pair_int(reply, "lastkey", last);
    write_pair_int(reply, "keystep", command->key_step);
    write_pair_int(reply, "limit", 0);
}

static void write_info(struct buf *reply, const struct command *command)
{
    const char *words[WORDS_MAX];
    resp_write_array(reply, 10);
    resp_write_text(reply, command->name);
    resp_write_int(reply, command->arity);
    write_words(reply, words, flag_words_of(command, words));
    resp_write_int(reply, command->key_first);
    resp_write_int(reply, command->key_last);
    resp_write_int(reply, command->key_step);
    write_words(reply, words, categories_of(command, words));
    resp_write_array(reply, 0); /* Tips. */
    write_key_specs(reply, command);
    resp_write_array(reply, 0); /* Subcommands. */
}

/* What the programs say to each other is nobody's business. */
static bool is_public(const struct command *command)
{
    return (command->flags & CMD_INTERNAL) == 0;
}

static const struct command *find(struct slice name)
{
    const struct command *command = command_find(name);
    return command != NULL && is_public(command) ? command : NULL;
}

static size_t count_public(void)
{
    size_t found = 0;
    for (size_t i = 0; i < CMD_COUNT; i++) {
        found += is_public(command_at(i));
    }
    return found;
}

static void write_all(struct request *request)
{
    struct buf *reply = front_reply(request);
    resp_write_array(reply, count_public());
    for (size_t i = 0; i < CMD_COUNT; i++) {
        if (is_public(command_at(i))) {
            write_info(reply, command_at(i));
        }
    }
    front_done(request);
}

static void info(struct request *request)
{
    if (request->args.argc == 2) {
        write_all(request);
        return;
    }
    struct buf *reply = front_reply(request);
    resp_write_array(reply, request->args.argc - 2);
    for (size_t i = 2; i < request->args.argc; i++) {
        const struct command *command = find(request->args.argv[i]);
        if (command == NULL) {
            resp_write_null(reply);
        } else {
            write_info(reply, command);
        }
    }
    front_done(request);
}

static void count(struct request *request)
{
    resp_write_int(front_reply(request), (int64_t)count_public());
    front_done(request);
}

static void write_docs(struct buf *reply, const struct command *command)
{
    resp_write_text(reply, command->name);
    resp_write_map(reply, 3);
    write_pair_text(reply, "summary", command->summary);
    write_pair_text(reply, "since", command->since);
    write_pair_text(reply, "group", command->group);
}

static void docs(struct request *request)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    struct buf *reply = front_reply(request);
    if (argc == 2) {
        resp_write_map(reply, count_public());
        for (size_t i = 0; i < CMD_COUNT; i++) {
            if (is_public(command_at(i))) {
                write_docs(reply, command_at(i));
            }
        }
        front_done(request);
        return;
    }
    size_t found = 0;
    for (size_t i = 2; i < argc; i++) {
        found += find(argv[i]) != NULL;
    }
    resp_write_map(reply, found);
    for (size_t i = 2; i < argc; i++) {
        const struct command *command = find(argv[i]);
        if (command != NULL) {
            write_docs(reply, command);
        }
    }
    front_done(request);
}

/* The command whose keys are asked for; NULL: answered. */
static const struct command *read_target(struct request *request)
{
    const struct command *command = find(request->args.argv[2]);
    if (command == NULL) {
        request_fail(request, "ERR Invalid command specified");
        return NULL;
    }
    if (!command_has_keys(command)) {
        request_fail(request, "ERR The command has no key arguments");
        return NULL;
    }
    if (command_check(command, request->args.argc - 2) != STATUS_OK) {
        request_fail(request, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return command;
}

static void write_keys(struct request *request, bool flags)
{
    const struct command *command = read_target(request);
    if (command == NULL) {
        return;
    }
    struct args args = {.argv = request->args.argv + 2, .argc = request->args.argc - 2};
    size_t keys = 0;
    while (command_key_at(command, args, keys) != 0) {
        keys++;
    }
    struct buf *reply = front_reply(request);
    resp_write_array(reply, keys);
    for (size_t i = 0; i < keys; i++) {
        struct slice key = args.argv[command_key_at(command, args, i)];
        if (flags) {
            resp_write_array(reply, 2);
        }
        resp_write_bulk(reply, key);
        if (flags) {
            static const char *const read_flags[] = {"RO", "access"};
            static const char *const write_flags[] = {"RW", "update"};
            write_words(reply, (command->flags & CMD_WRITE) != 0 ? write_flags : read_flags, 2);
        }
    }
    front_done(request);
}

static void get_keys(struct request *request)
{
    write_keys(request, false);
}

static void get_keys_and_flags(struct request *request)
{
    write_keys(request, true);
}

static bool in_category(const struct command *command, struct slice category)
{
    const char *words[WORDS_MAX];
    size_t words_count = categories_of(command, words);
    for (size_t i = 0; i < words_count; i++) {
        if (command_word(category, words[i] + 1)) {
            return true;
        }
    }
    return false;
}

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

static bool passes(const struct command *command, enum filter filter, struct slice value)
{
    if (!is_public(command)) {
        return false;
    }
    switch (filter) {
    case FILTER_NONE: return true;
    case FILTER_MODULE: return false;
    case FILTER_CATEGORY: return in_category(command, value);
    case FILTER_PATTERN: return glob_match(value, slice_str(command->name));
    }
    return false;
}

static void list(struct request *request)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    enum filter filter = FILTER_NONE;
    struct slice value = {0};
    if (argc == 5 && command_word(argv[2], "filterby")) {
        filter = command_word(argv[3], "module")    ? FILTER_MODULE
                 : command_word(argv[3], "aclcat")  ? FILTER_CATEGORY
                 : command_word(argv[3], "pattern") ? FILTER_PATTERN
                                                    : FILTER_NONE;
        value = argv[4];
    }
    if (argc != 2 && filter == FILTER_NONE) {
        request_fail(request, "ERR syntax error");
        return;
    }
    size_t found = 0;
    for (size_t i = 0; i < CMD_COUNT; i++) {
        found += passes(command_at(i), filter, value);
    }
    struct buf *reply = front_reply(request);
    resp_write_array(reply, found);
    for (size_t i = 0; i < CMD_COUNT; i++) {
        if (passes(command_at(i), filter, value)) {
            resp_write_text(reply, command_at(i)->name);
        }
    }
    front_done(request);
}

void front_command(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"count", 2, count},
        {"docs", -2, docs},
        {"getkeys", -4, get_keys},
        {"info", -2, info},
        {"getkeysandflags", -4, get_keys_and_flags},
        {"list", -2, list},
    };
    static const char *const help[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands in this server.",
        "LIST",
        "    Return a list of all commands in this server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full command.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    if (request->args.argc == 1) {
        write_all(request);
        return;
    }
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
